package sharing

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

type identityMetrics struct {
	registrations *prometheus.CounterVec
	identities    *prometheus.GaugeVec
}

func newIdentityMetrics(reg prometheus.Registerer) *identityMetrics {
	m := &identityMetrics{
		registrations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_identity_registrations_total", Help: "How Doordeck answered when an identity's key was registered, renewed or checked.",
		}, []string{"outcome"}),
		identities: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatehouse_identities", Help: "Identities by status.",
		}, []string{"status"}),
	}
	for _, outcome := range []string{"registered", "locked", "refused", "away"} {
		m.registrations.WithLabelValues(outcome)
	}
	for _, status := range []string{StatusUnregistered, StatusVerification, StatusReady, StatusFailed} {
		m.identities.WithLabelValues(status)
	}
	if reg != nil {
		reg.MustRegister(m.registrations, m.identities)
	}
	return m
}

// count brings the gauge up to date.
func (i *Identities) count(ctx context.Context) error {
	var counts []struct {
		Status string
		N      float64
	}
	if err := i.db.Select(ctx, &counts, `SELECT status, COUNT(*) AS n FROM identities WHERE deleted_at = 0 GROUP BY status`); err != nil {
		return err
	}
	found := map[string]float64{}
	for _, c := range counts {
		found[c.Status] = c.N
	}
	for _, status := range []string{StatusUnregistered, StatusVerification, StatusReady, StatusFailed} {
		i.metrics.identities.WithLabelValues(status).Set(found[status])
	}
	return nil
}
