package sharing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
	"gatehouse/sharing"
)

// desk is a replica that runs operations, with the identity acme, who is AdminAda.
type desk struct {
	*replica
	ops  *sharing.Operations
	stop func()
	// off is by how much the wall clock by which operations are judged has been set wrong. Doordeck's time, by which they are
	// signed, follows a clock that nobody can set.
	off atomic.Int64
}

// wall is what the desk's clock on the wall shows.
func (d *desk) wall() time.Time { return d.now().Add(time.Duration(d.off.Load())) }

// everything is an authority that may ask for all.
func everything(caller string) sharing.Authority {
	return sharing.OfScopes(caller, []string{"admin"}, nil)
}

// newDesk makes a replica on a database, and the identity unless another has.
func newDesk(t testing.TB, db *sqldb.DB, keys string, c *cloud) *desk {
	t.Helper()
	d := &desk{replica: newReplica(t, db, keys, c)}
	d.restart(t, keys)
	if _, err := d.Get(t.Context(), "acme"); err != nil {
		_, err := d.Create(t.Context(), ada())
		must(t, err)
		_, err = d.Register(t.Context(), "acme", nil)
		must(t, err)
	}
	return d
}

// restart makes Operations that know nothing but what is stored.
func (d *desk) restart(t testing.TB, keys string) {
	t.Helper()
	v, err := vault.Load(t.Context(), keys, d.db.Writer(), true)
	must(t, err)
	d.ops = sharing.NewOperations(sharing.OperationsConfig{
		DB: d.db, Events: d.events, Vault: v, Identities: d.Identities,
		Log: slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: d.wall,
	})
}

// run runs operations until stop, or the end of the test.
func (d *desk) run(t testing.TB) *desk {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.ops.Run(ctx) }()
	d.stop = func() { cancel(); <-done }
	t.Cleanup(d.stop)
	return d
}

func (d *desk) submit(t testing.TB, body string, args ...any) sharing.Answer {
	t.Helper()
	a, err := d.ops.Submit(t.Context(), everything("reception"), sharing.Request{Identity: "acme", Body: fmt.Appendf(nil, body, args...)})
	must(t, err)
	return a
}

// until waits for an operation to satisfy a condition.
func (d *desk) until(t testing.TB, id string, within time.Duration, satisfied func(sharing.Answer) bool) sharing.Answer {
	t.Helper()
	for deadline := time.Now().Add(within); ; {
		a, err := d.ops.Get(t.Context(), id, nil)
		must(t, err)
		if satisfied(a) {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is %s", within, text(a))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (d *desk) final(t testing.TB, id string) sharing.Answer {
	t.Helper()
	return d.until(t, id, 50*time.Second, func(a sharing.Answer) bool { return a.Status.Final() })
}

// eventually is final where something that was lost on the way is waited for: after a time, time is made to pass.
func (d *desk) eventually(t testing.TB, c *cloud, id string) sharing.Answer {
	t.Helper()
	for range 800 {
		if a, err := d.ops.Get(t.Context(), id, nil); err != nil || a.Status.Final() {
			return a
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.Advance(40 * time.Second)
	d.advance(40 * time.Second)
	return d.final(t, id)
}

func (d *desk) do(t testing.TB, body string, args ...any) sharing.Answer {
	t.Helper()
	return d.final(t, d.submit(t, body, args...).Operation)
}

// said lists the statuses that messages have reported of an operation, in order.
func (d *desk) said(t testing.TB, id string) (statuses []string) {
	t.Helper()
	stored, _, err := events.NewHistory(d.db, d.events).List(t.Context(), events.Query{Limit: events.MaxPage})
	must(t, err)
	for i := len(stored) - 1; i >= 0; i-- {
		var m struct {
			Data sharing.Answer `json:"data"`
		}
		must(t, json.Unmarshal(stored[i].Body, &m))
		if m.Data.Operation == id {
			if want := "gatehouse.operation." + m.Data.Identity + "." + string(m.Data.Status); stored[i].Subject != want {
				t.Errorf("said on %s, want %s", stored[i].Subject, want)
			}
			statuses = append(statuses, string(m.Data.Status))
		}
	}
	return statuses
}

func text(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

// members are the subjects of those who have a lock, with their roles.
func (c *cloud) members(lock string) string {
	var all []string
	for _, m := range c.Users(lock) {
		u, _ := c.User(m.User)
		all = append(all, u.Subject+":"+string(m.Role))
	}
	return strings.Join(all, " ")
}

const (
	front   = doordecksim.LockFront
	loading = doordecksim.LockLoading
	archive = doordecksim.LockArchive
	boat    = doordecksim.LockBoat
	lift    = doordecksim.LockLift
)
