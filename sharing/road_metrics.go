package sharing

import "github.com/prometheus/client_golang/prometheus"

type askMetrics struct{ asks *prometheus.CounterVec }

func newAskMetrics(reg prometheus.Registerer) *askMetrics {
	m := &askMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_asks_total", Help: "Requests on NATS, by operation and by answer: answered, or the word for an error.",
	}, []string{"operation", "answer"})}
	for operation := range granted {
		for _, answer := range []string{"answered", "storage", "internal"} {
			m.asks.WithLabelValues(operation, answer)
		}
	}
	reg.MustRegister(m.asks)
	return m
}

func (m *askMetrics) answered(operation, answer string) {
	m.asks.WithLabelValues(operation, answer).Inc()
}

// What becomes of a command.
const (
	commandStored  = "stored"
	commandRefused = "refused" // said to have failed
	commandDropped = "dropped" // on a subject that names nobody who could be told
	commandRetried = "retried" // could not be stored; it comes again
)

type commandMetrics struct{ commands *prometheus.CounterVec }

func newCommandMetrics(reg prometheus.Registerer) *commandMetrics {
	m := &commandMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_commands_total", Help: "Commands taken from NATS, by what became of them: stored, refused, dropped, retried.",
	}, []string{"outcome"})}
	for _, outcome := range []string{commandStored, commandRefused, commandDropped, commandRetried} {
		m.commands.WithLabelValues(outcome)
	}
	reg.MustRegister(m.commands)
	return m
}

func (m *commandMetrics) count(outcome string) { m.commands.WithLabelValues(outcome).Inc() }
