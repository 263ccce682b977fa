package doordecksim_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"gatehouse/doordeck/doordecksim"
)

// replayed is the user list that the ledger's applied operations make out of what was there first.
func replayed(first []doordecksim.Member, entries []doordecksim.LedgerEntry, lock string) map[string]doordecksim.Member {
	members := map[string]doordecksim.Member{}
	for _, m := range first {
		members[m.User] = m
	}
	inOrder := map[int]doordecksim.LedgerEntry{}
	for _, e := range entries {
		inOrder[e.Order] = e
	}
	for n := 1; n <= len(inOrder); n++ {
		e, there := inOrder[n]
		if !there || e.Lock != lock {
			continue
		}
		for _, m := range e.Targets {
			if members[m.User] = m; e.Operation == "REMOVE_USER" {
				delete(members, m.User)
			}
		}
	}
	return members
}

func listed(members []doordecksim.Member) map[string]doordecksim.Member {
	byUser := map[string]doordecksim.Member{}
	for _, m := range members {
		byUser[m.User] = m
	}
	return byUser
}

// model is what the lock should look like, kept by a second, simpler implementation.
type model struct {
	users  map[string]doordecksim.Role
	queue  []queuedModel
	online bool
	now    time.Time
}

type queuedModel struct {
	apply func()
	exp   time.Time
}

func (m *model) do(apply func(), d time.Duration) {
	if d > time.Minute {
		m.queue = append(m.queue, queuedModel{apply, m.now.Add(d)})
	} else if m.online {
		apply()
	}
	m.settle()
}

func (m *model) settle() {
	var rest []queuedModel
	for _, q := range m.queue {
		switch {
		case m.online:
			q.apply()
		case q.exp.After(m.now):
			rest = append(rest, q)
		}
	}
	m.queue = rest
}

// TestUserListsEqualWhatWasApplied does anything in any order and compares the lock with a model and with the
// sum of the ledger.
func TestUserListsEqualWhatWasApplied(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	const lock = doordecksim.LockBoat
	guests := []string{}
	for n := range 6 {
		subject := fmt.Sprint("guest-", n)
		if _, err := c.AddUser(doordecksim.User{Subject: subject, Email: "g@example.test"}); err != nil {
			t.Fatal(err)
		}
		guests = append(guests, subject)
	}
	m := &model{users: map[string]doordecksim.Role{}, now: c.Now()}
	first := c.Users(lock)
	rapid.Check(t, func(r *rapid.T) {
		guest := rapid.SampledFrom(guests)
		guestSet := rapid.SliceOfNDistinct(guest, 1, 6, rapid.ID[string])
		role := rapid.SampledFrom([]doordecksim.Role{doordecksim.RoleAdmin, doordecksim.RoleUser})
		wait := rapid.SampledFrom([]time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, time.Hour})
		r.Repeat(map[string]func(*rapid.T){
			"share": func(r *rapid.T) {
				who, as, d := guest.Draw(r, "guest"), role.Draw(r, "role"), wait.Draw(r, "wait")
				ada.do(lock, with(c.add(who), "role", as), ada.later(d)...)
				m.do(func() { m.users[who] = as }, d)
			},
			"batch": func(r *rapid.T) {
				who, as, d := guestSet.Draw(r, "guests"), role.Draw(r, "role"), wait.Draw(r, "wait")
				var entries []object
				for _, w := range who {
					entries = append(entries, with(c.entry(w), "role", as))
				}
				ada.do(lock, batch(entries...), ada.later(d)...)
				m.do(func() {
					for _, w := range who {
						m.users[w] = as
					}
				}, d)
			},
			"bad batch": func(r *rapid.T) {
				who := guestSet.Draw(r, "guests")
				entries := []object{with(c.entry(who[0]), "role", "OWNER")}
				for _, w := range who[1:] {
					entries = append(entries, c.entry(w))
				}
				ada.do(lock, batch(entries...), ada.later(time.Hour)...)
			},
			"remove": func(r *rapid.T) {
				who, d := guestSet.Draw(r, "guests"), wait.Draw(r, "wait")
				var ids []string
				for _, w := range who {
					ids = append(ids, c.id(w))
				}
				ada.do(lock, remove(ids...), ada.later(d)...)
				m.do(func() {
					for _, w := range who {
						delete(m.users, w)
					}
				}, d)
			},
			"switch": func(r *rapid.T) {
				m.online = rapid.Bool().Draw(r, "online")
				if err := c.SetOnline(lock, m.online); err != nil {
					r.Fatal(err)
				}
				m.settle()
			},
			"advance": func(r *rapid.T) {
				d := wait.Draw(r, "by")
				c.Advance(d)
				m.now = m.now.Add(d)
				m.settle()
				if m.now.Sub(start) > 20*24*time.Hour { // the chain ends
					ada = c.renewed(ada)
				}
			},
			"": func(r *rapid.T) {
				for _, g := range guests {
					if got := c.role(lock, g); got != m.users[g] {
						r.Fatalf("%s is %q, want %q", g, got, m.users[g])
					}
				}
			},
		})
		ignore := cmpopts.IgnoreUnexported(doordecksim.Member{})
		if diff := cmp.Diff(replayed(first, c.Ledger(), lock), listed(c.Users(lock)), ignore); diff != "" {
			r.Fatalf("the ledger's sum and the list differ:\n%s", diff)
		}
	})
}

// renewed is somebody with a new chain for the same key and a new token.
func (c *cloud) renewed(i *identity) *identity {
	c.t.Helper()
	fresh := *i
	subject := doordecksim.AdminAda
	fresh.token = c.openID(c.claims(subject))
	fresh.chain = c.api(fresh.token, "POST", "/auth/certificate", keyBody(i.key)).chain(c.t).CertificateChain
	return &fresh
}

// TestConcurrentUse lets many share, revoke and look at once; the ledger's sum has to come out.
func TestConcurrentUse(t *testing.T) {
	c := newCloud(t, func(o *doordecksim.Options) { o.Now = nil })
	c.run()
	const lock = doordecksim.LockFront
	ada := c.identity(doordecksim.AdminAda)
	first := c.Users(lock)
	people := []string{doordecksim.VisitorAna, doordecksim.VisitorBram, doordecksim.VisitorChidi, doordecksim.VisitorDora}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for round := range 6 {
				who := people[(n+round)%len(people)]
				switch (n + round) % 5 {
				case 0:
					ada.do(lock, remove(c.id(who)))
				case 1:
					ada.do(lock, c.add(who), ada.later(time.Hour)...)
				case 2:
					ada.do(lock, batch(with(c.entry(who), "role", "ADMIN")))
				case 3:
					ada.do(lock, unlock())
					c.api(ada.token, "GET", "/device/"+lock+"/users", "")
				default:
					c.Faults().Slow(doordecksim.RouteShareable, 1, time.Microsecond)
					c.api(ada.token, "GET", "/device/shareable", "")
					c.Advance(time.Millisecond)
					c.Stats()
					c.must(c.request("GET", "/sim/state", ""))
				}
			}
		})
	}
	all.Wait()
	ignore := cmpopts.IgnoreUnexported(doordecksim.Member{})
	users := c.Users(lock)
	if diff := cmp.Diff(replayed(first, c.Ledger(), lock), listed(users), ignore); diff != "" {
		t.Errorf("the ledger's sum and the list differ:\n%s", diff)
	}
}

// TestATokenIsSpentOnce sends one token many times at once.
func TestATokenIsSpentOnce(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	jwt := compact(t, ada.key, ada.header(), ada.claims(doordecksim.LockFront, unlock()))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { ada.execute(doordecksim.LockFront, jwt) })
	}
	all.Wait()
	if c.Unlocks(doordecksim.LockFront) != 1 || c.Stats().Answers[409] != 15 {
		t.Errorf("%d unlocks, answers %v", c.Unlocks(doordecksim.LockFront), c.Stats().Answers)
	}
}
