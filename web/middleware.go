package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// unmatched stands for every path that is no route, so that strangers cannot make up labels.
const unmatched = "unmatched"

// routeOf is the route's pattern, such as /v1/messages/:id: no value that a client sent is in it.
func routeOf(c echo.Context) string {
	if path := c.Path(); path != "" {
		return path
	}
	return unmatched
}

// route names the request for traces, in place because the tracer outside holds this very request, and
// counts it when it is over.
func (s *Server) route(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started, method := time.Now(), methodOf(c.Request().Method)
		route := routeOf(c)
		c.Request().Pattern = method + " " + route
		err := next(c)
		s.metrics.done(route, method, c.Response(), time.Since(started))
		return err
	}
}

type requestIDKey struct{}

// RequestID is the id of the request that a context belongs to, "" outside of any.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// requestID takes over the id that a proxy or client gave the request, if it is one, and answers with it.
func requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		id := r.Header.Get(echo.HeaderXRequestID)
		if !isRequestID(id) {
			id = uuid.Must(uuid.NewV7()).String()
		}
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
		return next(c)
	}
}

func isRequestID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// access writes one line for each request. It names the route and never the path or the query, in which
// codes, tokens and the ids of connect links are.
func (s *Server) access(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err) // answers it; the status is known from here on
		}
		route := routeOf(c)
		if route == WebhookPath && c.Request().Method == http.MethodPost {
			return nil // its handler writes a line that says more
		}
		level := slog.LevelInfo
		if route == "/livez" || route == "/readyz" || route == metricsPath {
			level = slog.LevelDebug
		}
		ctx := c.Request().Context()
		if !s.log.Enabled(ctx, level) {
			return nil
		}
		attrs := []slog.Attr{
			slog.String("request_id", RequestID(ctx)), slog.String("method", methodOf(c.Request().Method)),
			slog.String("route", route), slog.Int("status", c.Response().Status), slog.Int64("bytes", c.Response().Size),
			slog.Float64("took_ms", float64(time.Since(started).Microseconds())/1000), slog.String("remote", c.RealIP()),
		}
		if caller, ok := CallerFrom(ctx); ok {
			attrs = append(attrs, slog.String("caller", caller.ID)) // the id of the key
		}
		s.log.LogAttrs(ctx, level, "request", attrs...)
		return nil
	}
}

var errPanic = errors.New("web: a handler panicked")

// recover turns a panic into an error, and logs where it happened.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			if r == http.ErrAbortHandler {
				panic(r) // the wish to break the connection off
			}
			ctx := c.Request().Context()
			s.log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("request_id", RequestID(ctx)),
				slog.String("route", routeOf(c)), slog.String("panic", fmt.Sprint(r)), slog.String("stack", string(debug.Stack())))
			err = errPanic
		}()
		return next(c)
	}
}

// secure sets the headers that every answer has; pages say themselves what they load. The values are shared slices: a map entry each, and no
// allocation for each request.
func (s *Server) secure() echo.MiddlewareFunc {
	nosniff, deny, noReferrer, noStore := []string{"nosniff"}, []string{"DENY"}, []string{"no-referrer"}, []string{"no-store"}
	nothing := []string{"default-src 'none'; frame-ancestors 'none'"}
	var strict []string
	if u := s.config.PublicURL; u != nil && u.Scheme == "https" {
		strict = []string{"max-age=31536000"}
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			h := c.Response().Header()
			h["X-Content-Type-Options"], h["X-Frame-Options"], h["Referrer-Policy"] = nosniff, deny, noReferrer
			h["Cache-Control"], h["Content-Security-Policy"] = noStore, nothing
			if strict != nil {
				h["Strict-Transport-Security"] = strict
			}
			return next(c)
		}
	}
}

const maxHeaders = 100

var errHeaders = errors.New("web: the request has too many headers")

// fewHeaders refuses requests with more headers than anybody needs. Their size is bounded by the server,
// but thousands of small ones take many times that, and more for as long as the body is waited for.
func fewHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		n := 0
		for _, values := range c.Request().Header {
			n += len(values)
		}
		if n <= maxHeaders {
			return next(c)
		}
		c.Response().Header().Set(echo.HeaderConnection, "close")
		// The body is not waited for. Without one net/http would take the deadline for the client's going away.
		if body := c.Request().Body; body != nil && body != http.NoBody {
			_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now())
		}
		return errHeaders
	}
}
