package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/vault"
)

var errGuessing = errors.New("web: too many wrong keys came from this address")

const (
	// wrongKeys within guessFor from one address, and for as long again no more are looked up.
	wrongKeys = 20
	guessFor  = time.Minute
	// knownFor is how long, at least, a key that has worked from an address is let through whatever else
	// comes from there: one broken program does not lock out the others behind the same proxy.
	knownFor = time.Hour

	maxGuessers, maxKnown = 1 << 15, 1 << 12

	// lookUpWithin is how long it may take to find who asks. Every request begins with that, so none waits much longer
	// for a database that hangs.
	lookUpWithin = 5 * time.Second
)

// guard ends the guessing of keys. Connect links and OAuth states need none: they are 256 bits of chance
// (oauth's random), as good keys are too, but an administrator may choose a worse one.
type guard struct {
	mu       sync.Mutex
	guessers recent[netip.Addr, *guesser]
	known    recent[knownKey, struct{}]
}

type guesser struct {
	since, until time.Time
	wrong        int
}

type knownKey struct {
	from netip.Addr
	key  [sha256.Size]byte
}

func newGuard() *guard {
	return &guard{
		guessers: recent[netip.Addr, *guesser]{most: maxGuessers, span: 2 * guessFor},
		known:    recent[knownKey, struct{}]{most: maxKnown, span: knownFor},
	}
}

// wait is how long keys from an address are not looked up, 0 when this one is.
func (g *guard) wait(k knownKey, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.guessers.get(k.from, now)
	if !ok || !now.Before(at.until) {
		return 0
	}
	if _, ok := g.known.get(k, now); ok {
		return 0
	}
	return at.until.Sub(now)
}

// knows tells whether a key or cookie has worked from that address lately.
func (g *guard) knows(k knownKey, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.known.get(k, now)
	return ok
}

// right notes that a key has worked.
func (g *guard) right(k knownKey, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known.put(k, struct{}{}, now)
}

// wrong counts a key that did not work, and tells whether this one was the last that is looked up.
func (g *guard) wrong(from netip.Addr, now time.Time) (closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.guessers.get(from, now)
	if !ok {
		at = &guesser{}
		g.guessers.put(from, at, now)
	}
	if now.Before(at.until) {
		return false // by a known key that is no longer valid, or looked up while the others were
	}
	if now.Sub(at.since) >= guessFor {
		at.since, at.wrong = now, 0
	}
	if at.wrong++; at.wrong < wrongKeys {
		return false
	}
	*at = guesser{until: now.Add(guessFor)}
	return true
}

// identify finds the caller behind a key, within the limits of the key and of the address it comes from.
func (s *Server) identify(c echo.Context, key vault.Secret) (caller Caller, ok bool, err error) {
	now, k := time.Now(), knownKey{s.address(c), sha256.Sum256([]byte(key.Reveal()))}
	if wait := s.guard.wait(k, now); wait > 0 {
		s.metrics.refused.WithLabelValues("guessing").Inc()
		return Caller{}, false, later{errGuessing, wait}
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), lookUpWithin)
	defer cancel()
	if caller, ok, err = s.config.Authenticate(ctx, key); err != nil {
		return Caller{}, false, err
	}
	if !ok {
		if s.guard.wrong(k.from, now) {
			s.metrics.guessing.Inc()
			s.log.Warn("too many wrong API keys from one address: none is looked up for a minute, but for those that have worked from there",
				slog.String("remote", c.RealIP()), slog.String("request_id", RequestID(c.Request().Context())))
		}
		return Caller{}, false, nil
	}
	s.guard.right(k, now)
	return caller, true, s.countKey(c, caller.ID)
}

// countKey counts a request by the key that it is made with, or that its session stands for.
func (s *Server) countKey(c echo.Context, id string) error {
	err := use(s.keys, id, c.Response().Header(), time.Now(), errKeyRate)
	if err != nil {
		s.metrics.refused.WithLabelValues("key_rate").Inc()
	}
	return err
}

// nobody refuses a request that no key came with, or a wrong one.
func (s *Server) nobody(c echo.Context) error {
	if err := s.countAddress(c); err != nil {
		return err
	}
	return errUnauthorized
}
