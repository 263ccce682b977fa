package webhooks

import (
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
	reg.MustRegister(m.outcomes, m.seconds)
	return m
}
