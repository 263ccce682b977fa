package webhooks

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type receiverMetrics struct {
	requests *prometheus.CounterVec
	items    *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func newReceiverMetrics(reg prometheus.Registerer, sinceLast func() float64) *receiverMetrics {
	m := &receiverMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_webhook_requests_total", Help: "Webhook requests by outcome and reason.",
		}, []string{"outcome", "reason"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_webhook_items_total", Help: "Items of stored webhooks: new, double, flagged.",
		}, []string{"kind"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_webhook_seconds", Help: "Time from a stored webhook's arrival to its answer.",
			Buckets: []float64{.001, .002, .004, .008, .016, .032, .064, .125, .25, .5, 1, 5},
		}),
	}
	// What is counted from nought shows its first increase too.
	m.requests.WithLabelValues("stored", "")
	for _, r := range refusals() {
		m.requests.WithLabelValues(r.outcome, r.word)
	}
	for _, kind := range []string{"new", "double", "flagged"} {
		m.items.WithLabelValues(kind)
	}
	reg.MustRegister(m.requests, m.items, m.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_webhook_last_seconds", Help: "Seconds since the last proven webhook, or since the start.",
	}, sinceLast))
	return m
}

func (m *receiverMetrics) done(rep *report) {
	m.requests.WithLabelValues(rep.outcome, rep.reason).Inc()
	if rep.outcome != "stored" {
		return
	}
	m.items.WithLabelValues("new").Add(float64(rep.fresh))
	m.items.WithLabelValues("double").Add(float64(rep.doubles))
	m.items.WithLabelValues("flagged").Add(float64(rep.flagged))
	m.seconds.Observe(time.Since(rep.started).Seconds())
}

type fetcherMetrics struct {
	outcomes *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func newFetcherMetrics(reg prometheus.Registerer) *fetcherMetrics {
	m := &fetcherMetrics{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_fetch_total", Help: "Fetches of resources by outcome.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_fetch_seconds", Help: "Time of one fetch from DoorFlow.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
	}
	for _, outcome := range []string{
		"fetched", "gone", "forbidden", "rate_limited", "failed", "odd", "unreachable", "needs_reconnect",
	} {
		m.outcomes.WithLabelValues(outcome)
	}
	reg.MustRegister(m.outcomes, m.seconds)
	return m
}

type catchupMetrics struct {
	runs        *prometheus.CounterVec
	found       prometheus.Counter
	age, silent prometheus.Gauge
}

func newCatchupMetrics(reg prometheus.Registerer) *catchupMetrics {
	m := &catchupMetrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_catchup_runs_total", Help: "Comparisons of an account's events with DoorFlow's list by outcome.",
		}, []string{"outcome"}),
		found: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_catchup_events_total", Help: "Events said because catching up found them before any webhook brought them.",
		}),
		age: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_catchup_age_seconds", Help: "Time since the active account that was compared the longest ago was compared to the end.",
		}),
		silent: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_connections_silent", Help: "Active connections without a webhook for too long.",
		}),
	}
	for _, outcome := range []string{
		"complete", "partial", "interrupted", "not_stored", "needs_reconnect", "odd", "unreachable", "forbidden", "rate_limited", "failed",
	} {
		m.runs.WithLabelValues(outcome)
	}
	reg.MustRegister(m.runs, m.found, m.age, m.silent)
	return m
}

// measureEvery is how often the gauges are brought up to date.
const measureEvery = 15 * time.Second

// measure sets the gauges.
func (c *Catchup) measure(ctx context.Context) error {
	now := c.Now()
	if now.Sub(c.measured) < measureEvery {
		return nil
	}
	c.measured = now
	var row struct {
		Oldest float64
		Silent float64
	}
	const query = `SELECT COALESCE(MIN(CASE WHEN k.looked_at > 0 THEN k.looked_at ELSE c.connected_at END), 0) AS oldest,
		COUNT(CASE WHEN k.silent_since > 0 THEN 1 END) AS silent
		FROM connections c LEFT JOIN catchup k ON k.account = c.account WHERE c.status = 'active'`
	if err := c.Fetcher.DB.Get(ctx, &row, query); err != nil {
		return err
	}
	age := 0.0
	if row.Oldest > 0 {
		age = max(0, float64(now.UnixMilli())-row.Oldest) / 1000
	}
	c.metrics.age.Set(age)
	c.metrics.silent.Set(row.Silent)
	return nil
}
