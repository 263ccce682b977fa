package webhooks_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// sweep runs retention, to which everything that was said by now is old.
func (o *office) sweep() {
	prune := append([]events.Pruner{events.PruneMessages(o.log, time.Hour, o.Keep)}, o.Pruners(time.Hour, 240*time.Hour)...)
	if err := events.NewRetention(o.log, quiet, prune...).Sweep(context.Background()); err != nil {
		o.t.Error(err)
	}
}

func (o *office) exec(query string, args ...any) {
	o.t.Helper()
	_, err := o.db.Writer().ExecContext(o.t.Context(), o.db.Writer().Rebind(query), args...)
	must(o.t, err)
}

// ages makes what was said old, and relayed.
func (o *office) ages() {
	o.t.Helper()
	o.exec(`UPDATE messages SET at = ?`, time.Now().Add(-2*time.Hour).UnixMilli())
	o.exec(`INSERT INTO relay_checkpoints (writer, seq, message_id, stream_seq, stream_created, at) SELECT id, head, '', 0, 0, 0 FROM writers`)
}

// Retention comes just when somebody has looked and found the message, and has not committed yet.
func TestAMessageIsNotRemovedFromUnderARetry(t *testing.T) {
	for name, ask := range map[string]func(o *office, id string, e *webhooks.Endpoint) error{
		"retry": func(o *office, id string, e *webhooks.Endpoint) error {
			_, err := o.Retry(context.Background(), id+"."+e.ID, webhooks.Limits{})
			return err
		},
		"replay": func(o *office, _ string, e *webhooks.Endpoint) error {
			done, err := o.Replay(context.Background(), e.ID, webhooks.ReplayRequest{Since: time.Now().Add(-3 * time.Hour)}, webhooks.Limits{})
			if err == nil && (done.Deliveries != 1 || done.Gone != 0) {
				err = errors.New("it did not find the message")
			}
			return err
		},
	} {
		for _, kept := range []bool{false, true} {
			if kept && name == "replay" {
				continue // it looks at the log alone
			}
			t.Run(name, func(t *testing.T) {
				keys, database := keysetFile(t), sqldbtest.PostgresURL(t)
				o, other := newOffice(t, sqldbtest.Open(t, database), keys), newOffice(t, sqldbtest.Open(t, database), keys)
				b, bad := newBMS(t), newBMS(t)
				bad.says(http.StatusTeapot)
				e, _ := o.endpoint(b.URL)
				needs, _ := o.endpoint(bad.URL)
				id := o.say(1)[0]
				await(t, "one has it and one has not", func() bool {
					return o.delivery(id, e).Status == "delivered" && len(o.delivery(id, needs).Tried) == 1
				})
				o.stop() // nobody is to send it before retention is through
				other.stop()
				o.ages()
				if kept {
					o.sweep() // it is kept for the other endpoint
				}
				o.exec(`DELETE FROM deliveries WHERE endpoint_id = ?`, needs.ID)
				tx, err := o.db.Writer().BeginTxx(t.Context(), nil)
				must(t, err)
				defer func() { _ = tx.Rollback() }()
				_, err = tx.ExecContext(t.Context(), `SELECT 1 FROM deliveries WHERE endpoint_id = $1 FOR UPDATE`, e.ID)
				must(t, err)
				asked, swept := make(chan error, 1), make(chan struct{})
				go func() { asked <- ask(other, id, e) }()
				await(t, "somebody has found it", func() bool { return waiting(t, o.db) == 1 })
				go func() { o.sweep(); close(swept) }()
				await(t, "retention is through, or waits", func() bool {
					select {
					case <-swept:
						return true
					default:
						return waiting(t, o.db) == 2
					}
				})
				must(t, tx.Commit())
				must(t, <-asked)
				<-swept
				n := o.count(`SELECT (SELECT COUNT(*) FROM messages WHERE id = ?) + (SELECT COUNT(*) FROM delivery_bodies WHERE message_id = ?)`, id, id)
				if d := o.delivery(id, e); d.Status != "waiting" || n == 0 {
					t.Errorf("the delivery is %s, and the message is there %d times", d.Status, n)
				}
			})
		}
	}
}

// A message that is in the stream, old, and not yet looked at by the fan-out stays.
func TestRetentionWaitsForTheFanOut(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		o.endpoint(b.URL)
		past := o.say(1)[0]
		o.settled()
		o.stop()
		next := o.say(1)[0]
		o.ages()
		o.sweep()
		for id, want := range map[string]int64{past: 0, next: 1} {
			if n := o.count(`SELECT COUNT(*) FROM messages WHERE id = ?`, id); n != want {
				t.Errorf("%s is there %d times, want %d", id, n, want)
			}
		}
	})
}

// What retention has removed is said to be gone.
func TestAGoneMessageIsNotRetried(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		e, _ := o.endpoint(b.URL)
		id := o.say(1)[0]
		o.settled()
		o.ages()
		o.sweep()
		if _, err := o.Retry(t.Context(), id+"."+e.ID, webhooks.Limits{}); !errors.Is(err, webhooks.ErrMessageGone) {
			t.Errorf("%v, want that the message is gone", err)
		}
		if d := o.delivery(id, e); d.Status != "delivered" || d.Attempts != 1 {
			t.Errorf("it is %s after %d attempts", d.Status, d.Attempts)
		}
		none := "0193f5a0-7d1c-7000-8000-000000000001." + e.ID
		if _, err := o.Retry(t.Context(), none, webhooks.Limits{}); !errors.Is(err, webhooks.ErrNoDelivery) {
			t.Errorf("one that never was: %v", err)
		}
		if n := o.count(`SELECT COUNT(*) FROM audit_log WHERE action = 'delivery.retry'`); n != 0 {
			t.Errorf("%d retries are in the audit log", n)
		}
	})
}

// One that waits and is retried by hand stays before those that wait behind it; one that had been settled comes after all.
func TestRetriesAndReplaysKeepTheOrder(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		e, _ := o.endpoint(b.URL, ordered)
		done := o.say(2)
		o.settled()
		b.says(http.StatusInternalServerError)
		ids := o.sayAtOnce(3)
		await(t, "the first has failed", func() bool { return len(o.delivery(ids[0], e).Tried) == 1 })
		before := len(b.got())
		_, err := o.Retry(t.Context(), done[1]+"."+e.ID, webhooks.Limits{})
		must(t, err)
		_, err = o.Replay(t.Context(), e.ID, webhooks.ReplayRequest{Since: time.Now().Add(-time.Hour)}, webhooks.Limits{})
		must(t, err)
		b.says(http.StatusOK)
		_, err = o.Retry(t.Context(), ids[0]+"."+e.ID, webhooks.Limits{})
		must(t, err)
		o.settled()
		if got, want := slices.Compact(b.ids()[before:]), slices.Concat(ids, done[1:], done[:1]); !slices.Equal(got, want) {
			t.Errorf("it got\n%v, want\n%v", got, want)
		}
	})
}

// While one replica is taking the next of an ordered endpoint, which nobody else can see yet, no other takes any.
func TestOneReplicaAtATimeTakesTheNext(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.PostgresURL(t))
	o, held, free := newOffice(t, db, keysetFile(t)), newBMS(t), newBMS(t)
	e, _ := o.endpoint(held.URL, ordered)
	o.endpoint(free.URL, ordered)
	tx, err := db.Writer().BeginTxx(t.Context(), nil)
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended('gatehouse order ' || $1::text, 0))`, e.ID)
	must(t, err)
	ids := o.say(5)
	await(t, "the other endpoint has all", func() bool { return len(free.times()) == 5 })
	if n := len(held.got()); n != 0 {
		t.Errorf("it got %d although another is at it", n)
	}
	must(t, tx.Commit())
	o.settled()
	if got := held.ids(); !slices.Equal(got, ids) {
		t.Errorf("it got %v, want %v", got, ids)
	}
}

// A replay has read which messages there are when one of them is removed. It sends the others, and says so.
func TestAReplaySaysWhatIsGone(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.PostgresURL(t))
	o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
	e, _ := o.endpoint(b.URL)
	ids := o.say(2)
	o.settled()
	tx, err := db.Writer().BeginTxx(t.Context(), nil)
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), `DELETE FROM messages WHERE id = $1`, ids[0])
	must(t, err)
	var done webhooks.Replayed
	asked := make(chan error, 1)
	go func() {
		var err error
		done, err = o.Replay(context.Background(), e.ID, webhooks.ReplayRequest{Since: time.Now().Add(-time.Hour)}, webhooks.Limits{})
		asked <- err
	}()
	await(t, "it waits for the message", func() bool { return waiting(t, db) == 1 })
	must(t, tx.Commit())
	must(t, <-asked)
	o.settled()
	if times := b.times(); done.Deliveries != 1 || done.Gone != 1 || times[ids[0]] != 1 || times[ids[1]] != 2 {
		t.Errorf("it came to %+v, and the messages came %v times", done, times)
	}
}

// What another replica is just claiming is passed by: what is due besides is sent meanwhile.
func TestReplicasPassEachOtherBy(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.PostgresURL(t))
	o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
	b.answers(busyForAnHour)
	e, _ := o.endpoint(b.URL)
	ids := o.say(2)
	for _, id := range ids {
		await(t, "an attempt", func() bool { return len(o.delivery(id, e).Tried) == 1 })
	}
	tx, err := db.Writer().BeginTxx(t.Context(), nil)
	must(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(t.Context(), `SELECT 1 FROM deliveries WHERE message_id = $1 FOR UPDATE`, ids[0])
	must(t, err)
	b.says(http.StatusNoContent)
	o.clock.forward(2 * time.Hour)
	await(t, "the other is delivered", func() bool { return o.delivery(ids[1], e).Status == "delivered" })
	if d := o.delivery(ids[0], e); d.Attempts != 1 {
		t.Errorf("what is held elsewhere has %d attempts", d.Attempts)
	}
	must(t, tx.Rollback())
	o.settled()
}

// However often a delivery is retried, its last hundred attempts are kept.
func TestAHundredAttemptsAreKept(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	b.answers(busyForAnHour)
	e, _ := o.endpoint(b.URL)
	id := o.say(1)[0]
	await(t, "an attempt", func() bool { return len(o.delivery(id, e).Tried) == 1 })
	o.exec(`UPDATE deliveries SET attempts = 100`)
	for _, kept := range []int64{1, 2} { // the hundred and first puts out the first
		_, err := o.Retry(t.Context(), id+"."+e.ID, webhooks.Limits{})
		must(t, err)
		await(t, "another attempt", func() bool {
			return !o.delivery(id, e).NextAttemptAt.IsZero() && o.delivery(id, e).Attempts == 100+kept
		})
		if n := o.count(`SELECT COUNT(*) FROM delivery_attempts`); n != kept {
			t.Errorf("%d attempts are kept, want %d", n, kept)
		}
	}
}

// What has been due for the longest goes first, whatever was said first.
func TestTheLongestDueGoesFirst(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	b.answers(busyForAnHour)
	e, _ := o.endpoint(b.URL, func(q *webhooks.EndpointRequest) { q.Concurrency = webhooks.Give(1) })
	ids := o.say(3)
	for _, id := range ids {
		await(t, "an attempt", func() bool { return len(o.delivery(id, e).Tried) == 1 })
	}
	b.says(http.StatusNoContent)
	want := []string{ids[1], ids[2], ids[0]}
	due := o.clock.now().Add(-time.Minute).UnixMilli()
	o.exec(`UPDATE deliveries SET due_at = CASE message_id WHEN ? THEN ? WHEN ? THEN ? ELSE ? END`, want[0], due, want[1], due+1000, due+2000)
	o.settled()
	if got := b.ids()[3:]; !slices.Equal(got, want) {
		t.Errorf("they came as %v, want %v", got, want)
	}
}

func busyForAnHour(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "3600")
	w.WriteHeader(http.StatusServiceUnavailable)
}
