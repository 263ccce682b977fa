package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// submission is one operation that somebody asks for until they hear that it is stored.
type submission struct{ id, kind, lock, person, role string }

func (s submission) body() string {
	if s.kind == sharing.Unlock {
		return fmt.Sprintf(`{"id":"%s","type":"unlock","lock":"%s"}`, s.id, s.lock)
	}
	role := ""
	if s.kind == sharing.Share {
		role = `"role":"` + s.role + `",`
	}
	return fmt.Sprintf(`{"id":"%s","type":"%s","lock":"%s",%s"valid_for":"1h","invitees":[{"foreign_key":"%s"}]}`, s.id, s.kind, s.lock, role, s.person)
}

// wishes are what is asked of each lock, in order: people come and go, and now and then the door is opened.
func wishes(locks []string, each, guests int) map[string][]submission {
	all := map[string][]submission{}
	for _, lock := range locks {
		for n := range each {
			s := submission{
				id: fmt.Sprintf("%s-%d", lock[len(lock)-4:], n), lock: lock, person: fmt.Sprintf("guest-%d", rand.IntN(guests)),
				kind: sharing.Share, role: []string{"USER", "ADMIN"}[rand.IntN(2)],
			}
			switch {
			case rand.IntN(3) == 0:
				s.kind = sharing.Revoke
			case n%20 == 19:
				s.kind = sharing.Unlock
			}
			all[lock] = append(all[lock], s)
		}
	}
	return all
}

// expected is who has a lock when all of it was done.
func expected(c *doordeckCloud, lock string, asked []submission) []string {
	has := map[string]string{}
	for _, s := range asked {
		switch s.kind {
		case sharing.Share:
			has[s.person] = s.role
		case sharing.Revoke:
			delete(has, s.person)
		}
	}
	for _, m := range c.Users(lock) {
		if u, _ := c.User(m.User); !strings.HasPrefix(u.Subject, "guest-") {
			has[u.Subject] = string(m.Role)
		}
	}
	var list []string
	for person, role := range has {
		list = append(list, person+":"+role)
	}
	slices.Sort(list)
	return list
}

func actual(c *doordeckCloud, lock string) (list []string) {
	for _, m := range c.Users(lock) {
		u, _ := c.User(m.User)
		list = append(list, u.Subject+":"+string(m.Role))
	}
	slices.Sort(list)
	return list
}

// ask sends one until it is stored, to the gateways in turn.
func (s submission) ask(ctx context.Context, gateways []*gateway) bool {
	for turn := rand.IntN(len(gateways)); ctx.Err() == nil; turn++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, gateways[turn%len(gateways)].url+"/v1/identities/acme/operations", strings.NewReader(s.body()))
		if err != nil {
			return false
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		resp, err := probe.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted {
				return true
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// askAll asks for everything, lock by lock in order, and counts what is stored.
func askAll(t *testing.T, all map[string][]submission, stored *atomic.Int64, gateways ...*gateway) (wait func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	var wg sync.WaitGroup
	for _, asked := range all {
		wg.Go(func() {
			for _, s := range asked {
				if !s.ask(ctx, gateways) {
					t.Errorf("%s was not stored", s.id)
					return
				}
				stored.Add(1)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return wg.Wait
}

// ended reads all operations, when all of them have ended.
func ended(t *testing.T, g *gateway, want int) map[string]sharing.Answer {
	t.Helper()
	var found map[string]sharing.Answer
	eventually(t, 2*time.Minute, func() string {
		found = map[string]sharing.Answer{}
		for next := ""; ; {
			var page struct {
				Items []sharing.Answer
				Next  string
			}
			g.read("/v1/operations?limit=200&after="+next).json(t, &page)
			for _, a := range page.Items {
				if found[a.ID] = a; !a.Status.Final() {
					return fmt.Sprintf("%s is %s", a.ID, a.Status)
				}
			}
			if next = page.Next; next == "" {
				break
			}
		}
		if len(found) != want {
			return fmt.Sprintf("there are %d operations, want %d", len(found), want)
		}
		return ""
	})
	return found
}

// checkOperations compares what ended with what was asked for, what was said of it, and what the doors have.
func checkOperations(t *testing.T, g *gateway, c *doordeckCloud, all map[string][]submission) {
	t.Helper()
	total := 0
	for _, asked := range all {
		total += len(asked)
	}
	found := ended(t, g, total)
	said := outcomesSaid(t, g)
	statuses := map[sharing.Status]int{}
	for lock, asked := range all {
		if got, want := actual(c, lock), expected(c, lock, asked); !slices.Equal(got, want) {
			t.Errorf("%s has\n%v, asked for was\n%v", lock, got, want)
		}
		opened, unknown := 0, 0
		for _, s := range asked {
			a := found[s.id]
			statuses[a.Status]++
			if fmt.Sprint(said[a.Operation]) != fmt.Sprint([]sharing.Status{a.Status}) {
				t.Errorf("%s ended as %s, and messages say %v", s.id, a.Status, said[a.Operation])
			}
			switch {
			case s.kind != sharing.Unlock && a.Status != sharing.Applied && a.Status != sharing.Cancelled:
				t.Errorf("%s ended as %s %v", s.id, a.Status, a.Results)
			case a.Status == sharing.Applied && s.kind == sharing.Unlock:
				opened++
			case a.Status == sharing.Unknown:
				unknown++
			}
		}
		if n := c.Unlocks(lock); n < opened || n > opened+unknown {
			t.Errorf("%s was opened %d times; %d unlocks ended as applied, %d as unknown", lock, n, opened, unknown)
		}
	}
	t.Logf("%d operations: %v", total, statuses)
	seen := map[string]bool{}
	for _, e := range c.Ledger() {
		if seen[e.JTI] {
			t.Errorf("the id %s was used twice", e.JTI)
		}
		seen[e.JTI] = true
	}
}

// outcomesSaid are the final statuses that messages report, by operation.
func outcomesSaid(t *testing.T, g *gateway) map[string][]sharing.Status {
	t.Helper()
	said := map[string][]sharing.Status{}
	for next := ""; ; {
		var page struct {
			Items []struct{ Message json.RawMessage }
			Next  string
		}
		g.read("/v1/messages?limit=500&subject=gatehouse.operation.acme.*&after="+next).json(t, &page)
		for _, i := range page.Items {
			var m struct{ Data sharing.Answer }
			if err := json.Unmarshal(i.Message, &m); err != nil {
				t.Fatal(err)
			}
			if m.Data.Status.Final() {
				said[m.Data.Operation] = append(said[m.Data.Operation], m.Data.Status)
			}
		}
		if next = page.Next; next == "" {
			return said
		}
	}
}

func addGuests(t *testing.T, c *doordeckCloud, n int) {
	t.Helper()
	for i := range n {
		if _, err := c.AddUser(doordecksim.User{Subject: fmt.Sprintf("guest-%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// Five hundred operations over HTTP, while the gateway is killed ten times: each ends once, and the doors have
// exactly whom they were to have.
func TestKill9WithOperations(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	c := newDoordeck(t, g)
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	addGuests(t, c, 12)
	all := wishes([]string{doordecksim.LockFront, doordecksim.LockLoading, doordecksim.LockArchive, doordecksim.LockLift}, 125, 12)
	if err := c.SetHanging(doordecksim.LockLift, false); err != nil {
		t.Fatal(err)
	}
	var stored atomic.Int64
	wait := askAll(t, all, &stored, g)
	for kill := range int64(10) {
		eventually(t, time.Minute, func() string {
			if n := stored.Load(); n < 40*(kill+1) {
				return fmt.Sprintf("%d are stored", n)
			}
			return ""
		})
		pause(0, 100*time.Millisecond)
		g.kill()
		g.start()
	}
	wait()
	checkOperations(t, g, c, all)
}

// Two gateways on one database run each operation once, and those on one lock in their order, also when one of
// them is killed in the middle.
func TestTwoGatewaysRunOperationsOnce(t *testing.T) {
	t.Parallel()
	n := newNATS(t)
	pair := shared(t, sqldbtest.PostgresURL(t), n, 2)
	c := newDoordeck(t, pair[0])
	for _, name := range []string{"API_URL", "ISSUER", "KEY_ID", "SIGNING_KEY_FILE"} {
		pair[1].env["GATEHOUSE_DOORDECK_"+name] = pair[0].env["GATEHOUSE_DOORDECK_"+name]
	}
	pair[0].start()
	pair[1].start()
	pair[0].identity("acme", doordecksim.AdminAda)
	addGuests(t, c, 6)
	all := wishes([]string{doordecksim.LockFront, doordecksim.LockLoading}, 60, 6)
	var stored atomic.Int64
	wait := askAll(t, all, &stored, pair...)
	eventually(t, time.Minute, func() string {
		if n := stored.Load(); n < 60 {
			return fmt.Sprintf("%d are stored", n)
		}
		return ""
	})
	pair[1].kill()
	wait()
	checkOperations(t, pair[0], c, all)
	order := map[string][]string{}
	for _, e := range c.Ledger() {
		if len(e.Targets) == 1 && e.Outcome == doordecksim.Applied {
			u, _ := c.User(e.Targets[0].User)
			order[e.Lock] = append(order[e.Lock], e.Operation+" "+u.Subject)
		}
	}
	for lock, asked := range all {
		i := 0
		for _, s := range asked {
			if s.kind == sharing.Unlock {
				continue
			}
			want := map[string]string{sharing.Share: "ADD_USER ", sharing.Revoke: "REMOVE_USER "}[s.kind] + s.person
			if i < len(order[lock]) && order[lock][i] == want {
				for i < len(order[lock]) && order[lock][i] == want { // sent again after the crash, or asked for again
					i++
				}
			}
		}
		if i < len(order[lock]) {
			t.Errorf("%s: out of order from %d of %d on: %v", lock, i, len(order[lock]), order[lock][i])
		}
	}
}
