package sharing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

func queued(a sharing.Answer) bool { return a.Status == sharing.Queued }

// A share that waits for an offline door is followed until the door shows it, by whoever runs then.
func TestAQueuedShareIsConfirmedAfterARestart(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, keys := newCloud(t, doordecksim.Options{Strict: true}), keyset(t)
		d := newDesk(t, db, keys, c)
		a := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}],"valid_for":"24h"}`, boat)
		d.passUntil(t, c, a, queued)
		must(t, c.SetOnline(boat, true))
		next := newDesk(t, db, keys, c)
		for range 15 { // seconds, within which it is confirmed
			next.pass(t, c, time.Second)
		}
		if a = next.state(t, a); a.Status != sharing.Partial || a.Results[0].Status != sharing.Confirmed {
			t.Errorf("%s", text(a))
		}
		if said := fmt.Sprint(next.said(t, a.Operation)); said != "[queued partial]" {
			t.Errorf("messages say %s", said)
		}
		if n, _ := c.sent(t); n != 1 {
			t.Errorf("it was sent %d times", n)
		}
	})
}

func TestAQueuedShareExpires(t *testing.T) {
	db := sqldbtest.SQLite(t)
	c := newCloud(t, doordecksim.Options{})
	d := newDesk(t, db, keyset(t), c).run(t)
	a := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"2h"}`, boat)
	short := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"foreign_key":"visitor-dora"}],"valid_for":"24h","end":"%s"}`, boat, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	d.until(t, a.Operation, 30*time.Second, queued)
	d.until(t, short.Operation, 30*time.Second, queued)
	c.Advance(61 * time.Minute)
	d.advance(61 * time.Minute)
	if short = d.final(t, short.Operation); short.Status != sharing.Expired {
		t.Errorf("past its end: %s", text(short))
	}
	if got, _ := d.ops.Get(t.Context(), a.Operation, nil); got.Status != sharing.Queued {
		t.Errorf("%s", text(got))
	}
	c.Advance(time.Hour)
	d.advance(time.Hour)
	if a = d.final(t, a.Operation); a.Status != sharing.Expired || c.members(boat) != "admin-ada:ADMIN" {
		t.Errorf("%s", text(a))
	}
	if said := fmt.Sprint(d.said(t, a.Operation)); said != "[queued expired]" {
		t.Errorf("messages say %s", said)
	}
}

// Where a share waits at the door, its revoke waits behind it, however short it was asked for, so that nobody
// gets in when the door comes back.
func TestTheRevokeOfAQueuedShare(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c)
		share := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"},{"telephone":"+442079460012"}],"valid_for":"100h"}`, boat)
		d.passUntil(t, c, share, queued)
		revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-ana"}]}`, boat)
		d.passUntil(t, c, revoke, queued)
		ledger := c.Ledger()
		if first, second := ledger[0], ledger[len(ledger)-1]; second.Operation != "REMOVE_USER" || second.Expires < first.Expires {
			t.Errorf("the share lives until %d, its revoke until %d", first.Expires, second.Expires)
		}
		d.passUntil(t, c, share, func(a sharing.Answer) bool { return a.Results[0].Status == sharing.Cancelled })
		if revoke = d.state(t, revoke); revoke.Status != sharing.Queued {
			t.Errorf("with the share still waiting: %s", text(revoke))
		}
		again := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat) // now or not at all
		d.passUntil(t, c, again, func(a sharing.Answer) bool { return a.Error == "earlier_queued" })
		must(t, c.SetOnline(boat, true))
		final := func(a sharing.Answer) bool { return a.Status.Final() }
		share, revoke, again = d.passUntil(t, c, share, final), d.passUntil(t, c, revoke, final), d.passUntil(t, c, again, final)
		if share.Status != sharing.Partial || share.Results[1].Status != sharing.Confirmed || revoke.Status != sharing.Confirmed || again.Status != sharing.Applied {
			t.Errorf("%s\n%s\n%s", text(share), text(revoke), text(again))
		}
		if got := c.members(boat); got != "admin-ada:ADMIN visitor-bram:USER visitor-ana:USER" {
			t.Errorf("the door has %s", got)
		}
	})
}

// A revoke ends what has not been sent of a share before it, and is not held up by it. However the people are
// named, and whether the share was on its way or not, its people do not have the door in the end.
func TestAShareThatIsRetriedAroundItsRevokeNeverWins(t *testing.T) {
	for name, fault := range map[string]func(*doordecksim.Faults){
		"busy":                 func(f *doordecksim.Faults) { f.RateLimit(execute, 1, "20") },
		"failing":              func(f *doordecksim.Faults) { f.Fail(execute, 2, 500) },
		"offline":              func(f *doordecksim.Faults) { f.Fail(execute, 2, 503) },
		"lost":                 func(f *doordecksim.Faults) { f.CutBefore(execute, 2) },
		"done and lost":        func(f *doordecksim.Faults) { f.CutAfter(execute, 1) },
		"lost, and done later": func(f *doordecksim.Faults) { f.Inject(doordecksim.Fault{Route: execute, N: 1, Delay: 6 * time.Second}) },
	} {
		for by, who := range map[string]string{"the same name": `{"email":"ana@example.test"}`, "another name": `{"foreign_key":"visitor-ana"}`} {
			if by == "the same name" && strings.Contains(name, "lost") {
				continue // takes long, and shows no more
			}
			t.Run(name+", "+by, func(t *testing.T) {
				t.Parallel()
				c := newCloud(t, doordecksim.Options{Strict: true})
				g := gated(t, c)
				d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c).run(t)
				fault(c.Faults())
				before := c.Stats().Requests[execute]
				share := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"1h"}`, front)
				for c.Stats().Requests[execute] == before {
					time.Sleep(time.Millisecond)
				}
				if strings.HasPrefix(name, "lost, and") { // the request is with Doordeck, and its answer will not come
					g.shut()
					g.open()
				}
				revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[%s]}`, front, who)
				if a := d.eventually(t, c, revoke.Operation); a.Status != sharing.Applied {
					t.Errorf("%s", text(a))
				}
				share = d.final(t, share.Operation)
				if share.Status != sharing.Cancelled && share.Status != sharing.Applied {
					t.Errorf("%s", text(share))
				}
				if got := c.members(front); got != "admin-ada:ADMIN admin-ben:ADMIN visitor-dora:USER" {
					t.Errorf("the door has %s after %s", got, text(share))
				}
			})
		}
	}
}

// A door that comes back while its share waits to be tried again gets it queued, and not twice.
func TestAnOfflineDoorWithoutTimeToWait(t *testing.T) {
	c := newCloud(t, doordecksim.Options{})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	offline := func(a sharing.Answer) bool { return a.Error == "door_offline" }
	final := func(a sharing.Answer) bool { return a.Status.Final() }
	a := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
	d.passUntil(t, c, a, offline)
	must(t, c.SetOnline(boat, true))
	if a = d.passUntil(t, c, a, final); a.Status != sharing.Applied {
		t.Error(text(a))
	}
	must(t, c.SetOnline(boat, false))
	a = d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
	d.passUntil(t, c, a, offline)
	d.advance(time.Minute)
	if a = d.passUntil(t, c, a, final); a.Status != sharing.Failed || a.Results[0].Error != "door_offline" {
		t.Error(text(a))
	}
}
