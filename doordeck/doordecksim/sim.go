package doordecksim

import (
	"context"
	"crypto/x509"
	"net/http"
	"sync"
	"time"
)

// Sim is the simulated cloud. Its methods may be called from any goroutine.
type Sim struct {
	o       Options
	handler http.Handler
	faults  *Faults
	counts  *counters
	ca      *authority
	roots   []*x509.Certificate // where chains may end
	wake    chan struct{}       // one slot: tells Run to look at the clock again

	mu       sync.Mutex // guards everything below
	offset   time.Duration
	apps     map[string]*application // by issuer
	seeded   map[string]SigningKey   // of the application made here, by kid
	people   people
	keys     keyPool
	sessions sessions
	locks    locks
	once     replays
	queue    []*queued
	ledger   ledger
}

// New returns a Sim with its seeded people and locks. It panics when an application in the options has no
// issuer or a key that no token can be signed with: nothing could be tested with it.
func New(o Options) *Sim {
	s := &Sim{
		o:        withDefaults(o),
		counts:   newCounters(),
		wake:     make(chan struct{}, 1),
		apps:     map[string]*application{},
		people:   newPeople(),
		ca:       newAuthority(),
		sessions: newSessions(),
		locks:    locks{byID: map[string]*lock{}},
		once:     replays{until: map[replayKey]time.Time{}},
		ledger:   newLedger(),
	}
	s.roots = append([]*x509.Certificate{s.ca.root}, o.Roots...)
	s.faults = &Faults{changed: s.poke}
	s.seed()
	s.handler = s.routes()
	return s
}

// ServeHTTP serves Doordeck's API and the control surface.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Faults returns the fault switches.
func (s *Sim) Faults() *Faults { return s.faults }

// Now is the simulated cloud's time, as GET /time tells it.
func (s *Sim) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// now is cut to milliseconds because that is what GET /time shows. It needs s.mu, as does every unexported
// method that does not lock by itself.
func (s *Sim) now() time.Time {
	return s.o.Now().Add(s.offset + s.faults.clock()).UTC().Truncate(time.Millisecond)
}

// Advance moves the clock forward. What becomes due happens before it returns.
func (s *Sim) Advance(d time.Duration) {
	s.mu.Lock()
	s.offset += d
	s.settle()
	s.mu.Unlock()
	s.poke()
}

// poke makes Run look at the clock. A full slot means that it is going to anyway.
func (s *Sim) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run lets what is due happen on time, until ctx ends. It returns nil.
func (s *Sim) Run(ctx context.Context) error {
	for {
		s.mu.Lock()
		s.settle()
		wait := s.untilNext()
		s.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// settle lets happen what was due by now: doors fall shut, queued operations are applied or dropped.
func (s *Sim) settle() {
	now := s.now()
	s.settleQueue(now)
	for _, l := range s.locks.byID {
		if !l.relockAt.IsZero() && !now.Before(l.relockAt) {
			l.shut(l.relockAt)
		}
	}
}

// untilNext is how long nothing will become due: an hour at most, and long enough not to spin where
// Options.Now stands still.
func (s *Sim) untilNext() time.Duration {
	now, next := s.now(), time.Hour
	for _, l := range s.locks.byID {
		if !l.relockAt.IsZero() {
			next = min(next, l.relockAt.Sub(now))
		}
	}
	for _, q := range s.queue {
		next = min(next, q.nextChange().Sub(now))
	}
	return max(next, time.Millisecond)
}

// locked runs f with the lock held and with everything settled.
func (s *Sim) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	f()
}
