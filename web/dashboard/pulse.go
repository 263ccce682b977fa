package dashboard

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"gatehouse/internal/sqldb"
	"gatehouse/web"
)

const (
	pulseEvery = 2 * time.Second
	perMinute  = int(time.Minute / pulseEvery)
	minutes    = 60
	slots      = minutes * perMinute
	points     = 60 // of a line in a picture
	// checkEvery is how often health is looked at, and checkFor how long a check may take.
	checkEvery = 5
	checkFor   = 2 * time.Second
	// countUpTo is how many rows that wait are counted one by one.
	countUpTo = 10_000
)

// counters are the figures of which the last hour is kept: what of the metrics they are, by name and label.
var counters = []struct{ name, metric, label, value string }{
	{"webhooks", "gatehouse_webhook_requests_total", "outcome", "stored"},
	{"refused", "gatehouse_webhook_requests_total", "outcome", "unauthorized"},
	{"messages", "gatehouse_log_messages_total", "", ""},
	{"fetched", "gatehouse_fetch_total", "", ""},
	{"published", "gatehouse_relay_published_total", "", ""},
	{"delivered", "gatehouse_delivery_attempts_total", "outcome", "delivered"},
	{"operations", "gatehouse_operation_outcomes_total", "", ""},
}

// gauges are those of which only the present is shown.
var gauges = []struct{ name, metric string }{
	{"to deliver", "gatehouse_deliveries_waiting"},
	{"given up", "gatehouse_deliveries_parked"},
	{"lag", "gatehouse_relay_lag_messages"},
	{"quiet", "gatehouse_webhook_last_seconds"},
}

// waiting are counted in the database.
var waiting = []struct{ name, query string }{
	{"to fetch", `SELECT COUNT(*) FROM (SELECT 1 FROM notifications WHERE state = 'open' LIMIT ?) AS waiting`},
	{"not fetched", `SELECT COUNT(*) FROM (SELECT 1 FROM notifications WHERE state = 'parked' LIMIT ?) AS waiting`},
	{"under way", `SELECT COUNT(*) FROM (SELECT 1 FROM operations WHERE stage <> 'done' LIMIT ?) AS waiting`},
	{"parked", `SELECT COUNT(*) FROM (SELECT 1 FROM messages WHERE parked IS NOT NULL LIMIT ?) AS waiting`},
}

// Pulse keeps what this process has done in the last hour, in memory. A restart begins it anew.
type Pulse struct {
	// Registry is where the figures come from.
	Registry prometheus.Gatherer
	DB       *sqldb.DB
	Checks   []web.Check
	Log      *slog.Logger

	mu    sync.Mutex
	since time.Time
	last  map[string]float64         // of the counters
	hour  map[string]*[slots]float64 // what they rose by, in a ring
	now   map[string]float64         // of everything else
	sick  map[string]bool            // checks that failed
	slot  int
}

// Reading is what a Pulse shows at one moment.
type Reading struct {
	Since time.Time
	// Minutes are what the counters rose by in each of the last 60 minutes, the oldest first.
	Minutes map[string][minutes]float64
	// Points are the same over the last Span, which is shorter while there is no hour to show.
	Points map[string][points]float64
	Span   time.Duration
	Now    map[string]float64
	Sick   map[string]bool
}

// Run reads the figures every two seconds until ctx ends.
func (p *Pulse) Run(ctx context.Context) error {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		p.beat(ctx, n%checkEvery == 0)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// beat reads everything once.
func (p *Pulse) beat(ctx context.Context, check bool) {
	families, err := p.Registry.Gather()
	if err != nil {
		p.Log.Debug("reading the metrics for the dashboard", "error", err) // what could be read is there
	}
	counted := map[string]float64{}
	for _, w := range waiting {
		var n float64
		if err := p.DB.Get(ctx, &n, w.query, countUpTo); err != nil {
			p.Log.Debug("counting for the dashboard", "what", w.name, "error", err)
			continue
		}
		counted[w.name] = n
	}
	var sick map[string]bool
	if check {
		sick = p.check(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance()
	for _, c := range counters {
		if total := sum(families, c.metric, c.label, c.value); total >= p.last[c.name] {
			p.hour[c.name][p.slot] += total - p.last[c.name]
			p.last[c.name], p.now[c.name] = total, total
		}
	}
	for _, g := range gauges {
		p.now[g.name] = sum(families, g.metric, "", "")
	}
	for name, n := range counted {
		p.now[name] = n
	}
	if sick != nil {
		p.sick = sick
	}
}

// advance goes to the next slot of the ring, or begins it.
func (p *Pulse) advance() {
	if p.since.IsZero() {
		p.since, p.last, p.now, p.hour = time.Now(), map[string]float64{}, map[string]float64{}, map[string]*[slots]float64{}
		for _, c := range counters {
			p.hour[c.name] = &[slots]float64{}
		}
		return
	}
	p.slot = (p.slot + 1) % slots
	for _, ring := range p.hour {
		ring[p.slot] = 0
	}
}

func (p *Pulse) check(ctx context.Context) map[string]bool {
	sick := map[string]bool{}
	for _, c := range p.Checks {
		checking, cancel := context.WithTimeout(ctx, checkFor)
		if err := c.Run(checking); err != nil && ctx.Err() == nil {
			sick[c.Name] = true
		}
		cancel()
	}
	return sick
}

// Read returns what is known now.
func (p *Pulse) Read() Reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Reading{Since: p.since, Minutes: map[string][minutes]float64{}, Points: map[string][points]float64{}, Now: map[string]float64{}, Sick: p.sick}
	per := perMinute
	for _, shorter := range []int{5, 15} {
		if p.since.IsZero() || time.Since(p.since) < time.Duration(shorter*points)*pulseEvery {
			per = shorter
			break
		}
	}
	r.Span = time.Duration(per*points) * pulseEvery
	for name, ring := range p.hour {
		var by [minutes]float64
		var line [points]float64
		for i := range slots {
			n := ring[(p.slot+1+i)%slots]
			by[i/perMinute] += n
			if back := (slots - 1 - i) / per; back < points {
				line[points-1-back] += n
			}
		}
		r.Minutes[name], r.Points[name] = by, line
	}
	for name, n := range p.now {
		r.Now[name] = n
	}
	return r
}

// sum adds up the series of a metric that have the label's value, or all of them.
func sum(families []*dto.MetricFamily, metric, label, value string) (total float64) {
	for _, f := range families {
		if f.GetName() != metric {
			continue
		}
		for _, m := range f.GetMetric() {
			if label != "" && !has(m, label, value) {
				continue
			}
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

func has(m *dto.Metric, label, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetName() == label {
			return l.GetValue() == value
		}
	}
	return false
}
