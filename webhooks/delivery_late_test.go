package webhooks_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// The URL is corrected while an attempt is under way at the old one, which then answers 410.
func TestAnOldURLDoesNotDisable(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, old, right := newOffice(t, db, keysetFile(t)), newBMS(t), newBMS(t)
		release := make(chan struct{})
		old.answers(func(w http.ResponseWriter, _ *http.Request) { <-release; w.WriteHeader(http.StatusGone) })
		e, _ := o.endpoint(old.URL)
		id := o.say(1)[0]
		await(t, "it is under way", func() bool { return old.now.Load() == 1 })
		if d := o.delivery(id, e); !d.Sending || d.Attempts != 1 || len(d.Tried) != 0 || !d.NextAttemptAt.IsZero() {
			t.Errorf("while it is being sent it is shown as %+v", d)
		}
		_, err := o.endpoints.Change(t.Context(), e.ID, webhooks.EndpointRequest{URL: webhooks.Give(right.URL)}, webhooks.Limits{})
		must(t, err)
		close(release)
		await(t, "the answer is stored", func() bool { return len(o.delivery(id, e).Tried) == 1 })
		now, err := o.endpoints.Get(t.Context(), e.ID, webhooks.Limits{})
		must(t, err)
		if !now.Enabled || now.Failures != 0 {
			t.Errorf("what the old URL answered counts for the new one: %+v", now)
		}
		o.clock.forward(10 * time.Second)
		must(t, o.Look(t.Context()))
		o.settled()
		if right.times()[id] != 1 {
			t.Errorf("the new URL got %v", right.ids())
		}
	})
}

// A gateway that is stopped in the middle of an attempt has learned nothing: the schedule goes on where it was.
func TestWhatWasNotFinishedDoesNotShiftTheSchedule(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		keys := keysetFile(t)
		o, b := newOffice(t, db, keys), newBMS(t)
		release := make(chan struct{})
		b.answers(func(http.ResponseWriter, *http.Request) { <-release })
		e, _ := o.endpoint(b.URL)
		id := o.say(1)[0]
		await(t, "it is under way", func() bool { return b.now.Load() == 1 })
		o.stop()
		o.stopLog()
		b.says(http.StatusInternalServerError)
		close(release)
		next := newOffice(t, db, keys)
		await(t, "it is sent again", func() bool {
			return len(next.delivery(id, e).Tried) == 2 && next.delivery(id, e).Tried[0].Status == 500
		})
		d := next.delivery(id, e)
		if d.Attempts != 2 || d.Tried[1].Outcome != "canceled" {
			t.Fatalf("its attempts are %+v", d)
		}
		if wait := d.NextAttemptAt.Sub(d.Tried[0].At); wait < 4*time.Second || wait > 20*time.Second {
			t.Errorf("tried again after %s, want about 5s: it was the first attempt that the endpoint answered", wait)
		}
	})
}

// One replica sees a failure, another the success that ends it, which has noted a success only just before.
func TestAnotherReplicasSuccessEndsAFailure(t *testing.T) {
	keys, database := keysetFile(t), sqldbtest.PostgresURL(t)
	one, other := newOffice(t, sqldbtest.Open(t, database), keys), newOffice(t, sqldbtest.Open(t, database), keys)
	b := newBMS(t)
	e, _ := one.endpoint(b.URL)
	other.say(1)
	one.settled()
	b.says(http.StatusInternalServerError)
	id := one.say(1)[0]
	await(t, "it has failed", func() bool { return len(one.delivery(id, e).Tried) == 1 })
	one.stop()
	if now, err := one.endpoints.Get(t.Context(), e.ID, webhooks.Limits{}); err != nil || now.Failures == 0 {
		t.Fatalf("%+v, %v", now, err)
	}
	b.says(http.StatusOK)
	other.clock.forward(40 * time.Second)
	must(t, other.Look(t.Context()))
	other.settled()
	now, err := other.endpoints.Get(t.Context(), e.ID, webhooks.Limits{})
	must(t, err)
	if now.Failures != 0 || now.LastError != "" {
		t.Errorf("it is still said to fail: %+v", now)
	}
}

// An attempt ends when its claim has run out and somebody else is at it. How it ended is shown, and what becomes of the
// delivery is for the other to say.
func TestALateResultIsLeftToWhoHasTheClaim(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		e, _ := o.endpoint(b.URL)
		for _, status := range []int{http.StatusOK, http.StatusInternalServerError} {
			await(t, "nothing is under way", func() bool { return b.now.Load() == 0 })
			release := make(chan struct{})
			b.answers(func(w http.ResponseWriter, _ *http.Request) { <-release; w.WriteHeader(status) })
			id := o.say(1)[0]
			await(t, "it is under way", func() bool { return b.now.Load() == 1 })
			due := time.Now().Add(time.Hour).UnixMilli()
			o.exec(`UPDATE deliveries SET attempts = 2, holder = 'other', due_at = ? WHERE message_id = ?`, due, id)
			close(release)
			await(t, "its result is stored", func() bool {
				return o.count(`SELECT COUNT(*) FROM delivery_attempts WHERE message_id = ?`, id) == 1
			})
			if n := o.count(`SELECT COUNT(*) FROM deliveries WHERE message_id = ? AND state = 'waiting' AND holder = 'other' AND due_at = ?`, id, due); n != 1 {
				t.Errorf("%d: the claim is not as it was: %+v", status, o.delivery(id, e))
			}
		}
	})
}

// A process alone on its directory knows that whoever had a claim is dead, and does not wait until that has run out.
func TestTheNextStartTakesBackWhatWasUnderWay(t *testing.T) {
	db, keys := sqldbtest.SQLite(t), keysetFile(t)
	o, b := newOffice(t, db, keys), newBMS(t)
	e, _ := o.endpoint(b.URL)
	ids := o.say(2)
	o.settled()
	o.stop()
	o.stopLog()
	o.exec(`UPDATE deliveries SET state = 'waiting', holder = 'killed', due_at = ? WHERE message_id = ?`, time.Now().Add(time.Hour).UnixMilli(), ids[1])
	next := newOffice(t, db, keys)
	next.settled()
	if d := next.delivery(ids[1], e); d.Attempts != 2 || b.times()[ids[1]] != 2 || b.times()[ids[0]] != 1 {
		t.Errorf("%d attempts; the endpoint got %v", d.Attempts, b.times())
	}
}

// A clock that was set back between two starts does not let what is said now go before what waits.
func TestAClockSetBackKeepsTheOrder(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		keys := keysetFile(t)
		o, b := newOffice(t, db, keys), newBMS(t)
		e, _ := o.endpoint(b.URL, ordered)
		b.says(http.StatusInternalServerError)
		waits := o.say(1)[0]
		await(t, "it has failed", func() bool { return o.count(`SELECT COUNT(*) FROM delivery_attempts`) == 1 })
		o.stop()
		o.stopLog()
		o.exec(`UPDATE deliveries SET place = ?, due_at = 0, holder = ''`, time.Now().Add(time.Hour).UnixMicro())
		b.says(http.StatusOK)
		next := newOffice(t, db, keys)
		later := next.say(1)[0]
		await(t, "both are delivered", func() bool {
			return next.delivery(waits, e).Status == "delivered" && next.delivery(later, e).Status == "delivered"
		})
		if got := b.ids(); got[len(got)-2] != waits || got[len(got)-1] != later {
			t.Errorf("it got %v, want %s before %s", got, waits, later)
		}
	})
}

// Replicas go by the database's clock and not by their own, or one of them would take what another is just sending.
func TestReplicasGoByTheDatabasesClock(t *testing.T) {
	url := sqldbtest.PostgresURL(t)
	for _, statement := range []string{
		`CREATE SCHEMA ahead`,
		`CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$`,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = ahead, pg_catalog, public', current_database()); END $$`,
	} {
		_, err := sqldbtest.Open(t, url).Writer().ExecContext(t.Context(), statement)
		must(t, err)
	}
	db := sqldbtest.Open(t, url)
	p := newPost(t, db, keysetFile(t))
	p.create(everything(), webhooks.Limits{})
	log, err := events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: prometheus.NewRegistry(), Log: quiet})
	must(t, err)
	d, err := webhooks.NewDeliveries(t.Context(), webhooks.DeliveriesConfig{
		DB: db, Log: log, Endpoints: p.Endpoints, Registerer: prometheus.NewRegistry(), Logger: quiet,
	})
	must(t, err)
	must(t, d.Look(t.Context()))
	if ahead := time.Until(d.Now()); ahead < 50*time.Minute || ahead > 70*time.Minute {
		t.Errorf("it goes %s ahead, the database an hour", ahead)
	}
}
