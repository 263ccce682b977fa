package sharing_test

import (
	"testing"

	"gatehouse/doordeck"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// ada is the administrator of all seeded doors.
func ada() sharing.IdentityRequest {
	return sharing.IdentityRequest{
		Name: "acme", Subject: doordecksim.AdminAda, Email: "ada@example.test", EmailVerified: true,
		Telephone: "+442079460001", TelephoneVerified: true, DisplayName: "Ada Admin",
	}
}

func TestAFirstKeyIsReadyAtOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{})
		r := newReplica(t, db, keyset(t), c)
		made, err := r.Create(t.Context(), ada())
		must(t, err)
		if made.Status != sharing.StatusUnregistered {
			t.Errorf("made as %s", made.Status)
		}
		got, err := r.Register(t.Context(), "acme", nil)
		must(t, err)
		if got.Status != sharing.StatusReady || got.User == "" {
			t.Fatalf("%+v", got)
		}
		s, err := r.Session(t.Context(), "acme")
		must(t, err)
		signed, err := s.Sign(doordecksim.LockFront, doordeck.Unlock{}, 0)
		must(t, err)
		outcome, err := r.Client().Execute(t.Context(), s.Token, doordecksim.LockFront, signed.JWT)
		if err != nil || outcome != doordeck.Applied || c.Unlocks(doordecksim.LockFront) != 1 {
			t.Errorf("%v, %v, %d unlocks", outcome, err, c.Unlocks(doordecksim.LockFront))
		}
	})
}
