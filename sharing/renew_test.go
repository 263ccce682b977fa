package sharing_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

const day = 24 * time.Hour

// pass lets time pass for Doordeck and for the gateway.
func pass(d time.Duration, c *cloud, replicas ...*replica) {
	c.Advance(d)
	for _, r := range replicas {
		r.advance(d)
	}
}

func TestTheSameKeyIsRenewedInTime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *replica, c *cloud) {
		first := r.make(t)
		stop := r.run(t)
		pass(22*day, c, r) // 8 days are left: a check only
		r.await(t, "a check", func(i sharing.Identity) bool { return i.CheckedAt.After(first.CheckedAt.Add(21 * day)) })
		if got := r.get(t); !got.ServesUntil.Equal(first.ServesUntil) {
			t.Errorf("renewed with 8 days left")
		}
		pass(day+time.Minute, c, r)
		got := r.await(t, "a new chain", func(i sharing.Identity) bool { return i.ServesUntil.After(first.ServesUntil) })
		stop()
		if got.Status != sharing.StatusReady || got.User != first.User {
			t.Errorf("%+v", got)
		}
		if subjects, _ := r.said(t); !slices.Equal(subjects, []string{"gatehouse.identity.acme.ready", "gatehouse.identity.acme.renewed"}) {
			t.Errorf("said %q", subjects)
		}
		if n := c.Stats().Requests[doordecksim.RouteVerify]; n != 0 || len(c.Codes()) != 0 {
			t.Error("another key was registered")
		}
		must(t, r.unlocks(t))
	})
}

// A gateway that was off for longer than the chain lives acts at once when it is asked to.
func TestAChainThatHasEndedIsRenewedOnTheWay(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		r.make(t)
		pass(40*day, c, r)
		must(t, r.unlocks(t))
		pass(40*day, c, r)
		c.Faults().Fail(doordecksim.RouteCertificate, 1, 503)
		_, err := r.Session(t.Context(), "acme")
		if unready, ok := errors.AsType[*sharing.NotReadyError](err); !ok || unready.Status != sharing.StatusFailed {
			t.Fatalf("%v", err)
		}
		if got := r.get(t); got.Reason != "chain_expired" {
			t.Errorf("%+v", got)
		}
		asked := c.Stats().Requests[doordecksim.RouteCertificate]
		_, err = r.Session(t.Context(), "acme")
		if n := c.Stats().Requests[doordecksim.RouteCertificate]; err == nil || n != asked {
			t.Errorf("asked again at once: %v", err)
		}
		r.advance(time.Minute)
		r.run(t)
		r.await(t, "ready", func(i sharing.Identity) bool { return i.Status == sharing.StatusReady })
		must(t, r.unlocks(t))
	})
}

func TestAChainThatCameDeadIsNotTaken(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		_, err := r.Create(t.Context(), ada())
		must(t, err)
		c.Faults().ChainLife(1, -time.Hour)
		if _, err := r.Register(t.Context(), "acme", nil); !errors.Is(err, sharing.ErrDoordeckAway) {
			t.Fatal(err)
		}
		if got := r.get(t); got.Status != sharing.StatusUnregistered || !got.ServesUntil.IsZero() {
			t.Errorf("%+v", got)
		}
		r.register(t)
		must(t, r.unlocks(t))
	})
}

// That a code is needed is found while nobody stands at the door, and the chain serves to its end.
func TestNeedingACodeIsFoundEarly(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		r.make(t)
		r.run(t)
		c.Faults().DemandCode(-1)
		pass(7*time.Hour, c, r)
		got := r.await(t, "verification_required", func(i sharing.Identity) bool { return i.Status == sharing.StatusVerification })
		if got.ServesUntil.Before(c.Now().Add(29 * day)) {
			t.Errorf("%+v", got)
		}
		must(t, r.unlocks(t))
		r.verify(t, "")
		c.Faults().Reset()
		_, err := r.Check(t.Context(), "acme", c.Code(doordecksim.AdminAda))
		must(t, err)
		if subjects, _ := r.said(t); !slices.Equal(subjects, []string{
			"gatehouse.identity.acme.ready", "gatehouse.identity.acme.verification_required", "gatehouse.identity.acme.ready",
		}) {
			t.Errorf("said %q", subjects)
		}
	})
}

func TestTheOldKeyServesUntilTheNewOneDoes(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		first := r.make(t)
		got, err := r.Register(t.Context(), "acme", new(true))
		must(t, err)
		if got.Status != sharing.StatusVerification || !got.NewKey || !got.ServesUntil.Equal(first.ServesUntil) {
			t.Fatalf("%+v", got)
		}
		must(t, r.unlocks(t))

		r.run(t) // the old key is renewed meanwhile
		pass(24*day, c, r)
		got = r.await(t, "a new chain", func(i sharing.Identity) bool { return i.ServesUntil.After(first.ServesUntil) })
		if got.Status != sharing.StatusVerification || !got.NewKey {
			t.Errorf("%+v", got)
		}
		must(t, r.unlocks(t))

		r.verify(t, "")
		got, err = r.Check(t.Context(), "acme", c.Code(doordecksim.AdminAda))
		must(t, err)
		if got.Status != sharing.StatusReady || got.NewKey {
			t.Errorf("%+v", got)
		}
		must(t, r.unlocks(t))
		if subjects, _ := r.said(t); !slices.Equal(subjects, []string{
			"gatehouse.identity.acme.ready", "gatehouse.identity.acme.verification_required", "gatehouse.identity.acme.renewed", "gatehouse.identity.acme.ready",
		}) {
			t.Errorf("said %q", subjects)
		}
	})
}

func TestANewKeyThatNobodyCanProveIsGivenUp(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		if _, err := r.Create(t.Context(), ada()); err != nil {
			t.Fatal(err)
		}
		c.otherKey(t, doordecksim.AdminAda)
		r.register(t)
		if _, err := r.Register(t.Context(), "acme", new(false)); err == nil {
			t.Error("the only key was given up")
		}
		c.ForgetKeys(doordecksim.AdminAda)
		r.register(t)
		first := r.get(t)
		if _, err := r.Register(t.Context(), "acme", new(true)); err != nil {
			t.Fatal(err)
		}
		got, err := r.Register(t.Context(), "acme", new(false))
		must(t, err)
		if got.Status != sharing.StatusReady || got.NewKey || got.ServesUntil.Before(first.ServesUntil) {
			t.Errorf("%+v", got)
		}
		must(t, r.unlocks(t))
	})
}

// Doordeck judges by its own clock, whatever ours says.
func TestClocksThatDiffer(t *testing.T) {
	for name, offset := range map[string]time.Duration{"three hours behind": -3 * time.Hour, "three hours ahead": 3 * time.Hour, "two days ahead": 2 * day} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, r *replica, c *cloud) {
				c.Faults().ClockOffset(offset)
				r.make(t)
				must(t, r.unlocks(t))
				c.Faults().ClockOffset(-offset) // and it moves
				_, err := r.Register(t.Context(), "acme", new(true))
				must(t, err)
				if got := r.get(t); got.Status != sharing.StatusVerification {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// Replicas whose clocks are off by hours work on the same rows.
func TestReplicasWhoseOwnClocksDiffer(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, keys := newCloud(t, doordecksim.Options{}), keyset(t)
		right, fast := newReplica(t, db, keys, c), newReplica(t, db, keys, c)
		fast.advance(100 * 24 * time.Hour)
		_, err := fast.Create(t.Context(), ada())
		must(t, err)
		c.Faults().Fail(doordecksim.RouteCertificate, 1, 503)
		if _, err := fast.Register(t.Context(), "acme", nil); !errors.Is(err, sharing.ErrDoordeckAway) {
			t.Fatal(err)
		}
		// To a right clock the next look lies months ahead, which can only be a mistake.
		stop := right.run(t)
		got := right.await(t, "ready", func(i sharing.Identity) bool { return i.Status == sharing.StatusReady })
		stop()
		must(t, right.unlocks(t))
		must(t, fast.unlocks(t))
		if got.NextLookAt.After(right.now().Add(day)) {
			t.Errorf("%+v", got)
		}
		if n := c.Stats().Requests[doordecksim.RouteCertificate]; n != 2 {
			t.Errorf("%d registrations", n)
		}
	})
}

func TestWhatDoordeckRefusesFailsAndComesBack(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		_, err := r.Create(t.Context(), ada())
		must(t, err)
		key := c.SigningKey(doordecksim.KeyEd25519)
		c.RemoveKey(doordecksim.DefaultIssuer, key.ID)
		got := r.register(t)
		if got.Status != sharing.StatusFailed || got.Reason != "unauthorized" || !strings.Contains(got.Detail, "401") {
			t.Fatalf("%+v", got)
		}
		must(t, c.AddKey(doordecksim.DefaultIssuer, doordecksim.Key{ID: key.ID, Public: key.Private.Public()}))
		r.run(t) // the first round of a process has hope
		r.await(t, "ready", func(i sharing.Identity) bool { return i.Status == sharing.StatusReady })
		if subjects, _ := r.said(t); !slices.Equal(subjects, []string{"gatehouse.identity.acme.failed", "gatehouse.identity.acme.ready"}) {
			t.Errorf("said %q", subjects)
		}
	})
}

func TestARegistrationIsTriedAgainButNotInAStorm(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		_, err := r.Create(t.Context(), ada())
		must(t, err)
		c.Faults().RateLimit(doordecksim.RouteCertificate, 1, "3600")
		for range 5 {
			_, err := r.Register(t.Context(), "acme", nil)
			if !errors.Is(err, sharing.ErrDoordeckBusy) {
				t.Fatal(err)
			}
			if _, err := r.Session(t.Context(), "acme"); err == nil {
				t.Fatal("acts")
			}
		}
		if n := c.Stats().Requests[doordecksim.RouteCertificate]; n != 1 {
			t.Errorf("asked %d times", n)
		}
		r.run(t)
		r.advance(59 * time.Minute)
		r.advance(2 * time.Minute)
		r.await(t, "ready", func(i sharing.Identity) bool { return i.Status == sharing.StatusReady })
	})
}

func TestTwoReplicasRegisterOneKey(t *testing.T) {
	db, keys := sqldbtest.Postgres(t), keyset(t)
	c := newCloud(t, doordecksim.Options{})
	a, b := newReplica(t, db, keys, c), newReplica(t, db, keys, c)
	c.Faults().Slow(doordecksim.RouteCertificate, -1, 20*time.Millisecond)
	_, err := a.Create(t.Context(), ada())
	must(t, err)
	a.run(t)
	b.run(t)
	var wg sync.WaitGroup
	for n := range 8 {
		r := []*replica{a, b}[n%2]
		wg.Go(func() {
			_, err := r.Register(t.Context(), "acme", nil)
			must(t, err)
			must(t, r.unlocks(t))
		})
	}
	wg.Wait()
	// A second key would have wanted a code.
	if got := a.get(t); got.Status != sharing.StatusReady || got.NewKey {
		t.Errorf("%+v", got)
	}
	if n := c.Stats().Requests[doordecksim.RouteCertificate]; n > 2 {
		t.Errorf("%d registrations for nine wishes", n)
	}
	// And a new key is one key, and one code.
	for n := range 8 {
		r := []*replica{a, b}[n%2]
		wg.Go(func() {
			_, err := r.Register(t.Context(), "acme", new(true))
			must(t, err)
			r.verify(t, "")
		})
	}
	wg.Wait()
	if codes := c.Codes(); len(codes) != 1 {
		t.Errorf("%d codes", len(codes))
	}
	_, err = b.Check(t.Context(), "acme", c.Code(doordecksim.AdminAda))
	must(t, err)
	must(t, a.unlocks(t))
}

// An identity that is deleted while Doordeck registers its key stays deleted.
func TestDeletedWhileItIsRegistered(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		_, err := r.Create(t.Context(), ada())
		must(t, err)
		c.Faults().SlowAfter(doordecksim.RouteCertificate, 1, 300*time.Millisecond)
		done := make(chan error, 1)
		go func() {
			_, err := r.Register(context.WithoutCancel(t.Context()), "acme", nil)
			done <- err
		}()
		for c.Stats().Requests[doordecksim.RouteCertificate] == 0 {
			time.Sleep(time.Millisecond)
		}
		must(t, r.Delete(t.Context(), "acme"))
		if err := <-done; !errors.Is(err, sharing.ErrNoIdentity) {
			t.Errorf("%v", err)
		}
		var left int
		must(t, r.db.Get(t.Context(), &left, `SELECT COUNT(*) FROM identities WHERE signing_key IS NOT NULL OR next_key IS NOT NULL OR chain <> ''`))
		if left != 0 {
			t.Error("a key came back")
		}
		if subjects, _ := r.said(t); len(subjects) != 0 {
			t.Errorf("said %q", subjects)
		}
	})
}

// Whoever is refused says so, and the identity is looked after before its time.
func TestADoubtIsLookedInto(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{})
		r := newReplica(t, db, keyset(t), c)
		r.make(t)
		r.run(t)
		r.await(t, "rest", func(i sharing.Identity) bool { return i.NextLookAt.After(r.now().Add(time.Hour)) })
		c.ForgetKeys(doordecksim.AdminAda)
		c.otherKey(t, doordecksim.AdminAda)
		if r.unlocks(t) == nil {
			t.Fatal("a key that Doordeck has forgotten serves")
		}
		must(t, r.Doubt(t.Context(), "acme"))
		if got := r.get(t); got.NextLookAt.Before(r.now()) {
			t.Error("doubted a moment after a look")
		}
		r.advance(2 * time.Minute)
		must(t, r.Doubt(t.Context(), "acme"))
		r.await(t, "verification_required", func(i sharing.Identity) bool { return i.Status == sharing.StatusVerification })
	})
}
