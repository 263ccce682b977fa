package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatehouse/events"
)

// How far back a look begins. Keys of events are kept for longer; see Pruners.
const (
	// overlap is how far before the watermark every look begins. Clocks differ, DoorFlow may list an event
	// a while after it happened, and whether `since` includes its moment is not known.
	overlap = time.Hour
	// wideOverlap is how far a wide look begins before it: a controller that was offline brings its events
	// late, as long as a sender may try. It is also more than any time zone, should DoorFlow read
	// `since` in the account's own.
	wideOverlap = 72 * time.Hour
	// farthest is how long ago a wide look begins at most, counted from now; the watermark may be older.
	farthest = keepKeys - 24*time.Hour
	// wideEvery is how often a look is wide although nothing asks for it.
	wideEvery = 24 * time.Hour
	// clockSlack is how far DoorFlow's clock may be behind ours when an account is connected.
	clockSlack = 5 * time.Minute
)

// place is how far an account has been compared, and when it was last heard of. Unix milliseconds.
type place struct {
	Account     string
	SinceAt     int64 `db:"since_at"`
	Watermark   int64
	LookedAt    int64 `db:"looked_at"`
	WideAt      int64 `db:"wide_at"`
	SilentSince int64 `db:"silent_since"`
	ConnectedAt int64 `db:"connected_at"`
	SeenAt      int64 `db:"seen_at"`
}

func (p place) lookedAt() time.Time { return time.UnixMilli(p.LookedAt) }

// wide tells whether a look should reach far back: once a day, and when there has been none for a while,
// because the gateway was down or the account not connected.
func (p place) wide(now time.Time, every time.Duration) bool {
	return now.Sub(time.UnixMilli(p.WideAt)) >= wideEvery || now.Sub(p.lookedAt()) >= 2*every
}

// since is where a look begins. It is never before the connection was made, and never so early that the
// keys of what it shows could have been forgotten.
func (p place) since(now time.Time, wide bool) time.Time {
	from := p.Watermark - overlap.Milliseconds()
	if wide {
		from = min(from, max(p.Watermark-wideOverlap.Milliseconds(), now.Add(-farthest).UnixMilli()))
	}
	return time.UnixMilli(max(from, p.SinceAt)).UTC()
}

// Begin notes, in the change that makes an account's connection active, from when on its events are
// compared: a new connection from now, one that was interrupted from where it stood.
func (c *Catchup) Begin(ctx context.Context, tx *events.Tx, account string) error {
	// What happened long before is not ours, and its keys could have been forgotten.
	oldest := c.Now().Add(-wideOverlap).UnixMilli()
	const insert = `INSERT INTO catchup (account, since_at, watermark)
		SELECT account, began - ?, began - ? FROM (SELECT account, CASE WHEN connected_at > ? THEN connected_at ELSE ? END AS began
			FROM connections WHERE account = ? AND status = 'active') AS connected WHERE 1 = 1
		ON CONFLICT (account) DO NOTHING`
	slack := clockSlack.Milliseconds()
	_, err := tx.Exec(ctx, insert, slack, slack, oldest, oldest, account)
	return err
}

// Forget drops an account's place in the change that disconnects it: what happens from now on is not ours.
func (c *Catchup) Forget(ctx context.Context, tx *events.Tx, account string) error {
	_, err := tx.Exec(ctx, `DELETE FROM catchup WHERE account = ?`, account)
	return err
}

// place reads how far an active account is.
func (c *Catchup) place(ctx context.Context, account string) (place, error) {
	const query = `SELECT k.account, k.since_at, k.watermark, k.looked_at, k.wide_at, k.silent_since, c.connected_at, COALESCE(w.at, 0) AS seen_at
		FROM catchup k JOIN connections c ON c.account = k.account LEFT JOIN webhook_seen w ON w.account = k.account
		WHERE k.account = ? AND c.status = 'active'`
	var p place
	err := c.Fetcher.DB.Get(ctx, &p, query, account)
	if errors.Is(err, sql.ErrNoRows) {
		err = c.Fetcher.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error { return c.Begin(ctx, tx, account) })
		if err == nil {
			err = c.Fetcher.DB.Get(ctx, &p, query, account)
		}
	}
	// A look in the future was noted before somebody put our clock back. It is no reason to wait until then.
	if latest := c.Now().Add(clockSlack).UnixMilli(); p.LookedAt > latest || p.WideAt > latest {
		p.LookedAt, p.WideAt = 0, 0
	}
	return p, err
}

// advance stores how far a look came. The watermark moves to the newest event that was stored if the look
// came to its end, or if the list was in order all the way: then nothing older can be missing. It never
// moves back, never beyond our own clock, and not if the account was connected anew meanwhile.
func (c *Catchup) advance(ctx context.Context, p place, r *run, failure error) error {
	watermark, looked, wide := p.Watermark, p.LookedAt, p.WideAt
	if failure == nil || r.sorted {
		watermark = max(watermark, r.newest)
	}
	if failure == nil {
		looked = r.started.UnixMilli()
		if r.wide {
			wide = r.began.UnixMilli()
		}
	}
	if watermark == p.Watermark && failure != nil {
		return nil
	}
	err := c.Fetcher.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		const update = `UPDATE catchup SET watermark = CASE WHEN watermark < ? THEN ? ELSE watermark END, looked_at = ?, wide_at = ?
			WHERE account = ? AND since_at = ?`
		_, err := tx.Exec(ctx, update, watermark, watermark, looked, wide, p.Account, p.SinceAt)
		return err
	})
	if err != nil {
		return errors.Join(errNotStored, err)
	}
	return nil
}
