package tokens

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	refreshes   *prometheus.CounterVec
	connections *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_token_refreshes_total", Help: "How wishes for a fresh token ended.",
		}, []string{"outcome"}),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatehouse_connections", Help: "Connections by status.",
		}, []string{"status"}),
	}
	for _, outcome := range []string{"refreshed", "reused", "invalid_grant", "misconfigured", "transient", "superseded"} {
		m.refreshes.WithLabelValues(outcome)
	}
	for _, status := range []string{StatusPending, StatusActive, StatusReauthorize, StatusDisconnected} {
		m.connections.WithLabelValues(status)
	}
	if reg != nil {
		reg.MustRegister(m.refreshes, m.connections)
	}
	return m
}

// count brings the gauge up to date.
func (k *Keeper) count(ctx context.Context) error {
	var counts []struct {
		Status string
		N      float64
	}
	if err := k.db.Select(ctx, &counts, `SELECT status, COUNT(*) AS n FROM connections GROUP BY status`); err != nil {
		return err
	}
	found := map[string]float64{}
	for _, c := range counts {
		found[c.Status] = c.N
	}
	for _, status := range []string{StatusPending, StatusActive, StatusReauthorize, StatusDisconnected} {
		k.metrics.connections.WithLabelValues(status).Set(found[status])
	}
	return nil
}
