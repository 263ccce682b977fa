package sharing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/events"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// roundTrip stands between a client and its transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answered lets a test rewrite what Doordeck answers on paths that end so; ask is the request's body.
func answered(t testing.TB, c *cloud, suffix string, rewrite func(ask, answer string) (status int, body string)) {
	t.Helper()
	own := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(own.CloseIdleConnections)
	c.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		ask, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(ask))
		resp, err := own.RoundTrip(r)
		if err != nil || !strings.HasSuffix(r.URL.Path, suffix) {
			return resp, err
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		status, body := rewrite(string(ask), string(answer))
		if status == 0 {
			status, body = resp.StatusCode, string(answer)
		}
		resp.StatusCode, resp.Body = status, io.NopCloser(strings.NewReader(body))
		return resp, err
	})
}

// before lets a test hold up what is sent on paths that end so.
func before(t testing.TB, c *cloud, suffix string, hold func()) {
	t.Helper()
	own := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(own.CloseIdleConnections)
	c.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			hold()
		}
		return own.RoundTrip(r)
	})
}

// pass lets time go by everywhere, and does what is due then.
func (d *desk) pass(t testing.TB, c *cloud, by time.Duration) {
	t.Helper()
	c.Advance(by)
	d.advance(by)
	must(t, d.ops.Step(t.Context()))
}

// passUntil lets up to half a minute pass, second by second, until an operation satisfies a condition.
func (d *desk) passUntil(t testing.TB, c *cloud, a sharing.Answer, satisfied func(sharing.Answer) bool) sharing.Answer {
	t.Helper()
	must(t, d.ops.Step(t.Context()))
	for range 30 {
		if a = d.state(t, a); satisfied(a) {
			return a
		}
		d.pass(t, c, time.Second)
	}
	t.Fatalf("after half a minute it is %s", text(a))
	return a
}

func (d *desk) state(t testing.TB, a sharing.Answer) sharing.Answer {
	t.Helper()
	a, err := d.ops.Get(t.Context(), a.Operation, nil)
	must(t, err)
	return a
}

func crowd(t testing.TB, c *cloud, n int) string {
	t.Helper()
	var people []string
	for i := range n {
		_, err := c.AddUser(doordecksim.User{Subject: fmt.Sprintf("guest-%d", i)})
		must(t, err)
		people = append(people, fmt.Sprintf(`{"foreign_key":"guest-%d"}`, i))
	}
	return strings.Join(people, ",")
}

// A share of many on a slow lock takes longer than a token lives.
func TestATokenNeedNotOutliveAnOperation(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	var sent atomic.Int64
	var d *desk
	answered(t, c, "/execute", func(string, string) (int, string) {
		if sent.Add(1)%4 == 0 {
			c.Advance(2 * time.Minute)
			d.advance(2 * time.Minute)
		}
		return 0, ""
	})
	d = newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	a := d.submit(t, `{"type":"share","lock":"%s","valid_for":"2h","invitees":[%s]}`, archive, crowd(t, c, 20))
	must(t, d.ops.Step(t.Context()))
	if a = d.state(t, a); a.Status != sharing.Applied {
		t.Error(text(a))
	}
}

// An operation of many leaves Doordeck alone when it is told to, or when nobody is there.
func TestManyPeopleAreNotAStorm(t *testing.T) {
	for name, row := range map[string]struct {
		trouble func(*doordecksim.Faults)
		reason  string
		most    int
	}{
		"too much":  {func(f *doordecksim.Faults) { f.RateLimit(execute, -1, "20") }, "doordeck_busy", 4},
		"one fails": {func(f *doordecksim.Faults) { f.Fail(execute, 4, 500) }, "doordeck_unavailable", 40},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, doordecksim.Options{Strict: true})
			d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
			people := crowd(t, c, 40)
			row.trouble(c.Faults())
			before := c.Stats().Requests[execute]
			a := d.submit(t, `{"type":"share","lock":"%s","valid_for":"1h","invitees":[%s]}`, archive, people)
			must(t, d.ops.Step(t.Context()))
			a = d.state(t, a)
			if n := c.Stats().Requests[execute] - before; a.Error != row.reason || n != row.most {
				t.Errorf("%s: sent %d times at once, want %d", a.Error, n, row.most)
			}
		})
	}
}

// One name that the directory does not take spoils nobody else's.
func TestANameThatIsRefusedFailsAlone(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	answered(t, c, "/directory/query", func(ask, _ string) (int, string) {
		if strings.Contains(ask, "odd@") {
			return 400, `{"code":400,"message":"no"}`
		}
		return 0, ""
	})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	a := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"odd@example.test"},{"email":"ana@example.test"},{"email":"nobody@example.test"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	if a = d.state(t, a); a.Results[0].Error != "refused" || a.Results[1].Status != sharing.Applied || a.Results[2].Error != "not_in_directory" {
		t.Error(text(a))
	}
}

// What the door's list shows already says nothing of a share, as long as a revoke before it waits for the door.
func TestAShareBehindAWaitingRevokeIsNotConfirmedByWhatWas(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	must(t, c.SetAccess(boat, doordecksim.Member{User: doordecksim.VisitorAna, Role: doordecksim.RoleUser}))
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"24h"}`, boat)
	must(t, d.ops.Step(t.Context()))
	share := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"24h"}`, boat)
	for range 4 {
		d.pass(t, c, 8*time.Second)
	}
	if share = d.state(t, share); share.Status != sharing.Queued {
		t.Errorf("with the door away: %s", text(share))
	}
	must(t, c.SetOnline(boat, true))
	for range 4 {
		d.pass(t, c, 8*time.Second)
	}
	if share = d.state(t, share); share.Status != sharing.Confirmed || !strings.Contains(c.members(boat), "visitor-ana:USER") {
		t.Errorf("%s, and the door has %s", text(share), c.members(boat))
	}
	if revoke = d.state(t, revoke); revoke.Status != sharing.Cancelled {
		t.Error(text(revoke))
	}
}

// However soon a share ends that waits for the door, and however soon the chain of certificates: its revoke waits longer.
func TestARevokeOutlivesTheShareThatWaits(t *testing.T) {
	for name, row := range map[string]struct {
		chain time.Duration
		valid string
		wait  time.Duration
	}{
		"a long time":      {0, "100h", time.Minute},
		"50 seconds left":  {0, "100s", 50 * time.Second},
		"the chain's end":  {30 * time.Hour, "336h", time.Second},
		"the longest wait": {0, "336h", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, doordecksim.Options{Strict: true})
			if row.chain != 0 {
				c.Faults().ChainLife(-1, row.chain)
			}
			d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
			d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"%s"}`, boat, row.valid)
			must(t, d.ops.Step(t.Context()))
			d.pass(t, c, row.wait)
			revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
			must(t, d.ops.Step(t.Context()))
			l := c.Ledger()
			if revoke = d.state(t, revoke); revoke.Status != sharing.Queued || len(l) != 2 || l[1].Expires <= l[0].Expires {
				t.Errorf("%s\n%+v", text(revoke), l)
			}
		})
	}
}

// Ids are the same in any case, above all the identity's own.
func TestIDsAreTheSameInAnyCase(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	answered(t, c, "/directory/query", func(_, answer string) (int, string) {
		for _, subject := range []string{doordecksim.AdminAda, doordecksim.VisitorAna} {
			u, _ := c.User(subject)
			answer = strings.ReplaceAll(answer, u.ID, strings.ToUpper(u.ID))
		}
		return 200, answer
	})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	a := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"admin-ada"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	if a = d.state(t, a); a.Results[0].Error != "own_identity" {
		t.Error(text(a))
	}
	a = d.submit(t, `{"type":"share","lock":"%s","invitees":[{"foreign_key":"visitor-ana"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	if a = d.state(t, a); a.Status != sharing.Applied || a.Results[0].User != strings.ToLower(a.Results[0].User) {
		t.Error(text(a))
	}
}

// A list that says since when somebody has what was to begin at once shows it as well.
func TestAStartThatDoordeckFillsIn(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	answered(t, c, "/users", func(_, answer string) (int, string) {
		return 200, strings.ReplaceAll(answer, `"role":"USER"`, fmt.Sprintf(`"role":"USER","start":%d`, c.Now().Add(-time.Second).Unix()))
	})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	a := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"1h"}`, boat)
	must(t, c.SetAccess(boat, doordecksim.Member{User: "visitor-dora", Role: doordecksim.RoleUser}))
	later := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"foreign_key":"visitor-dora"}],"valid_for":"1h","start":"%s"}`,
		boat, c.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	must(t, d.ops.Step(t.Context()))
	d.pass(t, c, 8*time.Second)
	if later = d.state(t, later); later.Status == sharing.Confirmed {
		t.Errorf("one that begins now is taken for one that begins in an hour: %s", text(later))
	}
	must(t, c.SetOnline(boat, true))
	d.pass(t, c, 8*time.Second)
	if a = d.state(t, a); a.Status != sharing.Confirmed {
		t.Error(text(a))
	}
}

// A look that finds nothing new writes nothing but when to look again.
func TestLookingInVainWritesLittle(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	a := d.submit(t, `{"type":"share","lock":"%s","invitees":[%s],"valid_for":"24h"}`, boat, crowd(t, c, 30))
	must(t, d.ops.Step(t.Context()))
	turn := func() (n int64) {
		must(t, d.db.Get(t.Context(), &n, `SELECT turn FROM operations WHERE id = ?`, a.Operation))
		return n
	}
	before, asked := turn(), c.Stats().Requests[doordecksim.RouteLockUsers]
	for range 5 {
		d.pass(t, c, 8*time.Second)
	}
	if n := c.Stats().Requests[doordecksim.RouteLockUsers] - asked; n != 5 || turn() != before {
		t.Errorf("asked %d times, and written %d times", n, turn()-before)
	}
}

// An unlock that has to wait for a connection is not sent late.
func TestAnUnlockIsNotSentLate(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	var d *desk
	var shut atomic.Bool
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.DisableKeepAlives = true
	dial := own.DialContext
	own.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if shut.Load() {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return dial(ctx, network, addr)
	}
	t.Cleanup(own.CloseIdleConnections)
	c.transport = own
	d = newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	must(t, d.ops.Step(t.Context()))
	a, err := d.ops.Submit(t.Context(), everything("reception"), sharing.Request{
		Identity: "acme", Body: fmt.Appendf(nil, `{"type":"unlock","lock":"%s"}`, front), Received: d.now().Add(-9 * time.Second),
	})
	must(t, err)
	shut.Store(true)
	begin := time.Now()
	must(t, d.ops.Step(t.Context()))
	if a = d.state(t, a); a.Status != sharing.Expired || time.Since(begin) > 12*time.Second {
		t.Errorf("%s after %v", text(a), time.Since(begin))
	}
}

// An unlock that seems to come from the future is of an age that nobody knows: a clock was set back meanwhile.
func TestAnUnlockFromTheFutureIsNotSent(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	d.advance(time.Hour)
	a := d.submit(t, `{"type":"unlock","lock":"%s"}`, front)
	d.advance(-time.Hour)
	d.run(t)
	if a = d.final(t, a.Operation); a.Status != sharing.Expired || c.Unlocks(front) != 0 {
		t.Errorf("%s, and %d unlocks", text(a), c.Unlocks(front))
	}
}

// When a clock that was ahead is set right, nobody waits until it is as late again.
func TestAClockIsSetBack(t *testing.T) {
	c := newCloud(t, doordecksim.Options{})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	d.advance(time.Hour)
	d.run(t)
	a := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"9h"}`, boat)
	d.until(t, a.Operation, 30*time.Second, queued)
	d.advance(-time.Hour)
	must(t, c.SetOnline(boat, true))
	if a = d.final(t, a.Operation); a.Status != sharing.Confirmed {
		t.Error(text(a))
	}
}

// One caller leaves room for the others.
func TestOneCallerDoesNotTakeAllTheRoom(t *testing.T) {
	c := newCloud(t, doordecksim.Options{})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	_, err := d.db.Writer().ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
		INSERT INTO operations (id, caller, identity, caller_id, digest, type, lock, status, stage, waits, people, received_at, deadline_at, due_at)
		SELECT 'open-' || i, 'key:kiosk', 'acme', 'open-' || i, x'00', 'share', ?, 'queued', 'follow', 1, 1, i, i, 9e15 FROM n`, boat)
	must(t, err)
	ask := func(caller string) error {
		_, err := d.ops.Submit(t.Context(), everything(caller), sharing.Request{Identity: "acme", Body: fmt.Appendf(nil, `{"type":"unlock","lock":"%s"}`, front)})
		return err
	}
	if err := ask("kiosk"); !errors.Is(err, sharing.ErrTooManyOperations) {
		t.Errorf("the caller who has so many open: %v", err)
	}
	if err := ask("reception"); err != nil {
		t.Errorf("another: %v", err)
	}
}

// Who goes away while the operation is stored is told so, whatever becomes of it.
func TestAskingAndGoingAway(t *testing.T) {
	c := newCloud(t, doordecksim.Options{})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	for i := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		stored := make(chan error, 1)
		go func() { // holds the committer up until the caller has gone
			stored <- d.events.Do(context.WithoutCancel(ctx), func(context.Context, *events.Tx) error {
				cancel()
				return nil
			})
		}()
		_, err := d.ops.Submit(ctx, everything("reception"), sharing.Request{Identity: "acme", Body: fmt.Appendf(nil, `{"id":"%d","type":"unlock","lock":"%s"}`, i, front)})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		must(t, <-stored)
	}
}

// A share that a revoke behind it lets go of, after an answer that says offline though it was done, is not settled while
// the door's list cannot be had; and when the revoke comes to nothing, the list tells that the share was done.
func TestAShareThatWasLetGoIsSettledByTheList(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	share := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	c.Faults().FailAfter(execute, 1, 503)
	must(t, d.ops.Step(t.Context()))
	c.Faults().Fail(doordecksim.RouteLockUsers, -1, 500)
	c.Faults().RateLimit(execute, -1, "")
	revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-ana"}]}`, front)
	must(t, d.ops.Step(t.Context()))
	for range 14 {
		d.pass(t, c, 8*time.Second)
	}
	if share = d.state(t, share); share.Status != sharing.Running {
		t.Errorf("without a list the share is %s", text(share))
	}
	c.Faults().Reset()
	for range 4 {
		d.pass(t, c, 8*time.Second)
	}
	if share, revoke = d.state(t, share), d.state(t, revoke); share.Status != sharing.Applied || revoke.Status == sharing.Applied {
		t.Errorf("the door has %s, by the outcomes: %s\n%s", c.members(front), text(share), text(revoke))
	}
}
