package webhooks_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

func TestListPagesAndFilters(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		e, _ := o.endpoint(b.URL)
		ids := o.sayAtOnce(25)
		o.settled()
		b.says(http.StatusNotFound)
		failing := o.say(1)[0]
		await(t, "one waits", func() bool { return len(o.delivery(failing, e).Tried) == 1 })
		var listed []string
		for after := ""; ; {
			page, next, err := o.List(t.Context(), e.ID, "", after, 10, webhooks.Limits{})
			must(t, err)
			for _, d := range page {
				listed = append(listed, d.Message)
			}
			if after = next; next == "" {
				break
			}
		}
		want := append(slices.Clone(ids), failing)
		slices.Reverse(want)
		if !slices.Equal(listed, want) {
			t.Errorf("listed\n%v, want\n%v", listed, want)
		}
		for status, n := range map[string]int{"delivered": 25, "waiting": 1, "parked": 0} {
			page, _, err := o.List(t.Context(), e.ID, status, "", 50, webhooks.Limits{})
			if err != nil || len(page) != n {
				t.Errorf("%d are %s, want %d: %v", len(page), status, n, err)
			}
		}
		_, _, err := o.List(t.Context(), e.ID, "lost", "", 50, webhooks.Limits{})
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "status" {
			t.Errorf("an unknown status: %v", err)
		}
		_, _, err = o.List(t.Context(), e.ID, "", "bm9wZQ", 50, webhooks.Limits{})
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "after" {
			t.Errorf("a cursor of nobody: %v", err)
		}
		held := webhooks.Limits{Accounts: []string{"other"}}
		if _, _, err := o.List(t.Context(), e.ID, "", "", 50, held); !errors.Is(err, webhooks.ErrNoEndpoint) {
			t.Errorf("somebody else's endpoint: %v", err)
		}
		if _, err := o.Get(t.Context(), failing+"."+e.ID, held); !errors.Is(err, webhooks.ErrNoDelivery) {
			t.Errorf("somebody else's delivery: %v", err)
		}
		if _, err := o.Retry(t.Context(), failing+"."+e.ID, held); !errors.Is(err, webhooks.ErrNoDelivery) {
			t.Errorf("retrying somebody else's delivery: %v", err)
		}
	})
}

// What was given up is retried from the oldest on, so that an ordered endpoint gets it as it was said.
func TestParkedIsListedAsItWasSaid(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		e, _ := o.endpoint(b.URL, ordered)
		said := o.say(7)
		o.settled()
		_, err := db.Writer().ExecContext(t.Context(), `UPDATE deliveries SET state = 'parked' WHERE message_id <> '`+said[2]+`'`)
		must(t, err)
		var listed []string
		for after, pages := "", 0; pages == 0 || after != ""; pages++ {
			ids, next, err := o.Parked(t.Context(), e.ID, after, 4, webhooks.Limits{})
			must(t, err)
			for _, id := range ids {
				_, err := o.Retry(t.Context(), id, webhooks.Limits{})
				must(t, err)
				listed = append(listed, strings.TrimSuffix(id, "."+e.ID))
			}
			after = next
		}
		if want := slices.Delete(slices.Clone(said), 2, 3); !slices.Equal(listed, want) {
			t.Errorf("listed\n%v, want\n%v", listed, want)
		}
		o.settled()
		if got := b.ids(); !slices.Equal(got[len(got)-6:], listed) {
			t.Errorf("it got\n%v, want\n%v", got, listed)
		}
		if _, _, err := o.Parked(t.Context(), e.ID, "", 4, webhooks.Limits{Accounts: []string{"other"}}); !errors.Is(err, webhooks.ErrNoEndpoint) {
			t.Errorf("somebody else's endpoint: %v", err)
		}
	})
}

// What one endpoint answered is not shown as another's, and not to those who may not know of it.
func TestTheDeliveriesOfOneMessage(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, good, bad := newOffice(t, db, keysetFile(t)), newBMS(t), newBMS(t)
		bad.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte("planted-Zq7"))
		})
		theirs, _ := o.endpoint(bad.URL)
		var ours *webhooks.Endpoint
		q := webhooks.EndpointRequest{URL: webhooks.Give(good.URL), Subjects: webhooks.Give([]string{"gatehouse.event.hX9aQ2.>"})}
		held := webhooks.Limits{Accounts: []string{"hX9aQ2"}}
		ours, _, err := o.endpoints.Create(t.Context(), q, held)
		must(t, err)
		id := o.say(1)[0]
		await(t, "both were tried", func() bool {
			return len(o.delivery(id, theirs).Tried) == 1 && o.delivery(id, ours).Status == "delivered"
		})
		all, err := o.OfMessage(t.Context(), id, webhooks.Limits{})
		must(t, err)
		if len(all) != 2 || all[0].Tried[0].Status != http.StatusTeapot || all[1].Tried[0].Status != http.StatusOK || all[1].Tried[0].Answer != "" {
			t.Errorf("it is shown as %+v", all)
		}
		all, err = o.OfMessage(t.Context(), id, held)
		must(t, err)
		if len(all) != 1 || all[0].Endpoint != ours.ID || all[0].Tried[0].Status != http.StatusOK {
			t.Errorf("to those who are held it is shown as %+v", all)
		}
	})
}

// Another replica may make a delivery that stands before one that is under way. It waits for that one's end.
func TestNothingIsClaimedBesideWhatIsUnderWay(t *testing.T) {
	keys, database := keysetFile(t), sqldbtest.PostgresURL(t)
	db := sqldbtest.Open(t, database)
	o, b := newOffice(t, db, keys), newBMS(t)
	other := newOffice(t, sqldbtest.Open(t, database), keys)
	e, _ := o.endpoint(b.URL, ordered)
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release) // before the server is closed, which waits for its requests
	b.answers(func(http.ResponseWriter, *http.Request) { <-hold })
	o.say(2)
	await(t, "one is under way and one waits", func() bool {
		return b.now.Load() == 1 && o.count(`SELECT COUNT(*) FROM deliveries WHERE endpoint_id = ?`, e.ID) == 2
	})
	_, err := db.Writer().ExecContext(t.Context(), `UPDATE deliveries SET place = -1 WHERE holder = ''`)
	must(t, err)
	for range 3 {
		must(t, other.Look(t.Context()))
		must(t, o.Look(t.Context()))
	}
	if n := o.count(`SELECT COUNT(*) FROM deliveries WHERE endpoint_id = ? AND holder <> ''`, e.ID); n != 1 {
		t.Errorf("%d are under way", n)
	}
	release()
	o.settled()
	if most := b.most.Load(); most != 1 {
		t.Errorf("%d were sent at once", most)
	}
}

func TestHealth(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		e, _ := o.endpoint(b.URL)
		o.sayAtOnce(5)
		o.settled()
		b.says(http.StatusNotFound)
		id := o.say(1)[0]
		await(t, "one waits", func() bool { return len(o.delivery(id, e).Tried) == 1 })
		o.stop() // which stores what was counted
		all, err := o.Health(t.Context(), e.ID, "nobody")
		must(t, err)
		h := all[e.ID]
		if age := o.clock.now().Sub(h.OldestWaiting); h.Delivered != 5 || h.Failed != 1 || h.Waiting != 1 || h.Parked != 0 || age < 0 || age > time.Minute || len(all) != 1 {
			t.Errorf("health is %+v", all)
		}
	})
}

func TestReplay(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		before := o.say(10)
		e, _ := o.endpoint(b.URL, ordered)
		o.sayOf("other", 3)
		after := o.say(5)
		o.settled()
		since, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		done, err := o.Replay(t.Context(), e.ID, webhooks.ReplayRequest{Since: since, Until: until}, webhooks.Limits{})
		if err != nil || done.Deliveries != 15 || done.Next != "" {
			t.Fatalf("%+v, %v", done, err)
		}
		o.settled()
		want := slices.Concat(after, before, after)
		if got := b.ids(); !slices.Equal(got, want) {
			t.Errorf("it got\n%v, want\n%v: what it had missed and what it had, under their own ids, in order", got, want)
		}
		if d := o.delivery(after[0], e); d.Attempts != 2 || len(d.Tried) != 2 {
			t.Errorf("a replayed delivery is %+v", d)
		}
		none := webhooks.ReplayRequest{Since: since, Subjects: []string{"gatehouse.event.*.door.>"}}
		if done, err := o.Replay(t.Context(), e.ID, none, webhooks.Limits{}); err != nil || done.Deliveries != 0 {
			t.Errorf("narrowed down to nothing: %+v, %v", done, err)
		}
		for field, q := range map[string]webhooks.ReplayRequest{
			"since": {}, "until": {Since: until, Until: since}, "subjects": {Since: since, Subjects: []string{"a..b"}}, "after": {Since: since, After: "?"},
		} {
			_, err := o.Replay(t.Context(), e.ID, q, webhooks.Limits{})
			if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		if n := o.count(`SELECT COUNT(*) FROM audit_log WHERE action = 'endpoint.replay'`); n != 2 {
			t.Errorf("%d replays are in the audit log", n)
		}
	})
}

// What was committed at since is replayed, and what was at until is not: spans that touch have no message twice.
func TestReplayEndsBeforeUntil(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		e, _ := o.endpoint(b.URL)
		var at []time.Time
		for range 3 {
			id := o.say(1)[0]
			at = append(at, time.UnixMilli(o.count(`SELECT at FROM messages WHERE id = ?`, id)))
			await(t, "the next millisecond", func() bool { return time.Now().UnixMilli() > at[len(at)-1].UnixMilli() })
		}
		o.settled()
		for _, row := range []struct {
			since, until time.Time
			want         int64
		}{{at[0], at[2].Add(time.Millisecond), 3}, {at[0], at[2], 2}, {at[1], at[2], 1}, {at[2], at[2].Add(time.Millisecond), 1}} {
			done, err := o.Replay(t.Context(), e.ID, webhooks.ReplayRequest{Since: row.since, Until: row.until}, webhooks.Limits{})
			if err != nil || done.Deliveries != row.want {
				t.Errorf("from %v to %v: %+v, %v; want %d", row.since, row.until, done, err, row.want)
			}
			o.settled()
		}
	})
}

// A message that is replayed before it is fanned out is delivered once by either.
func TestReplayOverlapsTheFanOut(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	e, _ := o.endpoint(b.URL)
	for range 20 {
		said := make(chan struct{})
		go func() { o.sayAtOnce(10); close(said) }()
		_, err := o.Replay(t.Context(), e.ID, webhooks.ReplayRequest{Since: time.Now().Add(-time.Second), Until: time.Now().Add(time.Hour)}, webhooks.Limits{})
		must(t, err)
		<-said
	}
	o.settled()
	if n := len(b.times()); n != 200 {
		t.Errorf("%d of 200 messages came", n)
	}
	for id, n := range b.times() {
		if d := o.delivery(id, e); int64(n) != d.Attempts {
			t.Errorf("%s came %d times in %d attempts", id, n, d.Attempts)
		}
	}
}

// Of messages that are fanned out together, some may wait for an endpoint already. No attempt is made that is not counted.
func TestWhatIsReplayedBeforeItIsFannedOut(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	e, _ := o.endpoint(b.URL)
	o.stop()
	ids := o.sayAtOnce(3)
	done, err := o.Replay(t.Context(), e.ID, webhooks.ReplayRequest{Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)}, webhooks.Limits{})
	must(t, err)
	ids = append(ids, o.sayAtOnce(3)...)
	run(t, o.Run)
	o.settled()
	times := b.times()
	for _, id := range ids {
		if d := o.delivery(id, e); times[id] != 1 || d.Attempts != 1 {
			t.Errorf("%s came %d times in %d attempts", id, times[id], d.Attempts)
		}
	}
	if done.Deliveries != 3 || len(times) != 6 {
		t.Errorf("%d are replayed, %d came", done.Deliveries, len(times))
	}
}

// Retention takes neither a message that a delivery still needs nor one that is not fanned out; what has been delivered
// goes after a while, with its attempts, what is parked later, and what belongs to a deleted endpoint at once.
func TestRetentionKeepsWhatIsNeeded(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, good, bad := newOffice(t, db, keysetFile(t)), newBMS(t), newBMS(t)
		bad.says(http.StatusInternalServerError)
		wants, _ := o.endpoint(good.URL)
		needs, _ := o.endpoint(bad.URL)
		ids := o.sayAtOnce(3)
		await(t, "attempts", func() bool {
			return len(o.delivery(ids[2], needs).Tried) == 1 && o.delivery(ids[2], wants).Status == "delivered"
		})
		exec := func(query string, args ...any) {
			t.Helper()
			_, err := db.Writer().ExecContext(t.Context(), db.Writer().Rebind(query), args...)
			must(t, err)
		}
		exec(`UPDATE messages SET at = ?`, time.Now().Add(-2*time.Hour).UnixMilli())
		exec(`INSERT INTO relay_checkpoints (writer, seq, message_id, stream_seq, stream_created, at) SELECT id, head, '', 0, 0, 0 FROM writers`)
		sweep := func() {
			t.Helper()
			prune := append([]events.Pruner{events.PruneMessages(o.log, time.Hour, o.Keep)}, o.Pruners(time.Hour, 24*time.Hour)...)
			must(t, events.NewRetention(o.log, quiet, prune...).Sweep(t.Context()))
		}
		sweep()
		if n, kept := o.count(`SELECT COUNT(*) FROM messages`), o.count(`SELECT COUNT(*) FROM delivery_bodies`); n > 1 || kept != 3 {
			// Of what fails for the third time a message is said, which is young.
			t.Fatalf("%d messages are left and %d kept, want none of the old and 3", n, kept)
		}
		o.clock.forward(2 * time.Hour)
		sweep()
		if n := o.count(`SELECT COUNT(*) FROM deliveries WHERE endpoint_id = ?`, wants.ID); n != 0 {
			t.Errorf("%d delivered rows are left", n)
		}
		bad.says(http.StatusOK)
		must(t, o.Look(t.Context()))
		o.settled()
		for _, id := range ids {
			if bad.times()[id] < 2 {
				t.Errorf("%s was not sent again after its message had gone", id)
			}
		}
		o.clock.forward(2 * time.Hour)
		sweep()
		for _, table := range []string{"deliveries", "delivery_attempts", "delivery_bodies"} {
			if n := o.count(`SELECT COUNT(*) FROM ` + table); n != 0 {
				t.Errorf("%d rows are left in %s", n, table)
			}
		}
	})
}

func TestDisabledEndpointsParkAfterThreeDaysAndDeletedOnesAreSweptAway(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		b.says(http.StatusInternalServerError)
		e, _ := o.endpoint(b.URL)
		id := o.say(1)[0]
		await(t, "an attempt", func() bool { return len(o.delivery(id, e).Tried) == 1 })
		_, err := o.endpoints.Change(t.Context(), e.ID, enabled(false), webhooks.Limits{})
		must(t, err)
		sweep := func() {
			t.Helper()
			must(t, events.NewRetention(o.log, quiet, o.Pruners(time.Hour, 240*time.Hour)...).Sweep(t.Context()))
		}
		o.clock.forward(71 * time.Hour)
		sweep()
		if d := o.delivery(id, e); d.Status != "waiting" || d.Attempts != 1 {
			t.Errorf("after 71 hours it is %s after %d attempts", d.Status, d.Attempts)
		}
		o.clock.forward(2 * time.Hour)
		sweep()
		if d := o.delivery(id, e); d.Status != "parked" {
			t.Errorf("after 73 hours it is %s", d.Status)
		}
		must(t, o.endpoints.Delete(t.Context(), e.ID, webhooks.Limits{}))
		sweep()
		if n := o.count(`SELECT (SELECT COUNT(*) FROM deliveries) + (SELECT COUNT(*) FROM delivery_attempts)`); n != 0 {
			t.Errorf("%d rows are left of an endpoint that was deleted", n)
		}
	})
}

// An attempt that is under way while its endpoint is deleted leaves nothing behind either.
func TestAnAttemptEndsAfterItsEndpointWasDeleted(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	under, goOn := make(chan struct{}), make(chan struct{})
	answer := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(answer)
	b.answers(func(http.ResponseWriter, *http.Request) { close(under); <-goOn })
	e, _ := o.endpoint(b.URL)
	o.say(1)
	<-under
	must(t, o.endpoints.Delete(t.Context(), e.ID, webhooks.Limits{}))
	sweep := func() {
		t.Helper()
		must(t, events.NewRetention(o.log, quiet, o.Pruners(time.Hour, time.Hour)...).Sweep(t.Context()))
	}
	sweep()
	answer()
	await(t, "the attempt is stored", func() bool { return o.count(`SELECT COUNT(*) FROM delivery_attempts`) == 1 })
	sweep()
	if n := o.count(`SELECT (SELECT COUNT(*) FROM deliveries) + (SELECT COUNT(*) FROM delivery_attempts)`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
