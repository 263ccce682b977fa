package sharing_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

const execute = doordecksim.RouteExecute

// sent counts the signed operations that reached Doordeck, and those that were applied; ids must be fresh.
func (c *cloud) sent(t testing.TB) (arrived, applied int) {
	t.Helper()
	seen := map[string]bool{}
	for _, e := range c.Ledger() {
		if arrived++; e.Outcome == doordecksim.Applied {
			applied++
		}
		if seen[e.JTI] {
			t.Errorf("the id %s was used twice", e.JTI)
		}
		seen[e.JTI] = true
	}
	return arrived, applied
}

// Whatever goes wrong on the way, a share and its revoke end as applied once it goes right again, and the door's
// list is what was asked for.
func TestFaultsOnTheWay(t *testing.T) {
	for name, fault := range map[string]func(*doordecksim.Faults){
		"busy":                      func(f *doordecksim.Faults) { f.RateLimit(execute, 2, "") },
		"busy, for a second":        func(f *doordecksim.Faults) { f.RateLimit(execute, 1, "1") },
		"fails":                     func(f *doordecksim.Faults) { f.Fail(execute, 2, 500) },
		"door offline":              func(f *doordecksim.Faults) { f.Fail(execute, 2, 503) },
		"door silent":               func(f *doordecksim.Faults) { f.Fail(execute, 1, 504) },
		"cut before":                func(f *doordecksim.Faults) { f.CutBefore(execute, 2) },
		"done and cut":              func(f *doordecksim.Faults) { f.CutAfter(execute, 1) },
		"done and failed":           func(f *doordecksim.Faults) { f.FailAfter(execute, 1, 500) },
		"done and offline":          func(f *doordecksim.Faults) { f.FailAfter(execute, 1, 503) },
		"done and silent":           func(f *doordecksim.Faults) { f.FailAfter(execute, 1, 504) },
		"done and used":             func(f *doordecksim.Faults) { f.FailAfter(execute, 1, 409) },
		"not done and used":         func(f *doordecksim.Faults) { f.Fail(execute, 1, 409) },
		"the list fails as well":    func(f *doordecksim.Faults) { f.CutAfter(execute, 1); f.Fail(doordecksim.RouteLockUsers, 2, 500) },
		"the directory fails":       func(f *doordecksim.Faults) { f.Fail(doordecksim.RouteDirectory, 2, 500) },
		"the directory is busy":     func(f *doordecksim.Faults) { f.RateLimit(doordecksim.RouteDirectory, 1, "1") },
		"the lock fails":            func(f *doordecksim.Faults) { f.Fail(doordecksim.RouteLock, 2, 503) },
		"everything is cut":         func(f *doordecksim.Faults) { f.CutBefore("", 3) },
		"done, as plain text":       func(f *doordecksim.Faults) { f.Errors(doordecksim.ErrorsAsText); f.FailAfter(execute, 1, 500) },
		"other words for a success": func(f *doordecksim.Faults) { f.ShareStatus(1, 200) },
		"slow":                      func(f *doordecksim.Faults) { f.Slow(execute, 1, 300*time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, doordecksim.Options{Strict: true})
			d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c).run(t)
			fault(c.Faults())
			share := d.do(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"},{"telephone":"+442079460012"}]}`, front)
			if share.Status != sharing.Applied {
				t.Errorf("%s", text(share))
			}
			if got := c.members(front); got != "admin-ada:ADMIN admin-ben:ADMIN visitor-dora:USER visitor-ana:USER visitor-bram:USER" {
				t.Errorf("after the share the door has %s", got)
			}
			fault(c.Faults())
			revoke := d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"},{"telephone":"+442079460012"}]}`, front)
			revoke = d.eventually(t, c, revoke.Operation)
			if revoke.Status != sharing.Applied {
				t.Errorf("%s", text(revoke))
			}
			if got := c.members(front); got != "admin-ada:ADMIN admin-ben:ADMIN visitor-dora:USER" {
				t.Errorf("after the revoke the door has %s", got)
			}
			c.sent(t)
			if said := fmt.Sprint(d.said(t, share.Operation), d.said(t, revoke.Operation)); said != "[applied] [applied]" {
				t.Errorf("messages say %s", said)
			}
		})
	}
}

// An unlock is sent at most once, and its outcome says no more than was learned.
func TestAnUnlockIsSentOnce(t *testing.T) {
	for name, row := range map[string]struct {
		fault   func(*cloud)
		want    sharing.Status
		reason  string
		unlocks int
	}{
		"nothing":         {func(*cloud) {}, sharing.Applied, "", 1},
		"busy":            {func(c *cloud) { c.Faults().RateLimit(execute, 1, "") }, sharing.Failed, "doordeck_busy", 0},
		"fails":           {func(c *cloud) { c.Faults().Fail(execute, 1, 500) }, sharing.Unknown, "doordeck_unavailable", 0},
		"offline":         {func(c *cloud) { must(t, c.SetOnline(front, false)) }, sharing.Failed, "door_offline", 0},
		"silent":          {func(c *cloud) { must(t, c.SetHanging(front, true)) }, sharing.Unknown, "door_no_answer", 0},
		"cut before":      {func(c *cloud) { c.Faults().CutBefore(execute, 1) }, sharing.Unknown, "doordeck_unavailable", 0},
		"done and cut":    {func(c *cloud) { c.Faults().CutAfter(execute, 1) }, sharing.Unknown, "doordeck_unavailable", 1},
		"done and failed": {func(c *cloud) { c.Faults().FailAfter(execute, 1, 502) }, sharing.Unknown, "doordeck_unavailable", 1},
		"done and used":   {func(c *cloud) { c.Faults().FailAfter(execute, 1, 409) }, sharing.Unknown, "doordeck_unavailable", 1},
		"refused":         {func(c *cloud) { c.Faults().Fail(execute, 1, 403) }, sharing.Failed, "refused", 0},
		"no such lock":    {func(c *cloud) { must(t, c.RemoveAccess(front, doordecksim.AdminAda)) }, sharing.Failed, "refused", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, doordecksim.Options{Strict: true})
			d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c).run(t)
			row.fault(c)
			before := c.Stats().Requests[execute]
			a := d.do(t, `{"type":"unlock","lock":"%s"}`, front)
			if a.Status != row.want || a.Error != row.reason || c.Unlocks(front) != row.unlocks || len(a.Results) != 0 {
				t.Errorf("%s, and %d unlocks", text(a), c.Unlocks(front))
			}
			next := d.do(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"nobody@example.test"}]}`, front) // comes after it
			if n := c.Stats().Requests[execute] - before; n != 1 || next.Status != sharing.Failed {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

// Without a connection nothing was sent, so that even an unlock may be tried again.
func TestAnUnlockWaitsForAConnection(t *testing.T) {
	c := newCloud(t, doordecksim.Options{})
	g := gated(t, c)
	c.transport = &http.Transport{DisableKeepAlives: true} // one that is found dead when it is used is another matter
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c).run(t)
	g.shut()
	a := d.submit(t, `{"type":"unlock","lock":"%s"}`, front)
	d.until(t, a.Operation, 30*time.Second, func(a sharing.Answer) bool { return a.Error == "doordeck_unreachable" })
	g.open()
	if a = d.final(t, a.Operation); a.Status != sharing.Applied || c.Unlocks(front) != 1 {
		t.Errorf("%s, and %d unlocks", text(a), c.Unlocks(front))
	}
}

// What Doordeck refuses is refused for those who are concerned, and is not tried again.
func TestWhatIsRefused(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c).run(t)
		ana, _ := c.User(doordecksim.VisitorAna)
		self, _ := c.User(doordecksim.AdminAda)
		must(t, c.SetAccess(loading, doordecksim.Member{User: doordecksim.AdminAda, Role: doordecksim.RoleUser}))
		for _, row := range []struct{ name, body, want string }{
			{
				"nobody knows them", `{"type":"share","lock":"` + front + `","invitees":[{"email":"chidi@example.test"},{"foreign_key":"x"},{"telephone":"+442079460099"},{"user":"5e3c0f10-0001-4f00-8000-00000000ffff"}]}`,
				"failed not_in_directory not_in_directory not_in_directory not_in_directory",
			},
			{"the identity itself", `{"type":"revoke","lock":"` + front + `","invitees":[{"foreign_key":"admin-ada"},{"user":"` + self.ID + `"}]}`, "failed own_identity own_identity"},
			{"no administrator", `{"type":"share","lock":"` + loading + `","invitees":[{"email":"ana@example.test"}]}`, "failed not_administrator"},
			{"no such lock", `{"type":"share","lock":"5e3c0f10-0001-4f00-8000-00000000dfff","invitees":[{"email":"ana@example.test"}]}`, "failed lock_not_found"},
			{"named in two ways", `{"type":"share","lock":"` + front + `","invitees":[{"email":"ana@example.test"},{"user":"` + strings.ToUpper(ana.ID) + `"}]}`, "applied applied applied"},
			{"named for two things", `{"type":"share","lock":"` + front + `","invitees":[{"email":"ana@example.test"},{"user":"` + ana.ID + `","role":"ADMIN"}]}`, "partial applied named_twice"},
			{"revoked in two ways", `{"type":"revoke","lock":"` + front + `","invitees":[{"email":"ana@example.test"},{"user":"` + ana.ID + `"}]}`, "applied applied applied"},
			{"a token for nobody", `{"type":"share","lock":"` + front + `","invitees":[{"identity_token":"` + plainJWE + `"}]}`, "failed identity_token_refused"},
		} {
			a := d.do(t, "%s", row.body)
			got := string(a.Status)
			for _, r := range a.Results {
				if got += " " + r.Error; r.Error == "" {
					got += string(r.Status)
				}
			}
			if got != row.want {
				t.Errorf("%s: %s, want %s", row.name, got, row.want)
			}
		}
		if got := c.members(front); got != "admin-ada:ADMIN admin-ben:ADMIN visitor-dora:USER" {
			t.Errorf("the door has %s", got)
		}
	})
}

// A batch is all or nothing at Doordeck. Who is at fault fails alone.
func TestABatchComesApart(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c).run(t)
	c.Faults().Fail(execute, 1, 400)
	a := d.do(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"},{"telephone":"+442079460012"}]}`, front)
	if arrived, _ := c.sent(t); a.Status != sharing.Applied || arrived != 2 {
		t.Errorf("%s after %d", text(a), arrived)
	}
	c.Faults().Fail(execute, 2, 400) // the batch, and one of the two
	a = d.do(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"},{"telephone":"+442079460012"}]}`, front)
	if a.Status != sharing.Partial {
		t.Errorf("%s", text(a))
	}
}

// A lock that says that it takes no batches gets none, and one that stops taking them is asked again.
func TestManyPeople(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c).run(t)
		var people []string
		for i := range 60 {
			subject := fmt.Sprintf("guest-%02d", i)
			_, err := c.AddUser(doordecksim.User{Subject: subject})
			must(t, err)
			people = append(people, `{"foreign_key":"`+subject+`"}`)
		}
		for lock, want := range map[string]int{front: 3, archive: 60} {
			before := c.Stats().Requests[execute]
			a := d.do(t, `{"type":"share","lock":"%s","invitees":[%s]}`, lock, strings.Join(people, ","))
			if n := c.Stats().Requests[execute] - before; a.Status != sharing.Applied || n != want || strings.Count(c.members(lock), "guest-") != 60 {
				t.Errorf("%s: %d requests, want %d", a.Status, n, want)
			}
			if most := c.Stats().MaxInFlight[execute]; most > 4 {
				t.Errorf("%d requests at one time", most)
			}
		}
		must(t, c.SetCapability(front, doordecksim.BatchSharing, ""))
		a := d.do(t, `{"type":"share","lock":"%s","role":"ADMIN","invitees":[%s]}`, front, strings.Join(people[:3], ","))
		if a.Status != sharing.Applied {
			t.Error(text(a))
		}
	})
}
