package doorflowsim

import (
	"maps"
	"sync"
)

// Stats counts what clients did.
type Stats struct {
	TokenRequests   int `json:"token_requests"`
	Exchanges       int `json:"exchanges"` // of codes, successful
	Refreshes       int `json:"refreshes"` // successful
	RefreshFailures int `json:"refresh_failures"`
	Revokes         int `json:"revokes"`
	TokenInfo       int `json:"token_info"`
	// Requests counts API requests with a valid token by "GET /api/3/events/{id}".
	Requests map[string]int `json:"requests"`
	// MaxInFlight is the highest number of API requests at one time, by account.
	MaxInFlight  map[string]int `json:"max_in_flight"`
	Unauthorized int            `json:"unauthorized"`
	Forbidden    int            `json:"forbidden"`
	RateLimited  int            `json:"rate_limited"`
	// WebhookRequests counts attempts, WebhookFailures those not answered with 200.
	WebhookRequests int `json:"webhook_requests"`
	WebhookFailures int `json:"webhook_failures"`
}

// counters has its own lock, so that counting a request never waits for another one's handler.
type counters struct {
	mu       sync.Mutex
	stats    Stats
	inFlight map[string]int
}

func newCounters() *counters {
	return &counters{
		stats:    Stats{Requests: map[string]int{}, MaxInFlight: map[string]int{}},
		inFlight: map[string]int{},
	}
}

func (c *counters) add(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// begin counts an API request; the returned function says that it has ended.
func (c *counters) begin(account, pattern string) (finish func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Requests[pattern]++
	c.inFlight[account]++
	c.stats.MaxInFlight[account] = max(c.stats.MaxInFlight[account], c.inFlight[account])
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inFlight[account]--
	}
}

// Stats returns the counts so far.
func (s *Sim) Stats() Stats {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	out := s.counts.stats
	out.Requests = maps.Clone(out.Requests)
	out.MaxInFlight = maps.Clone(out.MaxInFlight)
	return out
}
