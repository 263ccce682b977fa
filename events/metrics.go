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
