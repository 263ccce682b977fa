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
	_, err := d.Create(t.Context(), sharing.IdentityRequest{Name: "bens", Subject: doordecksim.AdminBen, Email: "ben@example.test", EmailVerified: true})
	must(t, err)
	_, err = d.Register(t.Context(), "bens", nil)
	must(t, err)
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
	a, err := d.ops.Submit(t.Context(), everything("reception"), sharing.Request{Identity: "bens", Body: fmt.Appendf(nil, shareAna, front)})
	must(t, err)
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
