package sharing_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// addBen makes a second identity, who is AdminBen.
func (d *desk) addBen(t testing.TB) {
	t.Helper()
	_, err := d.Create(t.Context(), sharing.IdentityRequest{Name: "bens", Subject: doordecksim.AdminBen, Email: "ben@example.test", EmailVerified: true})
	must(t, err)
	_, err = d.Register(t.Context(), "bens", nil)
	must(t, err)
}

func (d *desk) submitBen(t testing.TB, body string, args ...any) sharing.Answer {
	t.Helper()
	a, err := d.ops.Submit(t.Context(), everything("reception"), sharing.Request{Identity: "bens", Body: fmt.Appendf(nil, body, args...)})
	must(t, err)
	return a
}

// Where a share waits at the door, its revoke waits behind it, also when it is another administrator's of the door.
func TestTheRevokeOfAnotherIdentitysShare(t *testing.T) {
	const revokeAna = `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-ana"}]`
	for name, body := range map[string]string{"now": revokeAna + `}`, "that may wait": revokeAna + `,"valid_for":"1h"}`} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, doordecksim.Options{Strict: true})
			must(t, c.SetAccess(boat, doordecksim.Member{User: doordecksim.AdminBen, Role: doordecksim.RoleAdmin}))
			d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
			d.addBen(t)
			share := d.submit(t, shareAnaFor("24h"), boat)
			must(t, d.ops.Step(t.Context()))
			revoke := d.submitBen(t, body, boat)
			for range 3 {
				d.pass(t, c, 8*time.Second)
			}
			if share, revoke = d.state(t, share), d.state(t, revoke); revoke.Status != sharing.Queued || share.Status != sharing.Cancelled {
				t.Errorf("with the door away: %s\n%s", text(share), text(revoke))
			}
			if sent := c.Ledger(); sent[len(sent)-1].Operation != "REMOVE_USER" || sent[len(sent)-1].Expires <= sent[0].Expires {
				t.Errorf("%+v", sent)
			}
			d.pass(t, c, 2*time.Hour)
			must(t, c.SetOnline(boat, true))
			for range 6 { // after an hour it is looked less often
				d.pass(t, c, time.Minute)
			}
			if revoke = d.state(t, revoke); revoke.Status != sharing.Confirmed || strings.Contains(c.members(boat), "visitor-ana") {
				t.Errorf("the door has %s\n%s", c.members(boat), text(revoke))
			}
		})
	}
}

// However many of an identity's doors hang, they hold up no other identity's.
func TestDoorsThatHangHoldUpNoOtherIdentity(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	own := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(own.CloseIdleConnections)
	var hanging atomic.Int64
	hangs, resume := map[string]bool{}, make(chan struct{})
	c.transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if lock, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/device/"), "/"); hangs[lock] {
			hanging.Add(1)
			select {
			case <-resume:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		return own.RoundTrip(r)
	})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	d.addBen(t)
	for range 200 {
		lock := uuid.NewString()
		hangs[lock] = true
		d.submit(t, shareAna, lock)
	}
	d.run(t)
	defer close(resume) // before the end of run is waited for
	for deadline := time.Now().Add(20 * time.Second); hanging.Load() < 64; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d doors hang: nothing is shown", hanging.Load())
		}
	}
	a := d.submitBen(t, shareAna, front)
	if a = d.final(t, a.Operation); a.Status != sharing.Applied {
		t.Errorf("with %d doors that hang: %s", hanging.Load(), text(a))
	}
}

// A replica whose clock is so far from the database's that another could take its unlocks to come from the future says so.
func TestAClockThatIsOffIsTold(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, keys := newCloud(t, doordecksim.Options{}), keyset(t)
		for _, row := range []struct {
			off  time.Duration
			told bool
		}{{0, false}, {-time.Minute, db.Postgres()}, {time.Minute, db.Postgres()}} {
			d := newDesk(t, db, keys, c)
			d.off.Store(int64(row.off))
			d.ops.CompareClocks(t.Context())
			if told := strings.Contains(d.log.String(), "clock differs"); told != row.told {
				t.Errorf("%v off: told %v", row.off, told)
			}
		}
	})
}
