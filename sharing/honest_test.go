package sharing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// shareAna asks for the one person that these tests are about.
const shareAna = `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`

func shareAnaFor(valid string) string {
	return strings.TrimSuffix(shareAna, "}") + `,"valid_for":"` + valid + `"}`
}

// A share whose time is over, and of which something may still arrive at the door, has not failed yet, nor has it expired:
// what arrives then was applied.
func TestNothingHasEndedThatMayStillArrive(t *testing.T) {
	for name, row := range map[string]struct {
		body string
		old  time.Duration // how long ago it was asked for
		wait time.Duration // until it is tried once more, where it is
	}{
		"while it is sent":          {shareAna, 50 * time.Second, 0},
		"after it was sent":         {shareAna, 50 * time.Second, 2 * time.Second},
		"what may wait, while sent": {shareAnaFor("10s"), 0, 0},
		"what may wait, after":      {shareAnaFor("10s"), 0, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, doordecksim.Options{Strict: true})
			l := newLate(t, c)
			d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
			l.loses = 1
			a, err := d.ops.Submit(t.Context(), everything("reception"), sharing.Request{
				Identity: "acme", Body: fmt.Appendf(nil, row.body, front), Received: d.now().Add(-row.old),
			})
			must(t, err)
			must(t, d.ops.Step(t.Context()))
			if row.wait > 0 { // it is not on the list, and cannot be sent again
				c.Faults().RateLimit(execute, 1, "60")
				d.pass(t, c, row.wait)
			}
			d.pass(t, c, 12*time.Second)
			d.pass(t, c, 8*time.Second) // the list is looked at
			if a = d.state(t, a); a.Status != sharing.Running || strings.Contains(c.members(front), "visitor-ana") {
				t.Errorf("when its time is over it is %s", text(a))
			}
			if got := l.arrive(t); !strings.HasPrefix(got, "204") {
				t.Fatal(got)
			}
			for range 6 {
				d.pass(t, c, 8*time.Second)
			}
			if a = d.state(t, a); a.Status != sharing.Applied || !strings.Contains(c.members(front), "visitor-ana") {
				t.Errorf("the door has %s\n%s", c.members(front), text(a))
			}
		})
	}
}

// A share that was to wait for its door, and to which Doordeck answers with a failure, may wait there all the same: although
// it is refused when it is sent again, it has not failed before that.
func TestWhatWasToWaitAndFailedMayWait(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	c.Faults().FailAfter(execute, 1, 500)
	a := d.submit(t, shareAnaFor("24h"), boat)
	must(t, d.ops.Step(t.Context()))
	c.Faults().Fail(execute, 1, 400)
	for range 10 {
		d.pass(t, c, 8*time.Second)
	}
	if a = d.state(t, a); a.Status != sharing.Running {
		t.Errorf("with the door away: %s", text(a))
	}
	must(t, c.SetOnline(boat, true))
	for range 10 {
		d.pass(t, c, 8*time.Second)
	}
	if a = d.state(t, a); a.Status != sharing.Applied || c.members(boat) != "admin-ada:ADMIN visitor-ana:USER" {
		t.Errorf("the door has %s\n%s", c.members(boat), text(a))
	}
}

// A share was lost on its way and has ended, because its person had the door already. Its revoke is done at once where the door
// is connected, and is watched for as long as the share may be on its way; where the door goes away again, for as long as the
// share may wait for it.
func TestARevokeIsWatchedWhileItsDoorIsAwayAgain(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	l := newLate(t, c)
	must(t, c.SetAccess(boat, doordecksim.Member{User: doordecksim.VisitorAna, Role: doordecksim.RoleUser}))
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	l.loses = 1
	share := d.submit(t, shareAnaFor("24h"), boat)
	must(t, d.ops.Step(t.Context()))
	for range 2 {
		d.pass(t, c, 8*time.Second)
	}
	if share = d.state(t, share); share.Status != sharing.Applied {
		t.Fatal(text(share))
	}
	must(t, c.SetOnline(boat, true))
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
	d.pass(t, c, 4*time.Second)
	if revoke = d.state(t, revoke); revoke.Status != sharing.Running || c.members(boat) != "admin-ada:ADMIN" {
		t.Fatalf("the door has %s\n%s", c.members(boat), text(revoke))
	}
	must(t, c.SetOnline(boat, false))
	if got := l.arrive(t); !strings.HasPrefix(got, "202") {
		t.Fatal(got)
	}
	for range 8 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Running {
		t.Errorf("with the door away: %s", text(revoke))
	}
	must(t, c.SetOnline(boat, true))
	for range 20 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Applied || c.members(boat) != "admin-ada:ADMIN" {
		t.Errorf("the door has %s\n%s", c.members(boat), text(revoke))
	}
}

// A share was lost on its way to a door that is away. Its revoke waits there, and reaches the door as soon as that is back:
// it is not done before the share cannot come after it any more.
func TestARevokeThatWaitedIsNotDoneBeforeWhatWasLostHasLanded(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	l := newLate(t, c)
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	l.loses = 1
	d.submit(t, shareAnaFor("24h"), boat)
	must(t, d.ops.Step(t.Context()))
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
	d.pass(t, c, time.Second)
	must(t, c.SetOnline(boat, true))
	for range 3 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Queued {
		t.Errorf("while the share may still come: %s", text(revoke))
	}
	if got := l.arrive(t); !strings.HasPrefix(got, "202") {
		t.Fatal(got)
	}
	for range 20 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Applied || c.members(boat) != "admin-ada:ADMIN" {
		t.Errorf("the door has %s\n%s", c.members(boat), text(revoke))
	}
}

// A share that a revoke behind it lets go of is not cancelled while something of it may still arrive: where the revoke comes to
// nothing, it was applied.
func TestAShareThatWasLetGoMayStillArrive(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	l := newLate(t, c)
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	l.loses = 1
	share := d.submit(t, shareAna, front)
	must(t, d.ops.Step(t.Context()))
	c.Faults().RateLimit(execute, 1, "60")
	d.pass(t, c, 2*time.Second)
	c.Faults().Fail(execute, 1, 400)
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	for range 3 {
		d.pass(t, c, 8*time.Second)
	}
	if share, revoke = d.state(t, share), d.state(t, revoke); share.Status != sharing.Running || revoke.Status != sharing.Failed {
		t.Errorf("%s\n%s", text(share), text(revoke))
	}
	if got := l.arrive(t); !strings.HasPrefix(got, "204") {
		t.Fatal(got)
	}
	for range 3 {
		d.pass(t, c, 8*time.Second)
	}
	if share = d.state(t, share); share.Status != sharing.Applied || !strings.Contains(c.members(front), "visitor-ana") {
		t.Errorf("the door has %s\n%s", c.members(front), text(share))
	}
}

// A list of users may be older than what it is asked about: a revoke of which nothing is known is not done because the list
// does not show yet whom it is about.
func TestAnOldListDoesNotProveARevoke(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	old := newOldList(t, c)
	old.by = 2 * time.Second
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	d.pass(t, c, 8*time.Second)
	d.submit(t, shareAna, front)
	must(t, d.ops.Step(t.Context()))
	c.Faults().Fail(execute, 1, 500)
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	for range 6 {
		d.pass(t, c, time.Second)
	}
	for range 3 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Applied || strings.Contains(c.members(front), "visitor-ana") {
		t.Errorf("the door has %s\n%s", c.members(front), text(revoke))
	}
}

// An old list does not disprove either what was done: the share that is refused when it is sent again was applied.
func TestAnOldListDoesNotDisproveAShare(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	old := newOldList(t, c)
	old.by = 2 * time.Second
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	c.Faults().FailAfter(execute, 1, 503)
	a := d.submit(t, shareAna, front)
	must(t, d.ops.Step(t.Context()))
	c.Faults().Fail(execute, 1, 400)
	d.pass(t, c, time.Second)
	d.pass(t, c, 8*time.Second)
	if a = d.state(t, a); a.Status != sharing.Applied || !strings.Contains(c.members(front), "visitor-ana") {
		t.Errorf("the door has %s\n%s", c.members(front), text(a))
	}
}

// A share that is sent again because an old list does not show it yet, and is refused then, was applied all the same: the list
// has the last word.
func TestARefusalIsNotTheLastWord(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	l, old := newLate(t, c), newOldList(t, c)
	old.by = 2 * time.Second
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	l.loses = 1
	d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	d.pass(t, c, 3*time.Second)
	share := d.submit(t, shareAna, front) // is watched as long as the revoke may come
	must(t, d.ops.Step(t.Context()))
	c.Faults().Fail(execute, 1, 400)
	must(t, d.ops.Step(t.Context()))
	if n := c.Stats().Answers[400]; n != 1 {
		t.Fatalf("%d were refused: nothing is shown", n)
	}
	for range 6 {
		d.pass(t, c, 8*time.Second)
	}
	if share = d.state(t, share); share.Status != sharing.Applied || !strings.Contains(c.members(front), "visitor-ana") {
		t.Errorf("the door has %s\n%s", c.members(front), text(share))
	}
}

// A share that is tried in vain until its end has expired: there was no use in it any more.
func TestAShareThatIsTriedUntilItsEndHasExpired(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	c.Faults().RateLimit(execute, -1, "")
	a := d.submit(t, strings.TrimSuffix(shareAna, "}")+`,"end":"%s"}`, front, c.Now().Add(20*time.Second).UTC().Format(time.RFC3339))
	must(t, d.ops.Step(t.Context()))
	d.pass(t, c, 25*time.Second)
	if a = d.state(t, a); a.Status != sharing.Expired || a.Results[0].Error != "doordeck_busy" {
		t.Error(text(a))
	}
}

// That a door is away is told by its answer, also where Doordeck shows it as connected: what may wait waits then.
func TestADoorThatAnswersThatItIsAway(t *testing.T) {
	for _, status := range []int{503, 504} {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
		c.Faults().Fail(execute, 1, status)
		a := d.submit(t, shareAnaFor("24h"), front)
		must(t, d.ops.Step(t.Context()))
		d.pass(t, c, 4*time.Second)
		if a, sent := d.state(t, a), c.Ledger(); a.Status != sharing.Queued || len(sent) != 1 || time.Unix(int64(sent[0].Expires), 0).Before(c.Now().Add(23*time.Hour)) {
			t.Errorf("after %d: %s\n%+v", status, text(a), sent)
		}
	}
}
