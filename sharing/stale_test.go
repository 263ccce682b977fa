package sharing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// A worker that stalls between writing down that it sends and sending, until its lane is another's, changes
// nothing any more of what that one finds out: an unlock is not sent again, a share or revoke is once more.
func TestAWorkerThatStallsWhileItSends(t *testing.T) {
	for name, row := range map[string]struct {
		body   string
		want   sharing.Status
		sends  int // of both together
		member bool
	}{
		"unlock": {`{"type":"unlock","lock":"%s"}`, sharing.Unknown, 1, false},
		"share":  {`{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, sharing.Applied, 2, true},
		"revoke": {`{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-dora"}]}`, sharing.Applied, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, keys := newCloud(t, doordecksim.Options{Strict: true}), keyset(t)
			stalled, resume := make(chan struct{}), make(chan struct{})
			db := sqldbtest.SQLite(t)
			before(t, c, "/execute", func() { close(stalled); <-resume })
			first := newDesk(t, db, keys, c)
			c.transport = nil
			second := newDesk(t, db, keys, c)
			a := first.submit(t, row.body, front)
			ended := make(chan error, 1)
			go func() { ended <- first.ops.Step(t.Context()) }()
			<-stalled
			sent := c.Stats().Requests[execute]
			must(t, second.ops.Step(t.Context()))
			if a = second.state(t, a); a.Status != row.want {
				t.Errorf("to the second it is %s", text(a))
			}
			if n := c.Stats().Requests[execute] - sent; n != row.sends-1 {
				t.Errorf("the second sent %d times", n)
			}
			close(resume)
			if err := <-ended; err == nil || !strings.Contains(err.Error(), "another worker") {
				t.Errorf("the first ends with %v", err)
			}
			if late := second.state(t, a); text(late) != text(a) {
				t.Errorf("the first makes it %s", text(late))
			}
			if n := c.Stats().Requests[execute] - sent; n != row.sends {
				t.Errorf("both sent %d times", n)
			}
			if said := fmt.Sprint(second.said(t, a.Operation)); said != fmt.Sprintf("[%s]", row.want) {
				t.Errorf("messages say %s", said)
			}
			if got := strings.Contains(c.members(front), "visitor-ana"); got != row.member {
				t.Errorf("the door has %s", c.members(front))
			}
		})
	}
}

// What is open for an identity ends when it is deleted, and nothing is signed as it any more.
func TestADeletedIdentitysOperationsEnd(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	waits := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, boat)
	must(t, d.ops.Step(t.Context()))
	c.Faults().RateLimit(execute, 1, "1")
	tried := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, front)
	behind := d.submit(t, `{"type":"revoke","lock":"%s","valid_for":"24h","invitees":[{"foreign_key":"visitor-dora"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	if waits, tried = d.state(t, waits), d.state(t, tried); waits.Status != sharing.Queued || tried.Status != sharing.Running {
		t.Fatalf("%s\n%s", text(waits), text(tried))
	}
	must(t, d.Delete(t.Context(), "acme"))
	arrived, _ := c.sent(t)
	for range 8 {
		d.pass(t, c, 8*time.Second)
	}
	for _, a := range []sharing.Answer{waits, tried, behind} {
		if a = d.state(t, a); a.Status != sharing.Failed || a.Results[0].Error != "no_identity" {
			t.Error(text(a))
		}
	}
	if n, _ := c.sent(t); n != arrived {
		t.Errorf("%d more were sent", n-arrived)
	}
}

// What was signed while the database took long is not sent late: an unlock not at all, a share signed again. When the gateway
// stops meanwhile, nothing leaves any more.
func TestWhatWaitsForTheDatabaseIsNotSentLate(t *testing.T) {
	for name, row := range map[string]struct {
		body    string
		passes  time.Duration
		stops   bool
		want    sharing.Status
		arrived int
	}{
		"an unlock":      {`{"type":"unlock","lock":"%s"}`, 10 * time.Second, false, sharing.Expired, 0},
		"a share":        {`{"type":"share","lock":"%s","valid_for":"1h","invitees":[{"email":"ana@example.test"}]}`, 40 * time.Second, false, sharing.Applied, 1},
		"a last unlock":  {`{"type":"unlock","lock":"%s"}`, 0, true, sharing.Running, 0},
		"a last share":   {`{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, 0, true, sharing.Running, 0},
		"nothing passes": {`{"type":"unlock","lock":"%s"}`, 0, false, sharing.Applied, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, doordecksim.Options{Strict: true})
			d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
			a := d.submit(t, row.body, front)
			held, resume := make(chan struct{}), make(chan struct{})
			stored := make(chan error, 1)
			go func() {
				stored <- d.events.Do(t.Context(), func(context.Context, *events.Tx) error {
					close(held)
					<-resume
					return nil
				})
			}()
			<-held
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- d.ops.Pass(ctx, t.Context(), "acme", front) }()
			time.Sleep(200 * time.Millisecond) // until it waits; if it does not yet, nothing is shown
			c.Advance(row.passes)
			d.advance(row.passes)
			if row.stops {
				stop()
			}
			close(resume)
			must(t, <-stored)
			must(t, <-ended)
			for range 3 {
				if !row.stops {
					d.pass(t, c, time.Second)
				}
			}
			stop()
			if a = d.state(t, a); a.Status != row.want {
				t.Error(text(a))
			}
			if n, _ := c.sent(t); n != row.arrived {
				t.Errorf("%d arrived", n)
			}
			if n := c.Stats().Answers[403]; n != 0 {
				t.Errorf("%d were refused", n)
			}
		})
	}
}

// What was lost on its way once is feared until its time is over, also when a second try is found done.
func TestWhatWasSentTwiceIsFearedTwice(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	share := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	c.Faults().CutBefore(execute, 1)
	must(t, d.ops.Step(t.Context()))
	c.Faults().CutAfter(execute, 1)
	d.pass(t, c, 2*time.Second)
	d.pass(t, c, 4*time.Second)
	d.pass(t, c, 8*time.Second)
	if share = d.state(t, share); share.Status != sharing.Applied {
		t.Fatal(text(share))
	}
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	if revoke = d.state(t, revoke); revoke.Status != sharing.Running || strings.Contains(c.members(front), "visitor-ana") {
		t.Errorf("while the first may still come: %s, and the door has %s", text(revoke), c.members(front))
	}
	for range 6 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Applied {
		t.Error(text(revoke))
	}
}

// A share that waits for the door is not given up for a later one that is only on its way, and is refused in the end.
func TestALaterShareThatFailsTakesNobodysPlace(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	first := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, boat)
	must(t, d.ops.Step(t.Context()))
	c.Faults().CutBefore(execute, 1)
	later := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","role":"ADMIN","invitees":[{"email":"ana@example.test"}]}`, boat)
	must(t, d.ops.Step(t.Context()))
	c.Faults().Fail(execute, 1, 400)
	for range 3 {
		d.pass(t, c, 8*time.Second)
	}
	if first = d.state(t, first); first.Status != sharing.Queued {
		t.Errorf("with the later one on its way: %s", text(first))
	}
	must(t, c.SetOnline(boat, true))
	for range 10 {
		d.pass(t, c, 8*time.Second)
	}
	if first, later = d.state(t, first), d.state(t, later); first.Status != sharing.Confirmed || later.Status != sharing.Failed {
		t.Errorf("%s\n%s", text(first), text(later))
	}
}

// A share that waits for the door is not given up for a revoke that is only watched: when the share has come first and the
// revoke, sent again, is refused, the person has the door, and the outcomes say so.
func TestAShareIsNotGivenUpForARevokeThatIsOnlyWatched(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c)
		share := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, boat)
		must(t, d.ops.Step(t.Context()))
		if share = d.state(t, share); share.Status != sharing.Queued {
			t.Fatal(text(share))
		}
		c.Faults().Fail(execute, 1, 500)
		revoke := d.submit(t, `{"type":"revoke","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, boat)
		for range 3 { // by the list, on which she is not yet, it is done
			d.pass(t, c, 8*time.Second)
		}
		if share, revoke = d.state(t, share), d.state(t, revoke); share.Status != sharing.Queued || revoke.Status != sharing.Running {
			t.Fatalf("%s\n%s", text(share), text(revoke))
		}
		must(t, c.SetOnline(boat, true))
		c.Faults().Fail(execute, 1, 400)
		for range 10 {
			d.pass(t, c, 8*time.Second)
		}
		if share, revoke = d.state(t, share), d.state(t, revoke); share.Status != sharing.Confirmed || revoke.Status != sharing.Failed || revoke.Results[0].Error != "refused" {
			t.Errorf("%s\n%s", text(share), text(revoke))
		}
		if got := c.members(boat); got != "admin-ada:ADMIN visitor-ana:USER" {
			t.Errorf("the door has %s", got)
		}
	})
}

// A lane that another replica has is left alone.
func TestALaneIsOneReplicas(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c).run(t)
		lease := db.NewLease("operations/acme/"+front, time.Minute)
		if held, err := lease.Acquire(t.Context()); err != nil || !held {
			t.Fatal(held, err)
		}
		anothers := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
		free := d.do(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, archive)
		if anothers = d.state(t, anothers); anothers.Status != sharing.Accepted || free.Status != sharing.Applied {
			t.Errorf("%s\n%s", text(anothers), text(free))
		}
		lease.Release(t.Context())
		if anothers = d.final(t, anothers.Operation); anothers.Status != sharing.Applied {
			t.Error(text(anothers))
		}
	})
}

// What was refused although it may have been sent before has not failed until that cannot come any more.
func TestWhatIsRefusedInTheEndMayStillCome(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	a := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	c.Faults().CutBefore(execute, 1)
	must(t, d.ops.Step(t.Context()))
	c.Faults().Fail(execute, 1, 400)
	d.pass(t, c, 2*time.Second)
	if a = d.state(t, a); a.Status != sharing.Running || a.Results[0].Error != "refused" {
		t.Errorf("while the first may still come: %s", text(a))
	}
	for range 6 {
		d.pass(t, c, 8*time.Second)
	}
	if a = d.state(t, a); a.Status != sharing.Failed || a.Results[0].Error != "refused" {
		t.Error(text(a))
	}
}

// People who wait for a door together wait for as long as the one who may wait longest.
func TestABatchWaitsForAll(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"},{"telephone":"+442079460012","end":"%s"}]}`,
		boat, c.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	must(t, d.ops.Step(t.Context()))
	l := c.Ledger()
	if len(l) != 1 || l[0].Operation != "BATCH_ADD_USER" || time.Unix(int64(l[0].Expires), 0).Before(c.Now().Add(23*time.Hour)) {
		t.Errorf("%+v", l)
	}
}

// A list that cannot be had when its time is over is asked for later: what arrived has not expired.
func TestAListThatComesLateStillTells(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	a := d.submit(t, `{"type":"share","lock":"%s","valid_for":"2m","invitees":[{"email":"ana@example.test"}]}`, boat)
	must(t, d.ops.Step(t.Context()))
	c.Faults().Fail(doordecksim.RouteLockUsers, -1, 500)
	must(t, c.SetOnline(boat, true))
	for range 30 {
		d.pass(t, c, 8*time.Second)
	}
	if a = d.state(t, a); a.Status != sharing.Queued {
		t.Errorf("without a list: %s", text(a))
	}
	c.Faults().Reset()
	d.pass(t, c, 8*time.Second)
	if a = d.state(t, a); a.Status != sharing.Confirmed {
		t.Error(text(a))
	}
}
