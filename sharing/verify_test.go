package sharing_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// locked has an identity whose key wants a code.
func locked(t *testing.T, test func(t *testing.T, r *replica, c *cloud)) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		c.otherKey(t, doordecksim.AdminAda)
		if got := r.make(t); got.Status != sharing.StatusVerification || !strings.Contains(got.Detail, "423") {
			t.Fatalf("%+v", got)
		}
		test(t, r, c)
	})
}

func (r *replica) verify(t testing.TB, method doordeck.Method) {
	t.Helper()
	_, err := r.Verify(t.Context(), "acme", method)
	must(t, err)
}

// typed is a code as a person types it.
func typed(code string) string { return " " + code[:3] + "-" + code[3:] + " \n" }

func TestAKeyIsProvenByACode(t *testing.T) {
	locked(t, func(t *testing.T, r *replica, c *cloud) {
		_, err := r.Session(t.Context(), "acme")
		if unready, ok := errors.AsType[*sharing.NotReadyError](err); !ok || unready.Status != sharing.StatusVerification {
			t.Fatalf("%v", err)
		}
		r.verify(t, doordeck.Email)
		code := c.Code(doordecksim.AdminAda)
		if got := r.get(t); got.Verification == nil || got.Verification.Method != "EMAIL" || got.Verification.ExpiresAt.Before(time.Now().Add(4*time.Minute)) {
			t.Errorf("%+v", got.Verification)
		}
		wrong := "999999"
		if code == wrong {
			wrong = "999998"
		}
		if _, err := r.Check(t.Context(), "acme", wrong); !errors.Is(err, sharing.ErrCodeWrong) {
			t.Errorf("%v", err)
		}
		if got := r.get(t); got.Status != sharing.StatusVerification || got.Verification.WrongCodes != 1 {
			t.Errorf("%+v", got)
		}
		for _, nonsense := range []string{"", " - ", "12#45", strings.Repeat("1", 1000)} {
			_, err := r.Check(t.Context(), "acme", nonsense)
			if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "code" || nonsense != "" && strings.Contains(err.Error(), nonsense) {
				t.Errorf("%q: %v", nonsense, err)
			}
		}
		got, err := r.Check(t.Context(), "acme", typed(code))
		must(t, err)
		if got.Status != sharing.StatusReady || got.Verification != nil {
			t.Errorf("%+v", got)
		}
		must(t, r.unlocks(t))
		subjects, bodies := r.said(t)
		if !slices.Equal(subjects, []string{"gatehouse.identity.acme.verification_required", "gatehouse.identity.acme.ready"}) {
			t.Errorf("said %q", subjects)
		}
		if strings.Contains(bodies, code) || strings.Contains(r.log.String(), code) {
			t.Error("the code is in a message or the log")
		}
		for _, err := range []error{second(r.Check(t.Context(), "acme", code)), second(r.Verify(t.Context(), "acme", ""))} {
			if !errors.Is(err, sharing.ErrNotPending) {
				t.Errorf("%v", err)
			}
		}
	})
}

func second(_ sharing.Identity, err error) error { return err }

func TestOneWishIsOneCode(t *testing.T) {
	locked(t, func(t *testing.T, r *replica, c *cloud) {
		r.verify(t, doordeck.Email)
		r.verify(t, doordeck.Email)
		r.verify(t, "")
		if n := len(c.Codes()); n != 1 {
			t.Errorf("%d codes", n)
		}
		r.verify(t, doordeck.SMS) // another wish
		r.advance(30 * time.Second)
		r.verify(t, doordeck.SMS) // the code does not come
		if n := len(c.Codes()); n != 3 {
			t.Errorf("%d codes", n)
		}
	})
}

func TestACodeNeedsAnAddress(t *testing.T) {
	r := newReplica(t, sqldbtest.SQLite(t), keyset(t), newCloud(t, doordecksim.Options{}))
	_, err := r.Create(t.Context(), sharing.IdentityRequest{Name: "acme", Subject: "new", Email: "new@example.test", EmailVerified: true, Telephone: "+442079460099"})
	must(t, err)
	for _, method := range []doordeck.Method{"WHATSAPP", "email"} {
		_, err := r.Verify(t.Context(), "acme", method)
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "method" {
			t.Errorf("%s: %v", method, err)
		}
	}
	_, err = r.Register(t.Context(), "acme", nil)
	must(t, err)
	_, err = r.Register(t.Context(), "acme", new(true))
	must(t, err)
	for _, method := range []doordeck.Method{doordeck.SMS, doordeck.Telephone} {
		_, err := r.Verify(t.Context(), "acme", method)
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "method" {
			t.Errorf("%s: %v", method, err)
		}
	}
	r.verify(t, doordeck.Email)
}

func TestFiveWrongCodesAreEnough(t *testing.T) {
	locked(t, func(t *testing.T, r *replica, c *cloud) {
		r.verify(t, "")
		for range 5 {
			if _, err := r.Check(t.Context(), "acme", "x1x1x1"); !errors.Is(err, sharing.ErrCodeWrong) {
				t.Fatal(err)
			}
		}
		if _, err := r.Check(t.Context(), "acme", c.Code(doordecksim.AdminAda)); !errors.Is(err, sharing.ErrNoCode) {
			t.Fatal(err)
		}
		r.verify(t, "") // another one, at once
		if n := len(c.Codes()); n != 2 {
			t.Errorf("%d codes", n)
		}
		_, err := r.Check(t.Context(), "acme", c.Code(doordecksim.AdminAda))
		must(t, err)
	})
}

// Doordeck asks to be left alone: it is, also by another replica and after a restart.
func TestDoordeckIsLeftAloneWhenItAsks(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{})
		c.otherKey(t, doordecksim.AdminAda)
		keys := keyset(t)
		r := newReplica(t, db, keys, c)
		r.make(t)
		c.Faults().RateLimit(doordecksim.RouteVerify, 1, "120")
		away := func(err error, most time.Duration) {
			t.Helper()
			if e, ok := errors.AsType[*sharing.AwayError](err); !ok || !e.TooMany || e.Wait <= 0 || e.Wait > most || !errors.Is(err, sharing.ErrDoordeckBusy) {
				t.Errorf("%v", err)
			}
		}
		_, err := r.Verify(t.Context(), "acme", "")
		away(err, 2*time.Minute)
		other := newReplica(t, db, keys, c)
		for range 5 {
			_, err = other.Verify(t.Context(), "acme", "")
			away(err, 2*time.Minute)
		}
		if n := c.Stats().Requests[doordecksim.RouteVerify]; n != 1 {
			t.Errorf("asked %d times", n)
		}
		other.advance(121 * time.Second)
		other.verify(t, "")
		c.Faults().RateLimit(doordecksim.RouteCheck, 1, "")
		code := c.Code(doordecksim.AdminAda)
		_, err = other.Check(t.Context(), "acme", code)
		away(err, 6*time.Minute)
		_, err = other.Check(t.Context(), "acme", code)
		away(err, 6*time.Minute)
		if n := c.Stats().Requests[doordecksim.RouteCheck]; n != 1 {
			t.Errorf("asked %d times", n)
		}
		other.advance(6 * time.Minute)
		_, err = other.Check(t.Context(), "acme", code)
		must(t, err)
	})
}

// The code was sent and the answer lost: it counts all the same.
func TestACodeThatNobodyKnowsToBeSent(t *testing.T) {
	locked(t, func(t *testing.T, r *replica, c *cloud) {
		c.Faults().CutAfter(doordecksim.RouteVerify, 1)
		if _, err := r.Verify(t.Context(), "acme", ""); !errors.Is(err, sharing.ErrDoordeckAway) {
			t.Fatal(err)
		}
		_, err := r.Check(t.Context(), "acme", c.Code(doordecksim.AdminAda))
		must(t, err)
		must(t, r.unlocks(t))
	})
}

// The code was taken and the answer lost: the same code, or the next look, finds the key proven.
func TestACodeWhoseAnswerWasLost(t *testing.T) {
	for name, after := range map[string]func(t *testing.T, r *replica, code string){
		"the same code again": func(t *testing.T, r *replica, code string) {
			_, err := r.Check(t.Context(), "acme", code)
			must(t, err)
		},
		"nobody asks": func(t *testing.T, r *replica, _ string) {
			r.advance(time.Minute)
			r.run(t)
			r.await(t, "ready", func(i sharing.Identity) bool { return i.Status == sharing.StatusReady })
		},
	} {
		t.Run(name, func(t *testing.T) {
			locked(t, func(t *testing.T, r *replica, c *cloud) {
				r.verify(t, "")
				code := c.Code(doordecksim.AdminAda)
				c.Faults().CutAfter(doordecksim.RouteCheck, 1)
				_, err := r.Check(t.Context(), "acme", code)
				if !errors.Is(err, sharing.ErrDoordeckAway) {
					t.Fatal(err)
				}
				after(t, r, code)
				must(t, r.unlocks(t))
				if n := c.Stats().Requests[doordecksim.RouteVerify]; n != 1 {
					t.Errorf("%d codes", n)
				}
			})
		})
	}
}
