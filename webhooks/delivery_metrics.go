package webhooks

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type deliveryMetrics struct {
	attempts        *prometheus.CounterVec
	seconds         prometheus.Histogram
	parked          prometheus.Counter
	waiting, oldest prometheus.Gauge
	kept            prometheus.Gauge
}

func newDeliveryMetrics(reg prometheus.Registerer) *deliveryMetrics {
	m := &deliveryMetrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_delivery_attempts_total", Help: "Attempts to deliver messages to endpoints, by outcome.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_delivery_seconds", Help: "Time from a message's commit to its arrival at an endpoint, of first attempts.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 600},
		}),
		parked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_deliveries_given_up_total", Help: "Deliveries that were parked.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_deliveries_waiting", Help: "Deliveries on their way or to be tried again.",
		}),
		kept: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_deliveries_parked", Help: "Deliveries that were given up and can be retried.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_delivery_oldest_waiting_seconds", Help: "Age of the oldest delivery that waits.",
		}),
	}
	for _, o := range Outcomes() {
		if o != OutcomeCutOff { // nobody is there to count it
			m.attempts.WithLabelValues(string(o))
		}
	}
	reg.MustRegister(m.attempts, m.seconds, m.parked, m.waiting, m.kept, m.oldest)
	return m
}

func (m *deliveryMetrics) attempted(r result) {
	m.attempts.WithLabelValues(string(r.attempt.Outcome)).Inc()
	if r.verdict == arrived && r.n == 1 {
		m.seconds.Observe(max(0, r.attempt.At.Add(r.attempt.Took).Sub(r.message.at).Seconds()))
	}
	if r.verdict == giveUp {
		m.parked.Inc()
	}
}

// measure sets the gauges.
func (d *Deliveries) measure(ctx context.Context) error {
	var row struct {
		Waiting, Parked int64
		Oldest          int64
	}
	err := d.DB.Get(ctx, &row, `SELECT
		(SELECT COUNT(*) FROM deliveries WHERE state = 'waiting') AS waiting,
		(SELECT COUNT(*) FROM deliveries WHERE state = 'parked' AND state <> 'waiting') AS parked,
		COALESCE((SELECT MIN(place) FROM deliveries WHERE state = 'waiting'), 0) AS oldest`)
	if err != nil {
		return err
	}
	age := 0.0
	if row.Oldest > 0 {
		age = max(0, d.Now().Sub(time.UnixMicro(row.Oldest)).Seconds())
	}
	d.metrics.waiting.Set(float64(row.Waiting))
	d.metrics.kept.Set(float64(row.Parked))
	d.metrics.oldest.Set(age)
	return nil
}
