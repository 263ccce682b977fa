package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"gatehouse/doorflow"
	"gatehouse/events"
)

const (
	// maxPages bounds one look; what is beyond is looked for in the next.
	maxPages = 1000
	// storeAtOnce is how many events go into one change, so that a webhook waiting for the same commit does
	// not notice.
	storeAtOnce = 128
	scopeEvents = "account.event.access.readonly"
)

var (
	errEndless     = errors.New("the list is longer than one look")
	errRepeated    = errors.New("DoorFlow repeats a page instead of ending the list")
	errInterrupted = errors.New("another replica has the account now, or DoorFlow wants to be left alone")
	errNotStored   = errors.New("what was found could not be stored")
)

// codes are the events that webhooks announce: access and doors, as events.Classify names them. Left to
// itself DoorFlow lists no door events.
var codes = func() (all []int) {
	for code := range 100 {
		if class := events.Classify(int64(code)).Class; class == "access" || class == "door" {
			all = append(all, code)
		}
	}
	return all
}()

// run is one look at an account's list.
type run struct {
	account string
	since   time.Time
	started time.Time
	began   time.Time // of the wide look that this one goes on with
	wide    bool
	plain   bool // without event codes
	size    int
	pages   int

	listed   int             // items on the pages so far
	previous map[string]bool // the ids on the page before
	sorted   bool            // each event at or after the one before
	last     time.Time
	newest   int64 // of what was stored, in Unix milliseconds
	found    int   // events that were not known
	odd      int   // items that are none
}

func (c *Catchup) newRun(account string, p place, w *watch, silent bool) *run {
	now := c.Now()
	r := &run{account: account, started: now, began: now, wide: silent || p.wide(now, c.Every), size: doorflow.MaxEvents, sorted: true}
	r.since, r.plain = p.since(now, r.wide), now.Before(w.plainUntil)
	if now.Sub(w.began) >= wideEvery { // what came late meanwhile is not to wait for longer than a day
		w.reached = 0
	}
	if on := time.UnixMilli(w.reached).Add(-overlap).UTC(); r.wide && on.After(r.since) {
		r.since, r.began = on, w.began
	}
	if w.slow > 1 { // a page that does not come in time may come if it is smaller
		r.size /= 10
	}
	return r
}

// compare goes through the list page by page. Pages are counted from a beginning that stays, oldest first:
// what happens meanwhile comes at the end, and what is uploaded late moves an event to a later page, where it
// is seen again, but none to an earlier.
func (c *Catchup) compare(ctx context.Context, t *turn, w *watch, r *run) error {
	for page := 1; r.pages < maxPages; page++ {
		r.pages++
		answer, err := c.ask(ctx, t, w, r, page)
		if errors.Is(err, doorflow.ErrListTooLarge) && r.size > 1 {
			r.size, page = max(1, r.size/10), 0
			r.listed, r.previous, r.last = 0, nil, time.Time{}
			continue
		}
		if err != nil {
			return err
		}
		more, err := c.take(ctx, r, answer)
		if err != nil || !more {
			return err
		}
	}
	return errEndless
}

// ask gets one page.
func (c *Catchup) ask(ctx context.Context, t *turn, w *watch, r *run, page int) (doorflow.EventPage, error) {
	finish, ok := t.begin(ctx)
	if !ok {
		return doorflow.EventPage{}, errInterrupted
	}
	defer finish()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	q := doorflow.EventQuery{Since: r.since, Codes: codes, Size: r.size, Page: page}
	if r.plain {
		q.Codes = nil
	}
	client := c.Fetcher.Client(r.account)
	answer, err := c.Fetcher.API.Events(ctx, client, q)
	if refused, ok := errors.AsType[*doorflow.Error](err); !ok || refused.Status != http.StatusBadRequest || r.plain || page > 1 {
		return answer, err
	}
	// An unknown code is refused. Without any we get at least those that DoorFlow shows by itself: another
	// list, with other pages, so only at its beginning.
	q.Codes = nil
	if answer, err = c.Fetcher.API.Events(ctx, client, q); err == nil {
		r.plain, w.plainUntil = true, c.Now().Add(plainFor)
		c.Logger.Warn("DoorFlow refuses the event codes asked for: for a day, door events that webhooks do not bring are missed",
			"account", events.Token(r.account))
	}
	return answer, err
}

// found is an event of the list, cleaned.
type found struct {
	resource doorflow.Resource
	message  events.Encoded
	thin     bool // too little of it is in the list; it has to be fetched
}

// take stores what is new on a page, and tells whether there is another.
func (c *Catchup) take(ctx context.Context, r *run, page doorflow.EventPage) (more bool, err error) {
	last, newest, sorted := r.last, r.newest, r.sorted
	seen := make(map[string]bool, len(page.Items))
	repeated := len(page.Items) > 0
	var all []found
	for _, item := range page.Items {
		e, ok := c.read(item)
		if !ok {
			r.odd++
			repeated = false
			continue
		}
		repeated = repeated && r.previous[e.resource.ID]
		at := e.resource.At
		if !at.IsZero() {
			sorted = sorted && !at.Before(last)
			last = at
			if !at.After(r.started) {
				newest = max(newest, at.UnixMilli())
			}
		}
		// A list that begins before it should shows what is not ours or has been forgotten.
		if !seen[e.resource.ID] && (at.IsZero() || !at.Before(r.since)) {
			all = append(all, e)
		}
		seen[e.resource.ID] = true
	}
	if repeated {
		if page.Total >= 0 && r.listed >= page.Total {
			return false, nil
		}
		return false, errRepeated
	}
	if err := c.store(ctx, r, all); err != nil {
		return false, errors.Join(errNotStored, err)
	}
	r.last, r.newest, r.sorted, r.previous = last, newest, sorted, seen
	r.listed += len(page.Items)
	// How many there are is believed only of a list that is in order; and without it only an empty page is
	// an end, because a short one may be as long as DoorFlow makes them.
	ended := len(page.Items) == 0 || (page.Total >= 0 && r.listed >= page.Total && r.sorted)
	return !ended, nil
}

// read cleans an item of the list. One without an id cannot be told from others, nor fetched.
func (c *Catchup) read(item json.RawMessage) (found, bool) {
	resource, err := doorflow.ReadResource(doorflow.TypeEvent, item, c.Fetcher.Numbers)
	if err != nil || !doorflow.IsEventID(resource.ID) {
		return found{}, false
	}
	return found{resource: resource, thin: resource.At.IsZero() || resource.Code == 0}, true
}

// store says the events that have not been said, a few in one change, and asks for those to be fetched that
// are too thin.
func (c *Catchup) store(ctx context.Context, r *run, all []found) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	all, err := c.unknown(ctx, r.account, all)
	if err != nil {
		return err
	}
	// In the order of their keys: others may be writing the same ones.
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.resource.ID, b.resource.ID) })
	for chunk := range slices.Chunk(all, storeAtOnce) {
		if err := c.storeChunk(ctx, r, chunk); err != nil {
			return err
		}
	}
	return nil
}

func (c *Catchup) storeChunk(ctx context.Context, r *run, chunk []found) error {
	var whole, thin []found
	for _, e := range chunk {
		if e.thin {
			thin = append(thin, e)
			continue
		}
		row := opened{Account: r.account, ResourceType: doorflow.TypeEvent, ResourceID: e.resource.ID}
		var err error
		if e.message, err = row.message(events.Classify(e.resource.Code), e.resource); err != nil {
			return err
		}
		whole = append(whole, e)
	}
	fresh := 0
	err := c.Fetcher.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) (err error) {
		if err := c.openThin(ctx, tx, r, thin); err != nil {
			return err
		}
		fresh, err = c.say(ctx, tx, r.account, whole)
		return err
	})
	if err != nil {
		return err
	}
	r.found += fresh
	c.metrics.found.Add(float64(fresh))
	if len(thin) > 0 {
		c.Fetcher.Arrived(r.account)
	}
	return nil
}

// unknown leaves out what has been said. It only saves work: the keys decide.
func (c *Catchup) unknown(ctx context.Context, account string, all []found) ([]found, error) {
	said := map[string]bool{}
	for chunk := range slices.Chunk(all, 256) {
		ids := make([]string, len(chunk))
		for i, e := range chunk {
			ids[i] = e.resource.ID
		}
		query, args, err := sqlx.In(`SELECT event_id FROM events WHERE account = ? AND event_id IN (?)`, account, ids)
		if err != nil {
			return nil, err
		}
		var known []string
		if err := c.Fetcher.DB.Select(ctx, &known, query, args...); err != nil {
			return nil, err
		}
		for _, id := range known {
			said[id] = true
		}
	}
	return slices.DeleteFunc(all, func(e found) bool { return said[e.resource.ID] }), nil
}

// say says each event whose key is new, and counts them as what webhooks have not brought.
func (c *Catchup) say(ctx context.Context, tx *events.Tx, account string, all []found) (int, error) {
	if len(all) == 0 {
		return 0, nil
	}
	now := time.Now().UnixMilli()
	args := make([]any, 0, 4*len(all))
	for _, e := range all {
		args = append(args, account, e.resource.ID, e.message.ID, now)
	}
	insert := `INSERT INTO events (account, event_id, message_id, at) VALUES (?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?)`, len(all)-1) +
		` ON CONFLICT (account, event_id) DO NOTHING RETURNING message_id`
	var fresh []string
	if err := tx.Select(ctx, &fresh, insert, args...); err != nil {
		return 0, fmt.Errorf("keying events: %w", err)
	}
	ours := make(map[string]bool, len(fresh))
	for _, id := range fresh {
		ours[id] = true
	}
	for _, e := range all {
		if ours[e.message.ID] {
			tx.Append(e.message)
		}
	}
	if len(fresh) == 0 {
		return 0, nil
	}
	const count = `UPDATE catchup SET found = CASE WHEN found_after = seen.at THEN found ELSE 0 END + ?, found_after = seen.at
		FROM (SELECT COALESCE(MAX(at), 0) AS at FROM webhook_seen WHERE account = ?) AS seen WHERE account = ?`
	_, err := tx.Exec(ctx, count, len(fresh), account, account)
	return len(fresh), err
}

// openThin leaves events to the fetcher of which the list shows too little. Nothing waits to be acknowledged.
func (c *Catchup) openThin(ctx context.Context, tx *events.Tx, r *run, thin []found) error {
	for _, e := range thin {
		id := e.resource.ID
		note := doorflow.Notification{AccountID: r.account, ResourceType: doorflow.TypeEvent, ResourceID: id, Action: doorflow.ActionCreate}
		at := time.Now().UnixMilli()
		const insert = `INSERT INTO notifications (key, account, resource_type, resource_id, action, path, ack_token, callback, flag, state,
			due_at, message_id, received_at) VALUES (?, ?, ?, ?, ?, ?, '', '', '', 'open', ?, '', ?) ON CONFLICT (key) DO NOTHING`
		if _, err := tx.Exec(ctx, insert, notificationKey(note, doorflow.Target{}, ""), r.account, note.ResourceType, id, note.Action,
			"/api/3/events/"+id, at, at); err != nil {
			return err
		}
	}
	return nil
}
