package web

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry makes a registry that already tells of the Go runtime and the process.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

const metricsPath = "/metrics"

// Ops is the handler of the operators' listener.
func (s *Server) Ops() http.Handler {
	e := s.echo()
	s.healthRoutes(e)
	e.GET(metricsPath, echo.WrapHandler(promhttp.HandlerFor(s.config.Registry, promhttp.HandlerOpts{Registry: s.config.Registry})))
	e.Any("/debug/pprof/*", echo.WrapHandler(profiles()), loopbackOnly)
	return e
}

// profiles leaves out pprof's cmdline: flags may hold secrets.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// loopbackOnly judges by the connection; headers can say anything.
func loopbackOnly(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !peer(c.Request().RemoteAddr).IsLoopback() {
			return echo.ErrNotFound
		}
		return next(c)
	}
}
