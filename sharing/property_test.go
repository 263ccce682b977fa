package sharing_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// machine is a gateway with one door, to which everything may happen.
type machine struct {
	t      *testing.T
	c      *cloud
	d      *desk
	late   *late
	online bool
	asked  []string
	log    []string // what happened
}

// arrive lets the first that was lost arrive.
func (m *machine) arrive() {
	m.note("what was lost arrives: %s", m.late.arrive(m.t))
}

func (m *machine) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *machine) ask(t *rapid.T, kind string) {
	body := fmt.Sprintf(`{"type":"%s","lock":"%s"`, kind, front)
	if kind != sharing.Unlock {
		var people []string
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 1, 3, rapid.ID).Draw(t, "people") {
			people = append(people, fmt.Sprintf(`{"foreign_key":"guest-%d"}`, i))
		}
		body += `,"invitees":[` + strings.Join(people, ",") + `]`
		if rapid.Bool().Draw(t, "may wait") {
			body += `,"valid_for":"2h"`
		}
	}
	if kind == sharing.Share {
		body += `,"role":"` + rapid.SampledFrom([]string{"USER", "ADMIN"}).Draw(t, "role") + `"`
	}
	a := m.d.submit(m.t, "%s}", body)
	m.asked = append(m.asked, a.Operation)
	m.note("%s} is %s", body, a.Operation)
}

func (m *machine) pass(d time.Duration) {
	m.c.Advance(d)
	m.d.advance(d)
}

func (m *machine) step() { must(m.t, m.d.ops.Step(m.t.Context())) }

var mishaps = map[string]func(*doordecksim.Faults){
	"busy":            func(f *doordecksim.Faults) { f.RateLimit(execute, 1, "3") },
	"failed":          func(f *doordecksim.Faults) { f.Fail(execute, 1, 500) },
	"done and failed": func(f *doordecksim.Faults) { f.FailAfter(execute, 1, 500) },
	"offline":         func(f *doordecksim.Faults) { f.Fail(execute, 2, 503) },
	"done, offline":   func(f *doordecksim.Faults) { f.FailAfter(execute, 1, 503) },
	"done, silent":    func(f *doordecksim.Faults) { f.FailAfter(execute, 1, 504) },
	"done, used":      func(f *doordecksim.Faults) { f.FailAfter(execute, 1, 409) },
	"lost":            func(f *doordecksim.Faults) { f.CutBefore(execute, 1) },
	"done and lost":   func(f *doordecksim.Faults) { f.CutAfter(execute, 1) },
	"refused":         func(f *doordecksim.Faults) { f.Fail(execute, 1, 400) },
	"no list":         func(f *doordecksim.Faults) { f.Fail(doordecksim.RouteLockUsers, 2, 500) },
	"no directory":    func(f *doordecksim.Faults) { f.Fail(doordecksim.RouteDirectory, 1, 500) },
}

// Whatever is asked and whatever goes wrong, every operation ends once, and the door has exactly those for whom
// the operations that ended well say so, taken in their order. Unlocks open it no more often than they were asked.
func TestWhateverHappensTheDoorHasWhomTheOutcomesSay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		l := newLate(t, c)
		for i := range 3 {
			_, err := c.AddUser(doordecksim.User{Subject: fmt.Sprintf("guest-%d", i)})
			must(t, err)
		}
		keys := keyset(t)
		db := sqldbtest.SQLite(t)
		m := &machine{t: t, c: c, d: newDesk(t, db, keys, c), late: l, online: true}
		rt.Repeat(map[string]func(*rapid.T){
			"share":  func(t *rapid.T) { m.ask(t, sharing.Share) },
			"revoke": func(t *rapid.T) { m.ask(t, sharing.Revoke) },
			"unlock": func(t *rapid.T) { m.ask(t, sharing.Unlock) },
			"step":   func(*rapid.T) { m.note("step"); m.step() },
			"time passes": func(t *rapid.T) {
				d := rapid.SampledFrom([]time.Duration{time.Second, 8 * time.Second, 40 * time.Second, 70 * time.Second}).Draw(t, "time")
				m.note("%v pass", d)
				m.pass(d)
				m.step()
			},
			"the door goes or comes": func(*rapid.T) {
				m.online = !m.online
				m.note("online %v", m.online)
				must(m.t, c.SetOnline(front, m.online))
			},
			"mishap": func(t *rapid.T) {
				name := rapid.SampledFrom(slices.Sorted(maps.Keys(mishaps))).Draw(t, "mishap")
				m.note("%s", name)
				mishaps[name](c.Faults())
			},
			"one is late":  func(*rapid.T) { m.note("one is late"); l.loses++ },
			"late arrives": func(*rapid.T) { m.arrive() },
			"restart":      func(*rapid.T) { m.note("restart"); m.d.restart(t, keys) },
		})
		c.Faults().Reset()
		l.loses = 0
		must(t, c.SetOnline(front, true))
		m.settle(rt, rapid.IntRange(0, 6).Draw(rt, "late by"))
		for len(l.lost) > 0 {
			m.arrive()
		}
		m.check(rt)
	})
}

// settle lets time pass until everything has ended. What is lost still arrives after some steps.
func (m *machine) settle(t *rapid.T, late int) {
	for n := range 80 {
		for n == late && len(m.late.lost) > 0 {
			m.arrive()
		}
		m.step()
		open := 0
		for _, id := range m.asked {
			if a, err := m.d.ops.Get(m.t.Context(), id, nil); err != nil || !a.Status.Final() {
				open++
			}
		}
		if open == 0 {
			return
		}
		if n < 60 {
			m.pass(8 * time.Second)
		} else { // what a late revoke has undone may wait for as long as it was asked to
			m.pass(10 * time.Minute)
		}
	}
	m.fail(t, "it does not end")
}

func (m *machine) fail(t *rapid.T, format string, args ...any) {
	for _, id := range m.asked {
		a, _ := m.d.ops.Get(m.t.Context(), id, nil)
		t.Log(text(a))
	}
	for _, e := range m.c.Ledger() {
		t.Logf("%s %s %v %d %s", e.JTI, e.Operation, e.Targets, e.Status, e.Outcome)
	}
	t.Fatalf(format+"\n%s", append(args, strings.Join(m.log, "\n"))...)
}

func (m *machine) check(t *rapid.T) {
	has, opened, asked := map[string]string{}, 0, 0
	for _, id := range m.asked {
		a, err := m.d.ops.Get(m.t.Context(), id, nil)
		must(m.t, err)
		if a.Type == sharing.Unlock {
			if asked++; a.Status == sharing.Applied {
				opened++
			}
		}
		for _, r := range a.Results {
			switch {
			case r.Status != sharing.Applied && r.Status != sharing.Confirmed:
			case a.Type == sharing.Revoke:
				delete(has, r.User)
			default:
				has[r.User] = m.role(a.Operation)
			}
		}
		said := m.d.said(m.t, id)
		if n := len(said); n == 0 || said[n-1] != string(a.Status) || slices.ContainsFunc(said[:n-1], func(s string) bool { return s != "queued" }) {
			m.fail(t, "%s ended as %s, and messages say %v", id, a.Status, said)
		}
	}
	for _, u := range m.c.Users(front) {
		subject, _ := m.c.User(u.User)
		if !strings.HasPrefix(subject.Subject, "guest-") {
			continue
		}
		if has[u.User] != string(u.Role) {
			m.fail(t, "%s has the door as %s; by the outcomes as %q", subject.Subject, u.Role, has[u.User])
		}
		delete(has, u.User)
	}
	if len(has) > 0 {
		m.fail(t, "by the outcomes these have the door, and do not: %v", has)
	}
	if n := m.c.Unlocks(front); n < opened || n > asked {
		m.fail(t, "opened %d times; %d of %d unlocks ended as applied", n, opened, asked)
	}
	m.c.sent(m.t)
}

// role is what a share was asked for.
func (m *machine) role(id string) string {
	for _, line := range m.log {
		if strings.HasSuffix(line, id) && strings.Contains(line, `"ADMIN"`) {
			return "ADMIN"
		}
	}
	return "USER"
}
