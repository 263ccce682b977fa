package sharing_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// late loses operations on their way to Doordeck, where they arrive later all the same.
type late struct {
	c   *cloud
	own *http.Transport

	mu    sync.Mutex // a few operations are sent at one time
	loses int        // how many of the next
	lost  []lost
	// meanwhile is done once before the next is sent.
	meanwhile func()
}

// lost is what still arrives within half a minute, or never.
type lost struct {
	*http.Request
	until time.Time
}

// newLate is between a cloud and the replicas made from now on.
func newLate(t testing.TB, c *cloud) *late {
	l := &late{c: c, own: http.DefaultTransport.(*http.Transport).Clone()}
	t.Cleanup(l.own.CloseIdleConnections)
	c.transport = l
	return l
}

func (l *late) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/execute") {
		return l.own.RoundTrip(r)
	}
	l.mu.Lock()
	meanwhile := l.meanwhile
	l.meanwhile = nil
	l.mu.Unlock()
	if meanwhile != nil {
		meanwhile()
	}
	if !l.loseOne() {
		return l.own.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := r.Clone(context.Background())
	again.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, lost{again, l.c.Now().Add(30 * time.Second)})
	return nil, io.ErrUnexpectedEOF
}

// stall has something happen once before the next is sent.
func (l *late) stall(meanwhile func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.meanwhile = meanwhile
}

func (l *late) loseOne() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loses == 0 {
		return false
	}
	l.loses--
	return true
}

// arrive lets the first that was lost arrive, and says how.
func (l *late) arrive(t testing.TB) string {
	t.Helper()
	if len(l.lost) == 0 {
		return "nothing was"
	}
	r := l.lost[0]
	l.lost = l.lost[1:]
	if l.c.Now().After(r.until) {
		return "too late"
	}
	resp, err := l.own.RoundTrip(r.Request)
	if err != nil {
		return err.Error() // a mishap
	}
	must(t, resp.Body.Close())
	return resp.Status
}

// A share with somebody who has the door already is lost on its way. That the list shows them does not mean that it has
// arrived: a revoke behind it has not done its work before it cannot arrive any more.
func TestALostShareWithWhoHasTheDoorComesAfterItsRevoke(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		l := newLate(t, c)
		must(t, c.SetAccess(front, doordecksim.Member{User: doordecksim.VisitorAna, Role: doordecksim.RoleUser}))
		d := newDesk(t, db, keyset(t), c)
		l.loses = 1
		share := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
		must(t, d.ops.Step(t.Context()))
		d.pass(t, c, 2*time.Second)
		d.pass(t, c, 8*time.Second)
		if share = d.state(t, share); share.Status != sharing.Applied {
			t.Fatal(text(share))
		}
		revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
		must(t, d.ops.Step(t.Context()))
		if revoke = d.state(t, revoke); revoke.Status != sharing.Running || strings.Contains(c.members(front), "visitor-ana") {
			t.Errorf("while the share may still come: %s, and the door has %s", text(revoke), c.members(front))
		}
		if got := l.arrive(t); !strings.HasPrefix(got, "204") {
			t.Fatal(got)
		}
		for range 6 {
			d.pass(t, c, 8*time.Second)
		}
		if revoke = d.state(t, revoke); revoke.Status != sharing.Applied || strings.Contains(c.members(front), "visitor-ana") {
			t.Errorf("%s, and the door has %s", text(revoke), c.members(front))
		}
	})
}

// A list of users that is refused tells nothing: a revoke that was lost is not taken for done because nobody stands in it.
func TestAListThatIsRefusedProvesNothing(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	l := newLate(t, c)
	must(t, c.SetAccess(front, doordecksim.Member{User: doordecksim.VisitorAna, Role: doordecksim.RoleUser}))
	refused := 0
	c.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/users") && refused < 2 {
			refused++
			return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
		return l.RoundTrip(r)
	})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	l.loses = 1
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	for range 8 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Applied || strings.Contains(c.members(front), "visitor-ana") || refused == 0 {
		t.Errorf("%s, the door has %s, and %d lists were refused", text(revoke), c.members(front), refused)
	}
}

// What waits for a door and is shown by its list already is confirmed, and waits all the same: a revoke waits behind it.
func TestWhatIsConfirmedByWhatWasStillWaits(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	must(t, c.SetAccess(boat, doordecksim.Member{User: doordecksim.VisitorAna, Role: doordecksim.RoleUser}))
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	share := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, boat)
	must(t, d.ops.Step(t.Context()))
	d.pass(t, c, 8*time.Second)
	if share = d.state(t, share); share.Status != sharing.Confirmed {
		t.Fatal(text(share))
	}
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
	must(t, d.ops.Step(t.Context()))
	if revoke = d.state(t, revoke); revoke.Status != sharing.Queued {
		t.Errorf("with the door away: %s", text(revoke))
	}
	must(t, c.SetOnline(boat, true))
	for range 4 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Confirmed || c.members(boat) != "admin-ada:ADMIN" {
		t.Errorf("%s, and the door has %s", text(revoke), c.members(boat))
	}
}

// Of what has ended, and may still wait for a door, nothing is left a moment after the door has come back: it holds up nobody
// for the hours that it could have waited.
func TestWhatHasEndedHoldsUpNobodyAtADoorThatIsBack(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, boat)
	must(t, d.ops.Step(t.Context()))
	d.pass(t, c, 8*time.Second)
	if revoke = d.state(t, revoke); revoke.Status != sharing.Confirmed {
		t.Fatal(text(revoke))
	}
	share := `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`
	early := d.submit(t, share, boat)
	must(t, d.ops.Step(t.Context()))
	if early = d.state(t, early); early.Error != "earlier_queued" {
		t.Errorf("with the door away: %s", text(early))
	}
	must(t, c.SetOnline(boat, true))
	for range 6 {
		d.pass(t, c, 8*time.Second)
	}
	if early = d.state(t, early); early.Status != sharing.Applied || c.members(boat) != "admin-ada:ADMIN visitor-ana:USER" {
		t.Errorf("%s, and the door has %s", text(early), c.members(boat))
	}
}

// A share that was lost on its way comes to wait for the door behind its revoke. When the door is back, and has them both, the
// revoke is sent again.
func TestARevokeThatWaitsIsUndoneByALostShare(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		l := newLate(t, c)
		d := newDesk(t, db, keyset(t), c)
		l.loses = 1
		share := d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, boat)
		must(t, d.ops.Step(t.Context()))
		revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
		d.pass(t, c, time.Second)
		if revoke = d.state(t, revoke); revoke.Status != sharing.Queued {
			t.Fatal(text(revoke))
		}
		if got := l.arrive(t); !strings.HasPrefix(got, "202") {
			t.Fatal(got)
		}
		must(t, c.SetOnline(boat, true))
		if got := c.members(boat); got != "admin-ada:ADMIN visitor-ana:USER" {
			t.Fatalf("the door has %s: nothing is shown", got)
		}
		for range 20 {
			d.pass(t, c, 8*time.Second)
		}
		if share, revoke = d.state(t, share), d.state(t, revoke); share.Status != sharing.Cancelled || revoke.Status != sharing.Applied || c.members(boat) != "admin-ada:ADMIN" {
			t.Errorf("the door has %s\n%s\n%s", c.members(boat), text(share), text(revoke))
		}
	})
}

// That something lost has landed is sure only while the door is connected: where it goes away again, the revoke goes on waiting.
func TestALostShareAtADoorThatGoesAwayAgain(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	l := newLate(t, c)
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	l.loses = 1
	d.submit(t, `{"type":"share","lock":"%s","valid_for":"24h","invitees":[{"email":"ana@example.test"}]}`, boat)
	must(t, d.ops.Step(t.Context()))
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
	d.pass(t, c, time.Second)
	must(t, c.SetOnline(boat, true))
	d.pass(t, c, 8*time.Second)
	must(t, c.SetOnline(boat, false))
	if got := l.arrive(t); !strings.HasPrefix(got, "202") {
		t.Fatal(got)
	}
	for range 6 {
		d.pass(t, c, 8*time.Second)
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Queued {
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
