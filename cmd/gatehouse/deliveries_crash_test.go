package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/standardwebhooks"
)

// subscriber is a building-management system that proves what comes and counts it.
type subscriber struct {
	*httptest.Server
	t      testing.TB
	id     string // the endpoint's
	secret standardwebhooks.Secret
	// refuses says whether it answers 500, by how often the message came before.
	refuses func(before int) bool

	mu     sync.Mutex
	times  map[string]int
	bodies map[string]string
	order  []string // as they came first
}

// subscribe makes an endpoint for what webhooks report.
func subscribe(t testing.TB, g *gateway, more string, refuses func(int) bool) *subscriber {
	t.Helper()
	s := &subscriber{t: t, refuses: refuses, times: map[string]int{}, bodies: map[string]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	var made struct{ ID, Secret string }
	g.call(http.MethodPost, "/v1/endpoints", `{"url":"`+s.URL+`/hooks","subjects":["gatehouse.notification.>"]`+more+`}`).json(t, &made)
	secret, err := standardwebhooks.ParseSecret(made.Secret)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.secret = made.ID, secret
	return s
}

func (s *subscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway was killed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := standardwebhooks.Verify(r.Header, body, time.Now(), standardwebhooks.Tolerance, s.secret)
	if err != nil {
		s.t.Errorf("a delivery cannot be proven: %v", err)
	}
	v := doorflow.Verifier{Secrets: [][]byte{[]byte(s.secret.Reveal())}, Tolerance: 5 * time.Minute}
	if _, err := v.Verify(r.Header, body); err != nil {
		s.t.Errorf("a delivery cannot be proven as DoorFlow's are: %v", err)
	}
	if s.times[id] == 0 {
		s.bodies[id] = string(body)
		s.order = append(s.order, id)
	} else if s.bodies[id] != string(body) {
		s.t.Errorf("%s came with another body", id)
	}
	if s.times[id]++; s.refuses != nil && s.refuses(s.times[id]-1) {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func (s *subscriber) has() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

// deliveredItem is a delivery as the API shows it.
type deliveredItem struct {
	Message  string
	Status   string
	Attempts int
}

// deliveries reads all of an endpoint's.
func (s *subscriber) deliveries(g *gateway) []deliveredItem {
	s.t.Helper()
	var all []deliveredItem
	for next := ""; ; {
		var page struct {
			Items []deliveredItem
			Next  string
		}
		g.read("/v1/endpoints/"+s.id+"/deliveries?limit=200&after="+next).json(s.t, &page)
		all = append(all, page.Items...)
		if next = page.Next; next == "" {
			return all
		}
	}
}

// read reads a page, however often it has to ask: a key may ask so often in a second.
func (g *gateway) read(path string) (a answer) {
	g.t.Helper()
	eventually(g.t, time.Minute, func() string {
		if a = g.call(http.MethodGet, path, ""); a.status != http.StatusOK {
			return fmt.Sprintf("%s: %d %s", path, a.status, a.body)
		}
		return ""
	})
	return a
}

// notified are the ids of all notifications in the log, in its order where one process wrote it.
func notified(t testing.TB, g *gateway) []string {
	t.Helper()
	var ids []string
	for next := ""; ; {
		var page struct {
			Items []struct {
				ID      string
				Message json.RawMessage
			}
			Next string
		}
		g.read("/v1/messages?limit=500&subject=gatehouse.notification.>&after="+next).json(t, &page)
		for _, i := range page.Items {
			ids = append(ids, i.ID)
		}
		if next = page.Next; next == "" {
			slices.Reverse(ids)
			return ids
		}
	}
}

// notify sends so many webhooks until each is stored, whatever happens to the gateways.
func (l *load) notify(t testing.TB, n int, gateways ...*gateway) (wait func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	var senders sync.WaitGroup
	for at := range 4 {
		senders.Go(func() {
			for range n / 4 {
				at = l.insist(ctx, l.webhook(), at, gateways)
			}
		})
	}
	t.Cleanup(func() { cancel(); senders.Wait(); l.client.CloseIdleConnections() })
	return senders.Wait
}

// check compares what came with what was said, and with the attempts that are recorded.
func checkDelivered(t *testing.T, g *gateway, all []*subscriber) {
	t.Helper()
	said := notified(t, g)
	eventually(t, 2*time.Minute, func() string {
		for i, s := range all {
			if s.has() < len(said) {
				return fmt.Sprintf("endpoint %d got %d of %d messages", i, s.has(), len(said))
			}
		}
		return ""
	})
	doubles := 0
	for i, s := range all {
		var recorded []deliveredItem
		eventually(t, time.Minute, func() string {
			recorded = s.deliveries(g)
			for _, d := range recorded {
				if d.Status != "delivered" {
					return fmt.Sprintf("endpoint %d: %s is %s", i, d.Message, d.Status)
				}
			}
			return ""
		})
		if len(recorded) != len(said) {
			t.Errorf("endpoint %d has %d deliveries of %d messages", i, len(recorded), len(said))
		}
		s.mu.Lock()
		for _, d := range recorded {
			n := s.times[d.Message]
			if n < 1 || n > d.Attempts+1 {
				t.Errorf("endpoint %d got %s %d times, %d attempts are recorded", i, d.Message, n, d.Attempts)
			}
			if n > 1 {
				doubles++
			}
		}
		s.mu.Unlock()
	}
	t.Logf("%d messages to %d endpoints, %d came more than once", len(said), len(all), doubles)
}

// Deliveries survive being killed in the middle: each endpoint gets each message at least once, under the same id, and
// no more often than attempts are recorded.
func TestKill9WithDeliveries(t *testing.T) {
	t.Parallel()
	g := newGateway(t, map[string]string{"GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"}).start()
	all := []*subscriber{
		subscribe(t, g, "", nil),
		subscribe(t, g, `,"concurrency":32`, nil),
		subscribe(t, g, `,"concurrency":1`, nil),
		subscribe(t, g, `,"ordered":true`, nil),
		subscribe(t, g, "", func(before int) bool { return before == 0 && rand.IntN(20) == 0 }),
	}
	kills := rounds(t)
	total := 200 * kills // with 10 rounds, about 10,000 deliveries and more
	l := newLoad()
	wait := l.notify(t, total, g)
	for kill := range kills {
		eventually(t, time.Minute, func() string {
			if n, want := all[0].has(), (kill+1)*total/(kills+1); n < want {
				return fmt.Sprintf("%d of %d have come", n, want)
			}
			return ""
		})
		pause(0, 100*time.Millisecond)
		g.kill()
		g.start()
	}
	wait()
	checkDelivered(t, g, all)
}

// Of two replicas one is killed: the other delivers what it has left.
func TestKill9OfOneOfTwoReplicasWithDeliveries(t *testing.T) {
	t.Parallel() // it mostly waits for leases to run out
	n := newNATS(t)
	pair := shared(t, sqldbtest.PostgresURL(t), n, 2)
	for _, g := range pair {
		g.env["GATEHOUSE_EGRESS_ALLOW"] = "127.0.0.0/8"
		g.start()
	}
	all := []*subscriber{subscribe(t, pair[0], "", nil), subscribe(t, pair[1], `,"ordered":true`, nil), subscribe(t, pair[1], "", nil)}
	l := newLoad()
	wait := l.notify(t, 600, pair...)
	eventually(t, time.Minute, func() string {
		if n := all[0].has(); n < 200 {
			return fmt.Sprintf("%d have come", n)
		}
		return ""
	})
	pair[1].kill()
	wait()
	checkDelivered(t, pair[0], all)
}

// Deliveries go on while NATS is away.
func TestDeliveriesWithoutNATS(t *testing.T) {
	t.Parallel()
	n := newNATS(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": n.url(), "GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"}).start()
	s := subscribe(t, g, "", nil)
	n.kill()
	l := newLoad()
	l.notify(t, 100, g)()
	checkDelivered(t, g, []*subscriber{s})
	if s.has() < 100 {
		t.Errorf("%d messages came", s.has())
	}
	var health struct {
		Health struct{ Waiting, Delivered int }
	}
	eventually(t, 30*time.Second, func() string {
		g.call(http.MethodGet, "/v1/endpoints/"+s.id, "").json(t, &health)
		if health.Health.Delivered < 100 {
			return fmt.Sprintf("%d deliveries are in its health", health.Health.Delivered)
		}
		return ""
	})
	if log := g.log(); strings.Contains(log, s.secret.Reveal()) {
		t.Error("the secret is in the log")
	}
}
