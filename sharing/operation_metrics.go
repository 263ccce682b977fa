package sharing

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doordeck"
)

type operationMetrics struct {
	asked, outcomes *prometheus.CounterVec
	sends           *prometheus.CounterVec
	seconds         *prometheus.HistogramVec
}

func newOperationMetrics(reg prometheus.Registerer) *operationMetrics {
	m := &operationMetrics{
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_operations_total", Help: "Operations stored, by type.",
		}, []string{"type"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_operation_outcomes_total", Help: "Operations that have ended, by type and status.",
		}, []string{"type", "status"}),
		sends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_operation_sends_total", Help: "Signed operations sent to Doordeck, by what it answered.",
		}, []string{"answer"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_operation_seconds", Help: "Time from when an operation was received to its final outcome.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 600, 3600, 86400},
		}, []string{"type"}),
	}
	for _, kind := range []string{Share, Revoke, Unlock} {
		m.asked.WithLabelValues(kind)
		m.seconds.WithLabelValues(kind)
		for _, status := range []Status{Applied, Confirmed, Partial, Failed, Expired, Cancelled, Unknown} {
			m.outcomes.WithLabelValues(kind, string(status))
		}
	}
	for _, outcome := range []doordeck.Outcome{doordeck.Applied, doordeck.Queued} {
		m.sends.WithLabelValues(string(outcome))
	}
	for _, class := range []doordeck.Class{
		doordeck.Unauthorized, doordeck.Forbidden, doordeck.NotFound, doordeck.Locked, doordeck.Conflict,
		doordeck.TooMany, doordeck.Offline, doordeck.NoAnswer, doordeck.Transient, doordeck.Invalid,
	} {
		m.sends.WithLabelValues(string(class))
	}
	if reg != nil {
		reg.MustRegister(m.asked, m.outcomes, m.sends, m.seconds)
	}
	return m
}

func (m *operationMetrics) accepted(kind string) { m.asked.WithLabelValues(kind).Inc() }

func (m *operationMetrics) ended(kind string, status Status, after time.Duration) {
	m.outcomes.WithLabelValues(kind, string(status)).Inc()
	m.seconds.WithLabelValues(kind).Observe(max(0, after.Seconds()))
}

// sent counts one answer: an outcome, or a class of failures.
func (m *operationMetrics) sent(done doordeck.Outcome, err error) {
	answer := string(done)
	if err != nil {
		answer = string(classOf(err))
	}
	m.sends.WithLabelValues(answer).Inc()
}
