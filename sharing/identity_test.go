package sharing_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
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

func each(t *testing.T, test func(t *testing.T, r *replica, c *cloud)) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{})
		test(t, newReplica(t, db, keyset(t), c), c)
	})
}

func TestAFirstKeyIsReadyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		made, err := r.Create(t.Context(), ada())
		must(t, err)
		if made.Status != sharing.StatusUnregistered {
			t.Errorf("made as %s", made.Status)
		}
		got := r.register(t)
		user, _ := c.User(doordecksim.AdminAda)
		if got.Status != sharing.StatusReady || got.User != user.ID || got.NewKey || got.ServesUntil.Before(time.Now().Add(29*24*time.Hour)) {
			t.Fatalf("%+v", got)
		}
		must(t, r.unlocks(t))
		if c.Unlocks(doordecksim.LockFront) != 1 {
			t.Error("the door is not open")
		}
		subjects, bodies := r.said(t)
		if !slices.Equal(subjects, []string{"gatehouse.identity.acme.ready"}) {
			t.Errorf("said %q", subjects)
		}
		for _, private := range []string{"ada@example.test", "+442079460001", doordecksim.AdminAda} {
			if strings.Contains(bodies, private) {
				t.Errorf("%s is published", private)
			}
		}
	})
}

func TestSessionsRegisterWhatIsNew(t *testing.T) {
	each(t, func(t *testing.T, r *replica, _ *cloud) {
		_, err := r.Create(t.Context(), ada())
		must(t, err)
		must(t, r.unlocks(t))
		if _, err := r.Session(t.Context(), "nobody"); !errors.Is(err, sharing.ErrNoIdentity) {
			t.Errorf("%v", err)
		}
	})
}

func TestWhatCannotBeMade(t *testing.T) {
	r := newReplica(t, sqldbtest.SQLite(t), keyset(t), newCloud(t, doordecksim.Options{}))
	for field, change := range map[string]func(*sharing.IdentityRequest){
		"name":               func(q *sharing.IdentityRequest) { q.Name = "a.b" },
		"subject":            func(q *sharing.IdentityRequest) { q.Subject = "" },
		"email":              func(q *sharing.IdentityRequest) { q.Email, q.Telephone = "", "" },
		"telephone":          func(q *sharing.IdentityRequest) { q.Telephone = "020 7946" },
		"email_verified":     func(q *sharing.IdentityRequest) { q.Email = "" },
		"telephone_verified": func(q *sharing.IdentityRequest) { q.Telephone = "" },
		"display_name":       func(q *sharing.IdentityRequest) { q.DisplayName = "Ada\nAdmin" },
	} {
		q := ada()
		change(&q)
		_, err := r.Create(t.Context(), q)
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestWhatWasTakenStaysTaken(t *testing.T) {
	each(t, func(t *testing.T, r *replica, _ *cloud) {
		r.make(t)
		tryAll := func(when string) {
			t.Helper()
			for field, q := range map[string]sharing.IdentityRequest{
				"name":      {Name: "acme", Subject: "b", Email: "b@example.test"},
				"subject":   {Name: "b", Subject: doordecksim.AdminAda, Email: "b@example.test"},
				"email":     {Name: "b", Subject: "b", Email: "ADA@Example.test"},
				"telephone": {Name: "b", Subject: "b", Telephone: "+442079460001"},
			} {
				_, err := r.Create(t.Context(), q)
				if taken, ok := errors.AsType[*sharing.TakenError](err); !ok || taken.Field != field {
					t.Errorf("%s, %s: %v", field, when, err)
				}
			}
		}
		tryAll("in use")
		must(t, r.Delete(t.Context(), "acme"))
		tryAll("deleted")
		if err := r.Delete(t.Context(), "acme"); !errors.Is(err, sharing.ErrNoIdentity) {
			t.Errorf("%v", err)
		}
		if _, err := r.Session(t.Context(), "acme"); !errors.Is(err, sharing.ErrNoIdentity) {
			t.Errorf("%v", err)
		}
		var left int
		must(t, r.db.Get(t.Context(), &left, `SELECT COUNT(*) FROM identities WHERE subject <> '' OR email <> '' OR telephone <> ''
			OR display_name <> '' OR user_id <> '' OR chain <> '' OR signing_key IS NOT NULL OR next_key IS NOT NULL`))
		if left != 0 {
			t.Error("something is left of a deleted identity")
		}
		// What was refused has left nothing behind that would take something up.
		_, err := r.Create(t.Context(), sharing.IdentityRequest{Name: "b", Subject: "b", Email: "b@example.test"})
		must(t, err)
	})
}

func TestEverythingAnAdministratorDoesIsAudited(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		c.otherKey(t, doordecksim.AdminAda)
		ctx := audit.WithActor(t.Context(), audit.Actor{Kind: audit.KindKey, Name: "ops"})
		_, err := r.Create(ctx, ada())
		must(t, err)
		_, err = r.Register(ctx, "acme", nil)
		must(t, err)
		_, err = r.Verify(ctx, "acme", "")
		must(t, err)
		_, err = r.Check(ctx, "acme", "000")
		if !errors.Is(err, sharing.ErrCodeWrong) {
			t.Error(err)
		}
		must(t, r.Delete(ctx, "acme"))
		entries, _, err := r.audit.List(t.Context(), audit.Query{Limit: 100, Actor: "ops"})
		must(t, err)
		var got []string
		for _, e := range slices.Backward(entries) {
			got = append(got, e.Action+" "+e.Outcome)
			if e.Target != "acme" {
				t.Errorf("%+v", e)
			}
		}
		want := []string{
			"identity.create done", "identity.register started", "identity.register done", "identity.verify started", "identity.verify done",
			"identity.check started", "identity.check refused", "identity.delete done",
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

func TestAListHoldsWhatTheCallerMaySee(t *testing.T) {
	each(t, func(t *testing.T, r *replica, _ *cloud) {
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			_, err := r.Create(t.Context(), sharing.IdentityRequest{Name: name, Subject: name, Email: name + "@example.test"})
			must(t, err)
		}
		must(t, r.Delete(t.Context(), "d"))
		walk := func(names []string) (got []string) {
			after := ""
			for {
				page, next, err := r.List(t.Context(), after, 2, names)
				must(t, err)
				for _, i := range page {
					got = append(got, i.Name)
				}
				if after = next; next == "" {
					return got
				}
			}
		}
		if got := walk(nil); len(got) != 4 || slices.Contains(got, "d") {
			t.Errorf("%q", got)
		}
		if got := walk([]string{"b", "d", "x"}); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%q", got)
		}
		if got := walk([]string{}); got != nil {
			t.Errorf("%q", got)
		}
		if _, _, err := r.List(t.Context(), "x!", 2, nil); err == nil {
			t.Error("any cursor will do")
		}
	})
}

func TestProvisioning(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		r.make(t)
		lee := doordeck.Person{Subject: "visitor-77", Email: "lee@example.test", Name: "Lee Ann"}
		must(t, r.Provision(t.Context(), lee))
		made, ok := c.User("visitor-77")
		if !ok || made.EmailVerified || made.Email != "lee@example.test" {
			t.Errorf("%+v", made)
		}
		for _, p := range []doordeck.Person{
			{Subject: doordecksim.AdminAda, Email: "lee@example.test"},
			{Subject: "x", Email: "Ada@example.test", EmailVerified: true},
			{Subject: "x", Telephone: "+442079460001"},
		} {
			if err := r.Provision(t.Context(), p); !errors.Is(err, sharing.ErrReserved) {
				t.Errorf("%v: %v", p, err)
			}
		}
	})
}

// Those that wait for a person are found among any number, the worst first; the others are counted.
func TestWhichIdentitiesNeedSomebody(t *testing.T) {
	each(t, func(t *testing.T, r *replica, c *cloud) {
		made, err := r.Create(t.Context(), ada())
		must(t, err)
		for _, q := range []string{
			`UPDATE identities SET status = 'ready', serves_until = 9000000000000`,
			`INSERT INTO identities (name, status, subject, email, email_verified, telephone, telephone_verified, display_name, due_at, created_at, serves_until, deleted_at)
				SELECT 'fine' || n, 'ready', 's', 'e', 0, '', 0, '', 0, n, 9000000000000, 0 FROM (` + numbers + `) AS r`,
			`INSERT INTO identities (name, status, subject, email, email_verified, telephone, telephone_verified, display_name, due_at, created_at, serves_until, deleted_at)
				VALUES ('ending', 'ready', 's', 'e', 0, '', 0, '', 0, 0, 5000, 0), ('coded', 'verification_required', 's', 'e', 0, '', 0, '', 0, 0, 0, 0),
				('broken', 'failed', 's', 'e', 0, '', 0, '', 0, 0, 9000000000000, 0), ('gone', 'failed', 's', 'e', 0, '', 0, '', 0, 0, 0, 1)`,
		} {
			_, err := r.db.Writer().ExecContext(t.Context(), q)
			must(t, err)
		}
		for _, row := range []struct {
			names []string
			most  int
			want  []string
			count int
		}{
			{nil, 50, []string{"broken", "coded", "ending"}, 3},
			{nil, 1, []string{"broken"}, 3},
			{[]string{"ending", "fine1", made.Name}, 50, []string{"ending"}, 1},
			{[]string{}, 50, nil, 0},
		} {
			found, count, err := r.Troubled(t.Context(), row.names, time.UnixMilli(6000), row.most)
			must(t, err)
			var names []string
			for _, i := range found {
				names = append(names, i.Name)
			}
			if !slices.Equal(names, row.want) || count != row.count {
				t.Errorf("of %v at most %d: %v of %d, want %v of %d", row.names, row.most, names, count, row.want, row.count)
			}
		}
	})
}

// numbers are 1 to 600.
const numbers = `WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 600) SELECT n FROM r`
