package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

// Page is a route of the dashboard: a page, a part of one, or an action.
type Page struct {
	Method, Path string
	// Scope is what the key behind the session needs, "" where any will do.
	Scope string
	// Or is a scope that will do instead, where the handler decides by more than the route; "" for none.
	Or     string
	Handle echo.HandlerFunc
	// Background requests are sent by a page that is left open. They keep no session from ending for being idle.
	Background bool
	// Stream is for answers that go on until the session or the server ends.
	Stream bool
	// Open pages show strangers nothing that is not served openly elsewhere. Those who are signed in keep their menu.
	Open bool
}

// Dashboard is what people see in a browser.
type Dashboard interface {
	// Pages are its routes for those who are signed in. None may be below /v1, /oauth or /webhooks.
	Pages() []Page
	// Static is GET /static/:file, for everybody.
	Static(echo.Context) error
	// SignIn shows the page to sign in with. What went wrong the last time, or that a session has ended, may be nil. With
	// an empty path the form opens another tab, for this one holds a form that was not sent.
	SignIn(c echo.Context, status int, to string, wrong *Problem) error
	// LinkPage shows the button that spends a sign-in link.
	LinkPage(echo.Context) error
	// Problem shows why there is no page.
	Problem(echo.Context, Problem) error
}

const staticPath = "/static/:file"

var errCrossOrigin = errors.New("web: the request comes from another site")

// openDashboard prepares what its routes need.
func (s *Server) openDashboard() error {
	s.pages = map[string]bool{}
	if s.config.Dashboard == nil {
		return nil
	}
	if s.config.Sessions == nil || s.config.Record == nil {
		return errors.New("web: a dashboard needs Sessions and Record")
	}
	for _, p := range s.config.Dashboard.Pages() {
		s.pages[p.Path] = true
	}
	s.refusals = rate.NewLimiter(rate.Every(refusalEvery), refusalBurst)
	s.crossOrigin = http.NewCrossOriginProtection()
	if u := s.config.PublicURL; u != nil {
		// A proxy may change the Host header, which a browser's Origin would otherwise be compared with.
		if err := s.crossOrigin.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return fmt.Errorf("web: the public URL has no usable origin: %w", err)
		}
	}
	return nil
}

func (s *Server) isPage(path string) bool { return s.pages[path] }

// pageRoutes are for people. secure says that browsers come by https although this listener may not speak it.
func (s *Server) pageRoutes(e *echo.Echo, secure bool) {
	d := s.config.Dashboard
	if d == nil {
		return
	}
	in := signIn{s, secure}
	e.GET(staticPath, d.Static)
	e.POST("/sign-in", in.withKey, s.page, s.sameOrigin, fromBrowser, smallForm, wholeForm, answeredInTime)
	e.GET("/sign-in/:token", in.linkPage, s.page, answeredInTime)
	e.POST("/sign-in/:token", in.withLink, s.page, s.sameOrigin, fromBrowser, answeredInTime)
	e.POST("/sign-out", in.out, s.page, s.sameOrigin, in.signedIn(Page{}), answeredInTime)
	e.POST("/sign-out-everywhere", in.outEverywhere, s.page, s.sameOrigin, in.signedIn(Page{}), answeredInTime)
	for _, p := range d.Pages() {
		around := []echo.MiddlewareFunc{s.page, s.sameOrigin, in.signedIn(p), wholeForm}
		if p.Stream {
			around = append(around, s.fewStreams, s.endsWithKey, endsWithServer)
		} else {
			around = append(around, endsSoonWithServer, answeredInTime) // it may ask an endpoint, DoorFlow or Doordeck
		}
		e.Add(p.Method, p.Path, p.Handle, around...)
	}
}

// answerWithin is how long a page may take that is no stream: somewhat less than its server would still write.
const answerWithin = 25 * time.Second

// answeredInTime ends a request's context before its server would give it up, so that whoever waits is told something
// when a database hangs. It stands behind signedIn, and so do the limits of what is asked elsewhere.
func answeredInTime(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
		defer cancel()
		c.SetRequest(r.WithContext(ctx))
		defer c.SetRequest(r) // or an error would be answered as if the client had gone
		return next(c)
	}
}

// pageSecurity lets a page load what this server has, and nothing else: no script or style stands in a page.
const pageSecurity = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const isPageKey = "page"

// page sets what every page has. An error behind it is shown as a page.
func (s *Server) page(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Set(isPageKey, true)
		h := c.Response().Header()
		h.Set("Content-Security-Policy", pageSecurity)
		// With no-referrer a browser sends "Origin: null" with a form, which those without Sec-Fetch-Site are judged by.
		h.Set("Referrer-Policy", "same-origin")
		return next(c)
	}
}

// sameOrigin refuses what another site has a browser send.
func (s *Server) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.crossOrigin.Check(c.Request()) != nil {
			return errCrossOrigin
		}
		return next(c)
	}
}

// problemPage shows a problem to a person who asked for a page, and tells whether that is so.
func (s *Server) problemPage(c echo.Context, p Problem) bool {
	d := s.config.Dashboard
	lost := c.Path() == "" && strings.Contains(c.Request().Header.Get("Accept"), "text/html")
	if d == nil || !lost && c.Get(isPageKey) == nil && !s.isPage(c.Path()) {
		return false
	}
	c.Response().Header().Set("Content-Security-Policy", pageSecurity)
	return d.Problem(c, p) == nil || c.Response().Committed
}

// The audit log records refused sign-ins as long as there are not too many: nobody must be able to fill a disk
// with them from a thousand addresses. The log and a metric count them all.
const (
	refusalEvery = 10 * time.Second
	refusalBurst = 60
)
