package sharing_test

import (
	"errors"
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

// machine is a gateway of two replicas and two identities with one door, to which everything may happen.
type machine struct {
	t      *testing.T
	c      *cloud
	desks  [2]*desk
	skew   [2]time.Duration // of their clocks
	late   *late
	old    *oldList
	online bool
	gone   bool // the identity
	asked  []string
	log    []string // what happened
}

// clocksOff is how much a clock may differ from Doordeck's, and listOld how old a list of users may be.
const (
	clocksOff = time.Second
	listOld   = 2 * time.Second
)

// one is one of the replicas.
func (m *machine) one(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "replica") }

// arrive lets the first that was lost arrive.
func (m *machine) arrive() {
	m.note("what was lost arrives: %s", m.late.arrive(m.t))
}

func (m *machine) note(format string, args ...any) {
	m.old.remember()
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
	n, who := m.one(t), rapid.SampledFrom([]string{"acme", "acme", "bens"}).Draw(t, "identity")
	ago := rapid.SampledFrom([]time.Duration{0, 0, 0, 6 * time.Second, 45 * time.Second}).Draw(t, "ago")
	a, err := m.desks[n].ops.Submit(m.t.Context(), everything("reception"), sharing.Request{
		Identity: who, Body: []byte(body + "}"), Received: m.desks[n].wall().Add(-ago),
	})
	if m.gone && errors.Is(err, sharing.ErrNoIdentity) {
		return
	}
	must(m.t, err)
	m.asked = append(m.asked, a.Operation)
	m.note("%d, as %s, %v ago: %s} is %s", n, who, ago, body, a.Operation)
}

func (m *machine) pass(d time.Duration) {
	m.c.Advance(d)
	for _, desk := range m.desks {
		desk.advance(d)
	}
}

func (m *machine) step(n int) {
	err := m.desks[n].ops.Step(m.t.Context())
	if err != nil && strings.Contains(err.Error(), "another worker") { // it was stalled meanwhile
		return
	}
	must(m.t, err)
}

// stall has the other replica go ahead while one is about to send, as when it has lost its lane.
func (m *machine) stall(n int, d time.Duration) {
	m.note("%d stalls for %v", n, d)
	m.late.stall(func() {
		m.pass(d)
		m.step(1 - n)
	})
	m.step(n)
	m.late.stall(nil)
}

// setBack sets the clocks of both back.
func (m *machine) setBack(d time.Duration) {
	m.note("the clocks are set back by %v", d)
	for _, desk := range m.desks {
		desk.off.Add(-int64(d))
		must(m.t, desk.ops.AllDue(m.t.Context()))
	}
}

// drift has a replica's clock differ a little from Doordeck's.
func (m *machine) drift(n int, d time.Duration) {
	m.note("the clock of %d is %v off", n, d)
	m.desks[n].off.Add(int64(d - m.skew[n]))
	m.skew[n] = d
}

func (m *machine) delete() {
	m.note("the identity is deleted")
	must(m.t, m.desks[0].Delete(m.t.Context(), "acme"))
	m.gone = true
}

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
		old := newOldList(t, c)
		keys, db := keyset(t), sqldbtest.SQLite(t)
		m := &machine{t: t, c: c, desks: [2]*desk{newDesk(t, db, keys, c), newDesk(t, db, keys, c)}, late: l, old: old, online: true}
		m.desks[0].addBen(t)
		goes := rapid.IntRange(0, 150).Draw(rt, "the identity goes after")
		rt.Repeat(map[string]func(*rapid.T){
			"share":  func(t *rapid.T) { m.ask(t, sharing.Share) },
			"revoke": func(t *rapid.T) { m.ask(t, sharing.Revoke) },
			"unlock": func(t *rapid.T) { m.ask(t, sharing.Unlock) },
			"step": func(t *rapid.T) {
				n := m.one(t)
				m.note("%d steps", n)
				m.step(n)
			},
			"time passes": func(t *rapid.T) {
				d, n := rapid.SampledFrom([]time.Duration{time.Second, 8 * time.Second, 40 * time.Second, 70 * time.Second}).Draw(t, "time"), m.one(t)
				m.note("%v pass, and %d steps", d, n)
				m.pass(d)
				m.step(n)
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
			"restart": func(t *rapid.T) {
				n := m.one(t)
				m.note("restart of %d", n)
				m.desks[n].restart(m.t, keys)
			},
			"one stalls": func(t *rapid.T) {
				m.stall(m.one(t), rapid.SampledFrom([]time.Duration{0, 16 * time.Second, 28 * time.Second}).Draw(t, "stall"))
			},
			"a clock drifts": func(t *rapid.T) {
				m.drift(m.one(t), rapid.SampledFrom([]time.Duration{-clocksOff, 0, clocksOff}).Draw(t, "off"))
			},
			"the clocks are set back": func(t *rapid.T) {
				m.setBack(rapid.SampledFrom([]time.Duration{7 * time.Second, time.Minute, 20 * time.Minute}).Draw(t, "by"))
			},
			"lists are old, or not": func(t *rapid.T) {
				old.by = rapid.SampledFrom([]time.Duration{0, listOld}).Draw(t, "old")
				m.note("lists are %v old", old.by)
			},
			"": func(*rapid.T) {
				if goes--; goes == 0 {
					m.delete()
				}
			},
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
		m.step(n % 2)
		open := 0
		for _, id := range m.asked {
			if a, err := m.desks[0].ops.Get(m.t.Context(), id, nil); err != nil || !a.Status.Final() {
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
		a, _ := m.desks[0].ops.Get(m.t.Context(), id, nil)
		t.Log(text(a))
	}
	for _, e := range m.c.Ledger() {
		t.Logf("%s %s %v %d %s", e.JTI, e.Operation, e.Targets, e.Status, e.Outcome)
	}
	t.Fatalf(format+"\n%s", append(args, strings.Join(m.log, "\n"))...)
}

func (m *machine) check(t *rapid.T) {
	has, opened, asked := map[string]string{}, 0, 0
	unknown := map[string]bool{} // of whom nobody can tell any more, when the identity is gone
	for _, id := range m.asked {
		a, err := m.desks[0].ops.Get(m.t.Context(), id, nil)
		must(m.t, err)
		if a.Type == sharing.Unlock {
			if asked++; a.Status == sharing.Applied {
				opened++
			}
		}
		for _, r := range a.Results {
			unknown[r.User] = unknown[r.User] || r.Error == "no_identity"
			switch {
			case r.Status != sharing.Applied && r.Status != sharing.Confirmed:
			case a.Type == sharing.Revoke:
				delete(has, r.User)
			default:
				has[r.User] = m.role(a.Operation)
			}
		}
		said := m.desks[0].said(m.t, id)
		if n := len(said); n == 0 || said[n-1] != string(a.Status) || slices.ContainsFunc(said[:n-1], func(s string) bool { return s != "queued" }) {
			m.fail(t, "%s ended as %s, and messages say %v", id, a.Status, said)
		}
	}
	for _, u := range m.c.Users(front) {
		subject, _ := m.c.User(u.User)
		if !strings.HasPrefix(subject.Subject, "guest-") || unknown[u.User] {
			continue
		}
		if has[u.User] != string(u.Role) {
			m.fail(t, "%s has the door as %s; by the outcomes as %q", subject.Subject, u.Role, has[u.User])
		}
		delete(has, u.User)
	}
	maps.DeleteFunc(has, func(user, _ string) bool { return unknown[user] })
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
