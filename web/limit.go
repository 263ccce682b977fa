package web

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

var (
	errKeyRate     = errors.New("web: the key makes more requests than it may")
	errAddressRate = errors.New("web: the address makes more requests than it may")
)

// later is an error with the time after which it makes sense to come again.
type later struct {
	error
	after time.Duration
}

func (e later) Unwrap() error             { return e.error }
func (e later) RetryAfter() time.Duration { return e.after }

// policy is how many requests somebody may make at once, and how many a second in the long run.
type policy struct {
	name      string
	perSecond float64
	burst     int
}

// What a key and what an address without a key may ask for. They are meant to stop what runs wild, and
// nobody else.
var (
	keyPolicy     = policy{"key", 50, 100}
	addressPolicy = policy{"address", 10, 100}
)

// field is the policy as RateLimit-Policy says it: so many requests in so many seconds.
func (p policy) field() string {
	return fmt.Sprintf("%q;q=%d;w=%d", p.name, p.burst, int(math.Ceil(float64(p.burst)/p.perSecond)))
}

// quota is what a policy leaves somebody: so many requests in the seconds until all are there again.
type quota struct {
	left int
	full time.Duration
}

func (q quota) seconds() int { return int(math.Ceil(q.full.Seconds())) }

// limiter counts requests by who makes them. It remembers at most twice most of them.
type limiter[K comparable] struct {
	policy
	mu      sync.Mutex
	buckets recent[K, *rate.Limiter]
}

func newLimiter[K comparable](p policy, most int) *limiter[K] {
	// A bucket that was not used for so long is full, like a new one.
	refill := time.Duration(float64(p.burst) / p.perSecond * float64(time.Second))
	return &limiter[K]{policy: p, buckets: recent[K, *rate.Limiter]{most: most, span: refill}}
}

// take counts a request and tells whether it may be made.
func (l *limiter[K]) take(k K, now time.Time) (quota, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.buckets.get(k, now)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(l.perSecond), l.burst)
		l.buckets.put(k, bucket, now)
	}
	allowed := bucket.AllowN(now, 1)
	tokens := bucket.TokensAt(now)
	missing := (float64(l.burst) - tokens) / l.perSecond
	return quota{max(0, int(tokens)), time.Duration(missing * float64(time.Second))}, allowed
}

// show tells a client what it has left, in the header fields of draft-ietf-httpapi-ratelimit-headers-11.
func (l *limiter[K]) show(h http.Header, q quota) {
	h.Set("RateLimit-Policy", l.field())
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", l.name, q.left, q.seconds()))
}

// use counts a request, tells the client what is left, and returns the error to answer with when it was
// one too many.
func use[K comparable](l *limiter[K], k K, h http.Header, now time.Time, refusal error) error {
	q, ok := l.take(k, now)
	l.show(h, q)
	if !ok {
		return later{refusal, q.full} // the draft: not before the window that RateLimit names is over
	}
	return nil
}

// strangers limits the requests that come without a key, by their address: pages, and paths that are
// nothing. What is asked with a key is counted by requires, and what with a session by signedIn. Health checks are
// free, and so are the dashboard's files. So are webhooks:
// nobody knows DoorFlow's addresses, they may share one behind a proxy, and what is not signed costs little.
func (s *Server) strangers(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		switch path := c.Path(); {
		case path == "/livez", path == "/readyz", path == staticPath, strings.HasPrefix(path, "/v1/"), s.isPage(path),
			path == WebhookPath && c.Request().Method == http.MethodPost:
			return next(c)
		}
		if err := s.countAddress(c); err != nil {
			return err
		}
		return next(c)
	}
}

func (s *Server) countAddress(c echo.Context) error {
	err := use(s.addresses, s.address(c), c.Response().Header(), time.Now(), errAddressRate)
	if err != nil {
		s.metrics.refused.WithLabelValues("address_rate").Inc()
	}
	return err
}

// address is what the sender of a request counts as.
func (s *Server) address(c echo.Context) netip.Addr { return network(s.proxies.client(c.Request())) }
