package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse/events"
)

const (
	// fanOutStep is how many deliveries one commit makes, or those of one message if they are more: few enough that a
	// webhook waiting for the same commit does not notice.
	fanOutStep = 512
	// readStep is how many messages are read from the database at once, and fanOutBuffer how many of those that were
	// handed over in memory may wait.
	readStep     = 128
	fanOutBuffer = 4096
	pollLogs     = 2 * time.Second
	// saveSkipped is how long a cursor that has moved over messages for nobody may stay unsaved.
	saveSkipped = 5 * time.Second
)

var (
	errCursorMoved = errors.New("webhooks: another process has fanned these messages out")
	errDoubled     = errors.New("webhooks: some of these deliveries are there already")
)

// reach is how far one writer's log has been fanned out.
type reach struct {
	writer  int64
	saved   int64 // the cursor in the database
	next    int64 // the first row that has not been looked at; those between are for nobody
	head    int64 // the newest committed row, as far as known
	savedAt time.Time
	buffer  []events.Row // from next on, without a gap
}

// fanout makes the log into deliveries. It is used by one goroutine.
type fanout struct {
	*Deliveries
	logs   map[int64]*reach
	polled time.Time
	// calm tells that there is no endpoint. Then the log is looked at now and then, and nothing is written.
	calm bool
}

// fanOut fans out what is committed, until ctx ends.
func (d *Deliveries) fanOut(ctx context.Context) {
	f := &fanout{Deliveries: d, logs: map[int64]*reach{}}
	for ctx.Err() == nil {
		if err := f.step(ctx); err != nil && ctx.Err() == nil {
			f.Logger.Debug("messages could not be fanned out; trying again", "error", err)
			f.logs = map[int64]*reach{} // the cursors are read again
			f.polled = time.Time{}
			f.rest(ctx)
			continue
		}
		f.await(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	for _, r := range f.logs {
		_ = f.save(ctx, r)
	}
}

// await waits for something to be committed; while there is no endpoint, not at once.
func (f *fanout) await(ctx context.Context) {
	wake, pause := f.feed.Wake(), pollLogs
	if f.calm {
		wake, pause = nil, calmEvery
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// step fans out everything that is known to be committed.
func (f *fanout) step(ctx context.Context) error {
	if time.Since(f.polled) >= pollLogs {
		if err := f.poll(ctx); err != nil {
			return err
		}
	}
	// Logs take turns, so that what is said now does not wait behind what a dead process has left.
	for more := true; more && ctx.Err() == nil; {
		if err := f.take(ctx, f.feed.Take()); err != nil {
			return err
		}
		more = false
		for _, r := range f.logs {
			if r.next > r.head {
				continue
			}
			if err := f.forgetIfMoved(r, f.advance(ctx, r)); err != nil {
				return fmt.Errorf("fanning out the log of writer %d: %w", r.writer, err)
			}
			more = true
		}
	}
	for _, r := range f.logs {
		if r.next-1 > r.saved && time.Since(r.savedAt) >= saveSkipped {
			if err := f.forgetIfMoved(r, f.save(ctx, r)); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetIfMoved drops a log that another process goes through. Its cursor is read again if it turns out to be ours.
func (f *fanout) forgetIfMoved(r *reach, err error) error {
	if !errors.Is(err, errCursorMoved) {
		return err
	}
	f.Logger.Debug("another process fans the log out", "writer", r.writer)
	delete(f.logs, r.writer)
	return nil
}

// poll looks for logs that are behind: those of this process, its own and what it has taken over from the dead.
func (f *fanout) poll(ctx context.Context) error {
	behind, err := f.behind(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(behind, func(l logBehind) bool { return !l.Ours }) {
		if err := f.Log.TakeOver(ctx); err != nil {
			return err
		}
		if behind, err = f.behind(ctx); err != nil {
			return err
		}
	}
	f.polled = time.Now()
	for _, l := range behind {
		if !l.Ours {
			continue // another replica was faster
		}
		r := f.logs[l.Writer]
		if r == nil || l.Seq > r.saved {
			r = &reach{writer: l.Writer, saved: l.Seq, next: l.Seq + 1, savedAt: time.Now()}
			f.logs[l.Writer] = r
		}
		r.head = max(r.head, l.Head)
	}
	return nil
}

// logBehind is a writer's log that is not fanned out to its end.
type logBehind struct {
	Writer, Head, Seq int64
	Ours              bool // otherwise it is a dead writer's
}

func (f *fanout) behind(ctx context.Context) (all []logBehind, err error) {
	dead := `1 = 1` // alone on its directory, a process is the only one that lives
	if f.DB.Postgres() {
		dead = `w.expires_at <= ` + f.DB.Millis()
	}
	err = f.DB.Select(ctx, &all, `SELECT w.id AS writer, w.head AS head, COALESCE(c.seq, 0) AS seq, w.holder = ? AS ours
		FROM writers w LEFT JOIN delivery_cursors c ON c.writer = w.id
		WHERE w.head > COALESCE(c.seq, 0) AND (w.holder = ? OR `+dead+`)`, f.Log.Holder(), f.Log.Holder())
	if err != nil {
		return nil, fmt.Errorf("reading how far the log is fanned out: %w", err)
	}
	return all, nil
}

// take takes up rows that were handed over in memory. What does not follow on is read from the database.
func (f *fanout) take(ctx context.Context, rows []events.Row) error {
	for i := range rows {
		row := &rows[i]
		r := f.logs[row.Writer]
		if r == nil {
			var err error
			if r, err = f.open(ctx, row.Writer); err != nil {
				return err
			}
		}
		r.head = max(r.head, row.Seq)
		if row.Seq == r.next+int64(len(r.buffer)) && len(r.buffer) < fanOutBuffer {
			r.buffer = append(r.buffer, *row)
		}
	}
	return nil
}

// open reads a writer's cursor.
func (f *fanout) open(ctx context.Context, writer int64) (*reach, error) {
	r := &reach{writer: writer, savedAt: time.Now()}
	err := f.DB.Get(ctx, &r.saved, `SELECT seq FROM delivery_cursors WHERE writer = ?`, writer)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("reading how far writer %d is fanned out: %w", writer, err)
	}
	r.next = r.saved + 1
	f.logs[writer] = r
	return r, nil
}

// advance fans out some messages of one log. The endpoints are read after the messages were committed, so that none is
// passed over that was said after an endpoint was made, by whatever replica.
func (f *fanout) advance(ctx context.Context, r *reach) error {
	upto := r.head
	set, err := f.Endpoints.Current(ctx)
	if err != nil {
		return err
	}
	if f.calm = len(set.Enabled()) == 0; f.calm {
		r.next, r.buffer = upto+1, nil
		return nil
	}
	rows := r.buffer
	if len(rows) == 0 {
		if rows, err = f.read(ctx, r.writer, r.next, upto); err != nil {
			return err
		}
		if len(rows) == readStep {
			upto = rows[readStep-1].Seq
		}
	} else {
		upto = rows[len(rows)-1].Seq
	}
	made := f.match(rows, set.Enabled(), &upto)
	if len(made) > 0 {
		if err := f.make(ctx, r, made, upto); err != nil {
			return err
		}
	}
	taken := min(int(upto-r.next+1), len(r.buffer))
	if r.buffer = r.buffer[taken:]; len(r.buffer) == 0 {
		r.buffer = nil
	}
	r.next = upto + 1
	return nil
}

func (f *fanout) read(ctx context.Context, writer, from, upto int64) ([]events.Row, error) {
	var rows []events.Row
	err := f.DB.Select(ctx, &rows, `SELECT writer, seq, id, account, subject, at, body FROM messages
		WHERE writer = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?`, writer, from, upto, readStep)
	return rows, err
}

// match says which endpoints want which messages, for as many messages as make one step. It lowers upto to the last
// that it has looked at.
func (f *fanout) match(rows []events.Row, endpoints []*Endpoint, upto *int64) []*job {
	var made []*job
	for i := range rows {
		row := &rows[i]
		if len(made) >= fanOutStep {
			*upto = row.Seq - 1
			break
		}
		for _, e := range endpoints {
			if e.After(row.Writer, row.Seq) && e.Wants(row.Account, row.Subject) {
				made = append(made, &job{endpoint: e, message: messageOf(row)})
			}
		}
	}
	return made
}

// make stores deliveries and moves the cursor in one commit, then sends those that it could claim at once.
func (f *fanout) make(ctx context.Context, r *reach, made []*job, upto int64) error {
	var now []*job
	for _, j := range made {
		if f.lanes.take(j.endpoint) {
			j.n, now = 1, append(now, j)
		}
	}
	err := f.store(ctx, r, made, upto)
	if errors.Is(err, errDoubled) {
		// Somebody has asked for some of them to be delivered again before they were fanned out. Those that are new
		// take their turn with them.
		f.giveBack(now)
		now = nil
		err = f.store(ctx, r, made, upto)
	}
	if err != nil {
		f.giveBack(now)
		return err
	}
	r.saved, r.savedAt = upto, time.Now()
	f.send(now)
	for _, j := range made {
		if j.n == 0 {
			f.lanes.stir(j.endpoint.ID)
		}
	}
	return nil
}

// giveBack leaves jobs that were to be sent at once to whoever claims them.
func (f *fanout) giveBack(jobs []*job) {
	for _, j := range jobs {
		j.n = 0
		f.lanes.free(j.endpoint.ID)
	}
}

// moveCursor moves it only from where it was when the messages were looked at.
const moveCursor = `INSERT INTO delivery_cursors (writer, seq) VALUES (?, ?)
	ON CONFLICT (writer) DO UPDATE SET seq = excluded.seq WHERE delivery_cursors.seq = ?`

func (f *fanout) store(ctx context.Context, r *reach, made []*job, upto int64) error {
	ctx, cancel := committing(ctx)
	defer cancel()
	writer, saved, args, claimed := r.writer, r.saved, f.rows(made), 0
	for _, j := range made {
		claimed += int(j.n)
	}
	count := int64(len(made))
	return f.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		moved, err := tx.Exec(ctx, moveCursor, writer, upto, saved)
		if err != nil {
			return err
		}
		if moved == 0 {
			return errCursorMoved
		}
		n, err := f.insert.Exec(ctx, tx.Tx, args)
		if err == nil && n != count && claimed > 0 {
			return errDoubled
		}
		return err
	})
}

// save stores the cursor of a log whose last messages were for nobody.
func (f *fanout) save(ctx context.Context, r *reach) error {
	writer, saved, upto := r.writer, r.saved, r.next-1
	if upto <= saved {
		return nil
	}
	err := f.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		moved, err := tx.Exec(ctx, moveCursor, writer, upto, saved)
		if err == nil && moved == 0 {
			return errCursorMoved
		}
		return err
	})
	if err == nil {
		r.saved, r.savedAt = upto, time.Now()
	}
	return err
}

// committing is a context for a change that must be learned the outcome of, also when the process is stopping: what was
// claimed is sent or put back.
func committing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
}
