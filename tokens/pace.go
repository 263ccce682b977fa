package tokens

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstWait = time.Second
	longest   = time.Minute
	// restAfter is how soon after a refresh its token may be refused and refreshed again at the earliest.
	restAfter = 2 * time.Second
)

// pace keeps an account whose refreshes fail, or whose fresh tokens are refused, from hammering DoorFlow.
// It is memory only: a restart may try at once.
type pace struct {
	mu       sync.Mutex
	accounts map[string]*pacing
}

type pacing struct {
	fails   int
	until   time.Time
	last    error
	rejects int // refreshes since a token was last seen to work, each because one was refused
}

func (p *pace) of(account string) *pacing {
	if p.accounts == nil {
		p.accounts = map[string]*pacing{}
	}
	if p.accounts[account] == nil {
		p.accounts[account] = &pacing{}
	}
	return p.accounts[account]
}

// blocked returns the last failure while it is too early to try again.
func (p *pace) blocked(account string, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.of(account); now.Before(a.until) {
		return a.last
	}
	return nil
}

func (p *pace) failed(account string, now time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.of(account)
	a.fails++
	a.last, a.until = err, now.Add(jitter(doubling(firstWait, a.fails)))
}

// refreshed forgets the failures. Refreshes that answer a refusal are counted.
func (p *pace) refreshed(account string, rejected bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.of(account)
	a.fails, a.until, a.last = 0, time.Time{}, nil
	if rejected {
		a.rejects++
	}
}

// rest is how old a token must be before its refusal is answered with a refresh.
func (p *pace) rest(account string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return doubling(restAfter, max(p.of(account).rejects, 1))
}

// worked says that DoorFlow took the account's token.
func (p *pace) worked(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.accounts[account]; a != nil {
		a.rejects = 0
	}
}

// forget starts afresh, for a new connection.
func (p *pace) forget(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.accounts, account)
}

// doubling is the nth wait of a series that begins with first and ends at the longest.
func doubling(first time.Duration, n int) time.Duration {
	if n > 8 {
		return longest
	}
	return min(first<<(n-1), longest)
}

// jitter spreads a wait by a fifth either way.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
