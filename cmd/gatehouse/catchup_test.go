package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb/sqldbtest"
)

// hour is what happens at DoorFlow while the gateway is down.
type hour struct {
	df       *cloud
	happened map[string]bool
	steps    int
}

// pass lets an hour pass at both accounts with n events. Of nine, six are announced by a webhook that finds
// nobody and is sent again; one by a webhook that comes twice; one by none; and the last by one that is held
// back until the faults are reset.
func (h *hour) pass(n int) {
	const minutes, share = 60, 9
	emit := func(account string, count int, spec doorflowsim.EventSpec) {
		specs := make([]doorflowsim.EventSpec, count)
		for i := range specs {
			specs[i] = spec
			specs[i].Code, specs[i].ChannelID = 10+i%4, 5012
			specs[i].At = h.df.Now().Add(-time.Duration(i) * time.Second / 2)
		}
		for _, e := range h.df.EmitBatch(account, specs) {
			h.happened[strconv.FormatInt(e.ID, 10)] = true
		}
	}
	accounts := []string{doorflowsim.AccountA, doorflowsim.AccountB}
	each := n / len(accounts) / h.steps / share
	for step := range h.steps {
		h.df.Advance(minutes * time.Minute / time.Duration(h.steps))
		for _, account := range accounts {
			emit(account, 6*each, doorflowsim.EventSpec{})
			emit(account, each, doorflowsim.EventSpec{NoWebhook: true})
			h.df.Faults().Duplicate(1)
			emit(account, each, doorflowsim.EventSpec{})
		}
		if step == h.steps-1 {
			h.df.Faults().Batch(1 << 30)
			for _, account := range accounts {
				emit(account, h.steps*each, doorflowsim.EventSpec{})
			}
		}
	}
}

// acknowledged waits until every webhook but those held back has arrived and been acknowledged.
func (h *hour) acknowledged(held int) {
	h.df.t.Helper()
	eventually(h.df.t, 6*leaseAndMore, func() string {
		waiting, open := 0, 0
		for _, e := range h.df.Ledger() {
			if !e.Delivered {
				waiting++
			} else if !e.Acknowledged {
				open++
			}
		}
		if waiting != held || open > 0 {
			return fmt.Sprintf("%d notifications have not arrived, want %d; %d are not acknowledged", waiting, held, open)
		}
		return ""
	})
}

// held is how many notifications are held back.
func (h *hour) held() int { return len(h.happened) / 9 }

// comparisons are how many have come to their end since the gateway's start.
const comparisons = `gatehouse_catchup_runs_total{outcome="complete"}`

// foundBy tells whether a gateway has said so many events by catching up, or all that webhooks had left it.
func foundBy(g *gateway, n int) bool {
	m := g.metrics()
	return m["gatehouse_catchup_events_total"] >= float64(n) || m[comparisons] >= 2
}

// found waits for that.
func (g *gateway) found(n int) {
	g.t.Helper()
	eventually(g.t, 60*time.Second, func() string {
		if !foundBy(g, n) {
			return fmt.Sprintf("catching up has not found %d events", n)
		}
		return ""
	})
}

// compared waits until so many comparisons have come to their end since the gateway's start.
func (g *gateway) compared(times float64) {
	g.t.Helper()
	eventually(g.t, 60*time.Second, func() string {
		if n := g.metrics()[comparisons]; n < times {
			return fmt.Sprintf("%v comparisons have come to their end", n)
		}
		return ""
	})
}

// verify checks that each event stands in the stream exactly once, and each notification that arrived.
func (h *hour) verify(s *seen) {
	h.df.t.Helper()
	lost, doubled := 0, 0
	for id := range h.happened {
		switch n := s.events[id]; {
		case n == 0:
			lost++
		case n > 1:
			doubled++
		}
	}
	if lost+doubled > 0 || len(s.events) != len(h.happened) {
		h.df.t.Errorf("of %d events %d are missing in the stream and %d stand there more than once; it has %d", len(h.happened), lost, doubled, len(s.events))
	}
	arrived := 0
	for _, e := range h.df.Ledger() {
		if arrived++; s.notified[e.ResourceID] != 1 {
			h.df.t.Errorf("notification of %s: %d times in the stream", e.ResourceID, s.notified[e.ResourceID])
		}
	}
	h.df.t.Logf("%d events, %d notifications, by origin %v", len(s.events), arrived, s.origins)
	if s.origins["catchup"] == 0 || s.origins["webhook"] == 0 {
		h.df.t.Errorf("events by origin: %v; both roads should have brought some", s.origins)
	}
}

// catchupEnv lets a gateway whose clock is an hour behind take DoorFlow's webhooks, and be quick about it.
var catchupEnv = map[string]string{"GATEHOUSE_DOORFLOW_WEBHOOK_TOLERANCE": "3h", "GATEHOUSE_DOORFLOW_RATE": "1000"}

func bothConnected(t *testing.T, g *gateway) {
	t.Helper()
	for _, account := range []string{doorflowsim.AccountA, doorflowsim.AccountB} {
		var link struct{ URL string }
		g.call(http.MethodPost, "/v1/connect-links", `{}`).json(t, &link)
		if p := walkWith(t, link.URL, url.Values{"decision": {"allow"}, "account": {account}}); p.status != http.StatusOK {
			t.Fatalf("connecting %s: %d", account, p.status)
		}
		g.awaitConnection(account, "active")
	}
}

// The gateway is down for an hour, and what happened meanwhile comes out once, whatever becomes of the
// webhooks: also when the gateway is killed while it catches up.
func TestCatchupAfterAnHour(t *testing.T) {
	for _, kills := range []int{0, 4} {
		t.Run(fmt.Sprintf("killed %d times", kills), func(t *testing.T) {
			g := newGateway(t, catchupEnv)
			df := newCloud(t, g)
			g.start()
			bothConnected(t, g)
			g.kill()
			h := &hour{df: df, happened: map[string]bool{}, steps: 12}
			h.pass(10_000)
			g.start()
			for range kills { // each somewhere in the middle, at the latest when half has been found
				df.Faults().PageLimit(100)
				g.found(rand.IntN(len(h.happened) / 2 / kills))
				g.kill()
				g.start()
			}
			h.acknowledged(h.held())
			df.Faults().Reset()
			h.acknowledged(0)
			g.compared(2) // both accounts
			g.awaitRelayed()
			g.stop()
			withEmbedded(t, g, func(js jetstream.JetStream) { h.verify(readStream(t, js)) })
		})
	}
}

// Of two replicas one is killed while they catch up.
func TestCatchupAfterAnHourOnPostgres(t *testing.T) {
	t.Parallel()
	n := newNATS(t)
	replicas := shared(t, sqldbtest.PostgresURL(t), n, 2)
	df := newCloud(t, replicas[0])
	for _, g := range replicas {
		for name, value := range catchupEnv {
			g.env[name] = value
		}
		for _, name := range []string{"GATEHOUSE_DOORFLOW_API_URL", "GATEHOUSE_DOORFLOW_AUTHORIZE_URL"} {
			g.env[name] = replicas[0].env[name]
		}
	}
	replicas[0].start()
	bothConnected(t, replicas[0])
	replicas[0].stop() // an hour later its leases would have run out
	h := &hour{df: df, happened: map[string]bool{}, steps: 12}
	h.pass(10_000)
	for _, g := range replicas {
		g.start()
	}
	df.Faults().PageLimit(100)
	goal := 1 + rand.IntN(3000)
	eventually(t, 90*time.Second, func() string {
		for _, g := range replicas {
			if foundBy(g, goal) {
				g.kill() // what it had in hand goes on when its leases have run out
				g.start()
				return ""
			}
		}
		return "no replica has caught up with much"
	})
	h.acknowledged(h.held())
	df.Faults().Reset()
	h.acknowledged(0)
	eventually(t, 2*leaseAndMore, func() string {
		if got := len(n.read().events); got != len(h.happened) {
			return fmt.Sprintf("%d of %d events are in the stream", got, len(h.happened))
		}
		return ""
	})
	h.verify(n.read())
}
