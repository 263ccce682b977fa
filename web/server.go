package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"gatehouse/internal/audit"
	"gatehouse/sessions"
)

// Config is what a Server needs. A group of handlers that is nil has no routes.
type Config struct {
	// PublicURL is the gateway as browsers see it. With https they are told to keep to it.
	PublicURL *url.URL
	// TrustedProxies are the networks whose forwarded headers count; none means that nobody's do.
	TrustedProxies []netip.Prefix
	// Authenticate finds the caller behind a bearer key. It must be set.
	Authenticate Authenticator
	// Checks are what /readyz looks at.
	Checks []Check
	// Registry is what /metrics shows. It must be set.
	Registry *prometheus.Registry
	Log      *slog.Logger
	// Wrap stands around everything of the public and the admin handler, such as tracing; nil for nothing.
	Wrap func(http.Handler) http.Handler

	Webhooks    WebhookHandlers
	Connect     ConnectHandlers
	Connections ConnectionHandlers
	DoorFlow    PassThroughHandlers
	Messages    MessageHandlers
	Endpoints   EndpointHandlers
	Deliveries  DeliveryHandlers
	Audit       AuditHandlers
	Keys        KeyHandlers
	Ring        RingHandlers
	Identities  IdentityHandlers
	Operations  OperationHandlers

	NATSCredentials NATSCredentialHandlers
	SignInLinks     SignInLinkHandlers

	// Sessions are needed where there is a Dashboard.
	Sessions  *sessions.Sessions
	Dashboard Dashboard
	// Record writes the audit log; it must be set where there is a Dashboard.
	Record func(context.Context, audit.Entry) error
}

// Server holds the handlers of the gateway's listeners.
type Server struct {
	config  Config
	log     *slog.Logger
	health  *health
	metrics *metrics
	proxies proxies

	pages       map[string]bool // the paths of the dashboard's pages
	crossOrigin *http.CrossOriginProtection
	refusals    *rate.Limiter // of sign-ins, in the audit log

	guard     *guard
	keys      *limiter[string] // by the key's id
	addresses *limiter[netip.Addr]
	streams   *places[string]
	underWay  *places[netip.Addr]
	large     *places[netip.Addr]
	exchanges *places[string]
}

// How many are remembered by the limits, at most twice: some ten megabytes when all places are taken.
const (
	rememberedKeys      = 1 << 12
	rememberedAddresses = 1 << 15
)

// New makes a Server. It starts nothing.
func New(c Config) (*Server, error) {
	if c.Authenticate == nil || c.Registry == nil || c.Log == nil {
		return nil, errors.New("web: Authenticate, Registry and Log must be set")
	}
	s := &Server{
		config: c, log: c.Log, health: newHealth(c.Checks, time.Now), metrics: newMetrics(c.Registry), proxies: c.TrustedProxies,
		guard: newGuard(), keys: newLimiter[string](keyPolicy, rememberedKeys),
		addresses: newLimiter[netip.Addr](addressPolicy, rememberedAddresses), streams: newPlaces[string](maxConnections),
		underWay: newPlaces[netip.Addr](maxConnections), large: newPlaces[netip.Addr](largeBodies),
		exchanges: newPlaces[string](maxExchanges),
	}
	return s, s.openDashboard()
}

// Public is the handler of the public listener; with api, which it has unless there is an admin listener,
// also of /v1 and the dashboard.
func (s *Server) Public(api bool) http.Handler {
	e := s.echo(s.strangers)
	s.publicRoutes(e)
	if api {
		s.apiRoutes(e)
		s.pageRoutes(e, s.config.PublicURL != nil && s.config.PublicURL.Scheme == "https")
	}
	return s.wrap(e)
}

// Admin is the handler of the admin listener: /v1, the dashboard, and health.
func (s *Server) Admin() http.Handler {
	e := s.echo(s.strangers)
	s.healthRoutes(e)
	s.apiRoutes(e)
	s.pageRoutes(e, false)
	return s.wrap(e)
}

func (s *Server) wrap(h http.Handler) http.Handler {
	if s.config.Wrap == nil {
		return h
	}
	return s.config.Wrap(h)
}

// echo makes a router with the middleware that every request goes through, the first outermost.
func (s *Server) echo(more ...echo.MiddlewareFunc) *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.problem
	e.Logger.SetOutput(logWriter{s.log}) // echo says little, and only of its own troubles
	s.proxies.bind(e)
	wrapOnce(e, append([]echo.MiddlewareFunc{
		s.route,       // names the route for metrics and traces; must see the request before others replace it
		requestID,     // so that everything from here on can be found again
		s.access,      // one line per request; answers errors, so that it knows the status
		s.recover,     // a panic becomes an error
		s.secure(),    // headers, before anybody writes
		fewHeaders,    // 100
		plainPath,     // no tricks in a path's parameters
		s.crowd,       // before anything is done
		s.bodyLimited, // 1 MiB
	}, more...))
	return e
}

// wrapOnce gives a router its middleware. Use alone would have echo put it around the route's handler anew
// for every request.
func wrapOnce(e *echo.Echo, middleware []echo.MiddlewareFunc) {
	whole := func(c echo.Context) error { return c.Handler()(c) }
	for _, m := range slices.Backward(middleware) {
		whole = m(whole)
	}
	e.Use(func(echo.HandlerFunc) echo.HandlerFunc { return whole })
}

// logWriter is where echo's own logger ends.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Warn("echo", "line", string(p))
	return len(p), nil
}
