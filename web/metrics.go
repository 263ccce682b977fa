package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests. Every label is one of few: routes come from the route table, methods and
// statuses are classed.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	guessing prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_http_requests_total", Help: "Requests that were answered, by route, method and class of status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_http_request_seconds", Help: "Time a request took; streams are left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60},
		}, []string{"route"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_http_limited_total", Help: "Requests and connections that were turned away, by the limit they had reached.",
		}, []string{"limit"}),
		guessing: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_http_guessing_total", Help: "How often an address was shut out for a minute, for sending many wrong API keys.",
		}),
	}
	for _, limit := range []string{"key_rate", "address_rate", "guessing", "streams", "connections", "requests", "large_bodies", "exchanges", "sign_in"} {
		m.refused.WithLabelValues(limit)
	}
	reg.MustRegister(m.requests, m.seconds, m.refused, m.guessing)
	return m
}

func (m *metrics) done(route, method string, r *echo.Response, took time.Duration) {
	m.requests.WithLabelValues(route, method, statusClass(r.Status)).Inc()
	if !strings.HasPrefix(r.Header().Get(echo.HeaderContentType), "text/event-stream") {
		m.seconds.WithLabelValues(route).Observe(took.Seconds())
	}
}

func statusClass(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	default:
		return "5xx"
	}
}

// methodOf is a method that HTTP knows, or "other".
func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
