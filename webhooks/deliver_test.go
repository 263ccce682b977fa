package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/standardwebhooks"
	"gatehouse/webhooks"
)

func TestDeliveryIsTheMessageSignedTwice(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		before := o.say(1)
		e, secret := o.endpoint(b.URL + "/hooks?key=k")
		id := o.say(1)[0]
		o.sayOf("other", 1)
		o.settled()
		hits := b.got()
		if len(hits) != 1 || hits[0].id != id {
			t.Fatalf("the endpoint got %v, want %s alone: neither what was said before it was made (%v) nor what it does not want", b.ids(), id, before)
		}
		h := hits[0]
		var body []byte
		must(t, o.db.Get(t.Context(), &body, `SELECT body FROM messages WHERE id = ?`, id))
		if string(h.body) != string(body) || h.header.Get("Content-Type") != events.ContentType {
			t.Errorf("it got %s as %s, want the message's own bytes", h.body, h.header.Get("Content-Type"))
		}
		if got, err := standardwebhooks.Verify(h.header, h.body, time.Now(), standardwebhooks.Tolerance, secret); err != nil || got != id {
			t.Errorf("Standard Webhooks: %q, %v", got, err)
		}
		v := doorflow.Verifier{Secrets: [][]byte{[]byte(secret.Reveal())}, Tolerance: 5 * time.Minute}
		if _, err := v.Verify(h.header, h.body); err != nil {
			t.Errorf("DoorFlow's scheme: %v", err)
		}
		d := o.delivery(id, e)
		if d.Status != "delivered" || d.Attempts != 1 || len(d.Tried) != 1 || d.Tried[0].Status != 200 || d.Tried[0].Outcome != webhooks.OutcomeDelivered ||
			!strings.HasPrefix(d.Subject, "gatehouse.event.hX9aQ2.") {
			t.Errorf("the delivery is %+v", d)
		}
	})
}

func TestBothSecretsSignAfterARotation(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	e, old := o.endpoint(b.URL)
	_, fresh, err := o.endpoints.RotateSecret(t.Context(), e.ID, webhooks.Limits{})
	must(t, err)
	o.say(1)
	o.settled()
	o.clock.forward(25 * time.Hour)
	o.say(1)
	o.settled()
	hits := b.got()
	for i, row := range []struct {
		secret standardwebhooks.Secret
		valid  []bool
	}{{old, []bool{true, false}}, {fresh, []bool{true, true}}} {
		for n, want := range row.valid {
			_, err := standardwebhooks.Verify(hits[n].header, hits[n].body, o.clock.now().Add(time.Duration(n-1)*25*time.Hour), standardwebhooks.Tolerance, row.secret)
			if (err == nil) != want {
				t.Errorf("secret %d, delivery %d: %v, want it to hold: %v", i, n, err, want)
			}
		}
	}
	v := doorflow.Verifier{Secrets: [][]byte{[]byte(fresh.Reveal())}, Tolerance: 5 * time.Minute}
	if _, err := v.Verify(hits[0].header, hits[0].body); err != nil {
		t.Errorf("DoorFlow's signature is not by the new secret: %v", err)
	}
}

// A delivery is tried at the times of the schedule, then parked; retried, it begins anew, with the same id.
func TestRetriesThenParksThenRetriesByHand(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		b.says(http.StatusInternalServerError)
		e, _ := o.endpoint(b.URL)
		id := o.say(1)[0]
		last := time.Time{}
		attempts := 0
		for attempts < 200 {
			attempts++
			await(t, fmt.Sprintf("attempt %d", attempts), func() bool {
				d := o.delivery(id, e)
				return d.Attempts == int64(attempts) && (!d.NextAttemptAt.IsZero() || d.Status == "parked")
			})
			d := o.delivery(id, e)
			if len(b.got()) != attempts {
				t.Fatalf("%d attempts are counted, the endpoint got %d", attempts, len(b.got()))
			}
			if d.Status == "parked" {
				last = d.SettledAt
				break
			}
			o.clock.forward(d.NextAttemptAt.Sub(o.clock.now()) + time.Second)
			must(t, o.Look(t.Context()))
		}
		created := o.delivery(id, e).CreatedAt
		if took := last.Sub(created); took < 70*time.Hour || took > 73*time.Hour || attempts < 70 || attempts > 85 {
			t.Errorf("parked after %s and %d attempts, want about 72h and 5+70", took, attempts)
		}
		if d := o.delivery(id, e); len(d.Tried) != attempts || d.Tried[0].Outcome != webhooks.OutcomeFailed || d.Tried[0].Status != 500 {
			t.Errorf("%d attempts are shown, the last as %+v", len(d.Tried), d.Tried[0])
		}
		retry := func() {
			t.Helper()
			_, err := o.Retry(t.Context(), id+"."+e.ID, webhooks.Limits{})
			must(t, err)
		}
		retry()
		await(t, "it failed again", func() bool { return len(o.delivery(id, e).Tried) > attempts })
		o.clock.forward(10 * time.Second)
		must(t, o.Look(t.Context()))
		await(t, "the schedule has begun anew", func() bool { return len(b.got()) > attempts+1 })
		b.says(http.StatusNoContent)
		retry()
		o.settled()
		if d := o.delivery(id, e); d.Status != "delivered" || d.Attempts != int64(len(b.got())) {
			t.Errorf("retried, it is %s after %d attempts", d.Status, d.Attempts)
		}
		for _, h := range b.got() {
			if h.id != id {
				t.Fatalf("an attempt had the id %s", h.id)
			}
		}
	})
}

func TestRetryAfterIsHeededAndCapped(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	e, _ := o.endpoint(b.URL)
	for header, want := range map[string]time.Duration{"120": 2 * time.Minute, "31536000": time.Hour} {
		b.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		id := o.say(1)[0]
		await(t, "an attempt", func() bool { return !o.delivery(id, e).NextAttemptAt.IsZero() && o.delivery(id, e).Attempts == 1 })
		d := o.delivery(id, e)
		if wait := d.NextAttemptAt.Sub(d.Tried[0].At); wait < want || wait > want*112/100+time.Second {
			t.Errorf("Retry-After: %s: tried again after %s, want about %s", header, wait, want)
		}
	}
}

func TestGoneDisables(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		b.says(http.StatusGone)
		e, _ := o.endpoint(b.URL, ordered)
		ids := o.sayAtOnce(3)
		await(t, "disabled", func() bool {
			now, err := o.endpoints.Get(t.Context(), e.ID, webhooks.Limits{})
			return err == nil && !now.Enabled && now.DisabledReason == webhooks.DisabledGone
		})
		if _, err := o.Retry(t.Context(), ids[0]+"."+e.ID, webhooks.Limits{}); err != webhooks.ErrEndpointDisabled {
			t.Errorf("retrying for a disabled endpoint: %v", err)
		}
		if d := o.delivery(ids[1], e); d.Status != "waiting" || !d.NextAttemptAt.IsZero() || d.Sending {
			t.Errorf("what waits for a disabled endpoint is shown as %+v", d)
		}
		b.says(http.StatusOK)
		o.clock.forward(time.Minute)
		must(t, o.Look(t.Context()))
		o.say(1) // while it is disabled: not for it
		_, err := o.endpoints.Change(t.Context(), e.ID, enabled(true), webhooks.Limits{})
		must(t, err)
		must(t, o.Look(t.Context()))
		await(t, "all are delivered", func() bool { return o.count(`SELECT COUNT(*) FROM deliveries WHERE state = 'delivered'`) == 3 })
		if got, want := b.ids(), append([]string{ids[0]}, ids...); !slices.Equal(got, want) {
			t.Errorf("it got %v, want %v: the first, which it refused, and all three when it was enabled", got, want)
		}
		if n := o.count(`SELECT COUNT(*) FROM messages WHERE subject = ?`, "gatehouse.endpoint."+e.ID+".disabled"); n != 1 {
			t.Errorf("disabled was said %d times", n)
		}
	})
}

func TestFiveDaysOfFailureDisable(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	b.says(http.StatusBadGateway)
	e, _ := o.endpoint(b.URL)
	for day := range 6 {
		id := o.say(1)[0]
		await(t, "an attempt", func() bool { return len(o.delivery(id, e).Tried) > 0 })
		now, err := o.endpoints.Get(t.Context(), e.ID, webhooks.Limits{})
		must(t, err)
		if now.Enabled != (day < 5) {
			t.Fatalf("on day %d enabled is %v", day, now.Enabled)
		}
		o.clock.forward(24*time.Hour + time.Minute)
	}
}

// What is said to an ordered endpoint comes one at a time and in order, also when it fails in between.
func TestOrderIsKept(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		o, b := newOffice(t, db, keysetFile(t)), newBMS(t)
		n := 0
		b.answers(func(w http.ResponseWriter, r *http.Request) { // called one at a time, or the test fails
			if n++; n%7 == 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		e, _ := o.endpoint(b.URL, ordered)
		want := append(o.sayAtOnce(20), o.say(20)...)
		await(t, "all are delivered", func() bool {
			for _, id := range want {
				o.forward(id, e)
			}
			return o.count(`SELECT COUNT(*) FROM deliveries WHERE state = 'delivered' AND endpoint_id = ?`, e.ID) == 40
		})
		if got := slices.Compact(b.ids()); !slices.Equal(got, want) {
			t.Errorf("got\n%v, want\n%v", got, want)
		}
		if most := b.most.Load(); most != 1 {
			t.Errorf("%d were sent at once", most)
		}
	})
}

// A parked delivery holds the next of an ordered endpoint up no longer.
func TestParkedHoldsUpNothing(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	e, _ := o.endpoint(b.URL, ordered)
	var first string
	b.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("webhook-id") == first {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	must(t, o.log.Do(t.Context(), func(context.Context, *events.Tx) error { return nil }))
	m, err := events.NewMessage(events.EventTopic("hX9aQ2", events.Class{Class: "access", Name: "denied"}), time.Now(), json.RawMessage(`{}`)).Encode()
	must(t, err)
	first = m.ID
	must(t, o.log.Do(t.Context(), func(_ context.Context, tx *events.Tx) error { tx.Append(m); return nil }))
	second := o.say(1)[0]
	await(t, "the first is parked and the second delivered", func() bool {
		o.forward(first, e)
		return o.delivery(first, e).Status == "parked" && o.delivery(second, e).Status == "delivered"
	})
}

// Eight at a time by default, and no more.
func TestConcurrencyIsBounded(t *testing.T) {
	o, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t)
	release := make(chan struct{})
	b.answers(func(http.ResponseWriter, *http.Request) { <-release })
	o.endpoint(b.URL)
	o.sayAtOnce(40)
	await(t, "eight are under way", func() bool { return b.now.Load() == 8 })
	close(release)
	o.settled()
	if most := b.most.Load(); most != 8 {
		t.Errorf("%d were sent at once, want 8", most)
	}
	if times := b.times(); len(times) != 40 || len(b.got()) != 40 {
		t.Errorf("%d messages came in %d requests, want 40 in 40", len(times), len(b.got()))
	}
}

// An endpoint that hangs has no part in how soon another gets its messages, and two of its slots stay in use.
func TestAHangingEndpointHoldsUpNoOther(t *testing.T) {
	o, dead, b := newOffice(t, sqldbtest.SQLite(t), keysetFile(t)), newBMS(t), newBMS(t)
	release := make(chan struct{})
	dead.answers(func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	o.endpoint(dead.URL)
	o.endpoint(b.URL)
	o.say(100)
	await(t, "the other got all", func() bool { return len(b.times()) == 100 })
	if n := dead.most.Load(); n > 8 {
		t.Errorf("the hanging one was sent %d at once", n)
	}
}

// What was under way when a process was stopped is sent again by the next, and counted.
func TestStopAndStartAgain(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		keys := keysetFile(t)
		o, b := newOffice(t, db, keys), newBMS(t)
		release := make(chan struct{})
		b.answers(func(http.ResponseWriter, *http.Request) { <-release })
		e, _ := o.endpoint(b.URL)
		ids := o.sayAtOnce(20)
		await(t, "eight are under way", func() bool { return b.now.Load() == 8 })
		o.stop()
		o.stopLog()
		close(release)
		b.says(http.StatusOK)
		next := newOffice(t, db, keys)
		more := next.say(5)
		next.settled()
		times := b.times()
		for _, id := range append(ids, more...) {
			d := next.delivery(id, e)
			if d.Status != "delivered" || times[id] < 1 || int64(times[id]) > d.Attempts {
				t.Errorf("%s is %s, came %d times in %d attempts", id, d.Status, times[id], d.Attempts)
			}
		}
	})
}

// Two replicas share the work: what either says goes to each endpoint once.
func TestTwoReplicasDeliverOnce(t *testing.T) {
	keys, database := keysetFile(t), sqldbtest.PostgresURL(t)
	a := newOffice(t, sqldbtest.Open(t, database), keys)
	z := newOffice(t, sqldbtest.Open(t, database), keys)
	var all []*bms
	for i := range 10 {
		b := newBMS(t)
		all = append(all, b)
		if i%2 == 0 {
			a.endpoint(b.URL)
		} else {
			z.endpoint(b.URL, ordered)
		}
	}
	done := make(chan []string)
	go func() { done <- a.say(100) }()
	ids := append(z.say(100), <-done...)
	a.settled()
	for i, b := range all {
		times := b.times()
		for _, id := range ids {
			if times[id] != 1 {
				t.Errorf("endpoint %d got %s %d times", i, id, times[id])
			}
		}
		if i%2 == 1 && b.most.Load() != 1 {
			t.Errorf("ordered endpoint %d got %d at once", i, b.most.Load())
		}
	}
}

// A replica that died leaves messages that are not fanned out, and deliveries that it had claimed.
func TestTakesOverFromTheDead(t *testing.T) {
	keys, database := keysetFile(t), sqldbtest.PostgresURL(t)
	dead := newOffice(t, sqldbtest.Open(t, database), keys)
	b := newBMS(t)
	release := make(chan struct{})
	b.answers(func(http.ResponseWriter, *http.Request) { <-release })
	e, _ := dead.endpoint(b.URL)
	claimed := dead.sayAtOnce(4)
	await(t, "four are under way", func() bool { return b.now.Load() == 4 })
	dead.stop()
	left := dead.say(3) // nobody fans it out
	dead.stopLog()
	close(release)
	_, err := dead.db.Writer().ExecContext(t.Context(), `UPDATE deliveries SET holder = 'dead', state = 'waiting', due_at = $1`, time.Now().Add(30*time.Second).UnixMilli())
	must(t, err)
	_, err = dead.db.Writer().ExecContext(t.Context(), `UPDATE writers SET expires_at = 0`)
	must(t, err)
	heir := newOffice(t, sqldbtest.Open(t, database), keys)
	await(t, "what was left is delivered", func() bool {
		return heir.count(`SELECT COUNT(*) FROM deliveries WHERE state = 'delivered'`) == int64(len(left))
	})
	heir.clock.forward(time.Minute) // the leases have run out
	heir.settled()
	for _, id := range append(claimed, left...) {
		if heir.delivery(id, e).Status != "delivered" {
			t.Errorf("%s was not delivered", id)
		}
	}
}
