package events

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type logMetrics struct {
	changes, seconds prometheus.Histogram
	messages         prometheus.Counter
	failures         prometheus.Counter
}

func newLogMetrics(reg prometheus.Registerer) *logMetrics {
	m := &logMetrics{
		changes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_log_commit_changes", Help: "Changes stored by one commit.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gatehouse_log_commit_seconds", Help: "Time one commit took, its sync to disk included.",
			Buckets: []float64{.0005, .001, .002, .004, .008, .016, .032, .064, .125, .25, .5, 1, 5, 20},
		}),
		messages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_log_messages_total", Help: "Messages appended to the log.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_log_commit_failures_total", Help: "Commits that the database did not take.",
		}),
	}
	reg.MustRegister(m.changes, m.seconds, m.messages, m.failures)
	return m
}

func (m *logMetrics) committed(changes, messages int, took time.Duration, err error) {
	if err != nil {
		m.failures.Inc()
		return
	}
	m.changes.Observe(float64(changes))
	m.messages.Add(float64(messages))
	m.seconds.Observe(took.Seconds())
}

type relayMetrics struct {
	published, parked prometheus.Counter
	head, lag         prometheus.Gauge
	reconciles        *prometheus.CounterVec
}

func newRelayMetrics(reg prometheus.Registerer) *relayMetrics {
	m := &relayMetrics{
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_relay_published_total", Help: "Messages that JetStream acknowledged.",
		}),
		parked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_relay_parked_total", Help: "Messages that NATS refuses for good.",
		}),
		head: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_log_head", Help: "Sequence of the newest message in this process's own log.",
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_relay_lag_messages", Help: "Messages in the log that are not yet known to be in the stream.",
		}),
		reconciles: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_relay_reconciles_total", Help: "Times the log was compared with the stream, by occasion.",
		}, []string{"reason"}),
	}
	for _, occasion := range []string{"start", "reconnect", "error"} {
		m.reconciles.WithLabelValues(occasion)
	}
	reg.MustRegister(m.published, m.parked, m.head, m.lag, m.reconciles)
	return m
}

// measure sets the gauges.
func (r *Relay) measure() {
	var lag, newest int64
	for writer, l := range r.lanes {
		lag += max(0, l.head-l.acked)
		if writer > newest {
			newest = writer
			r.metrics.head.Set(float64(l.head))
		}
	}
	r.metrics.lag.Set(float64(lag))
}
