package keys

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	resealed prometheus.Counter
	left     prometheus.Gauge
	open     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		resealed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_key_resealed_total", Help: "Values that this process has sealed again with a new key.",
		}),
		left: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_key_rotation_left", Help: "Values that the rotation under way has still to seal again.",
		}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gatehouse_key_rotation_open", Help: "1 while a rotation of the keys is under way.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.resealed, m.left, m.open)
	}
	return m
}

// refresh shows the rotation that is under way, whoever carries it on.
func (m *metrics) refresh(ctx context.Context, r *Ring) {
	rot, open, err := r.open(ctx)
	if err != nil {
		return
	}
	m.open.Set(float64(number(open)))
	m.left.Set(float64(max(0, rot.Total-rot.Done)))
}
