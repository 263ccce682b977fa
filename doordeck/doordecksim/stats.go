package doordecksim

import (
	"maps"
	"sync"
)

// Stats counts what clients did.
type Stats struct {
	// Requests counts requests by the name of their route, Answers by status.
	Requests map[string]int `json:"requests"`
	Answers  map[int]int    `json:"answers"`
	// MaxInFlight is the highest number of requests at one time, by route.
	MaxInFlight  map[string]int `json:"max_in_flight"`
	Unauthorized int            `json:"unauthorized"` // for their tokens
	Faults       int            `json:"faults"`       // answered or cut off by a fault
}

// counters has its own lock, so that counting a request never waits for another one's handler.
type counters struct {
	mu       sync.Mutex
	stats    Stats
	inFlight map[string]int
}

func newCounters() *counters {
	return &counters{
		stats:    Stats{Requests: map[string]int{}, Answers: map[int]int{}, MaxInFlight: map[string]int{}},
		inFlight: map[string]int{},
	}
}

func (c *counters) add(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

func (c *counters) answered(status int) { c.add(func(s *Stats) { s.Answers[status]++ }) }

// begin counts a request; the returned function says that it has ended.
func (c *counters) begin(route string) (finish func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Requests[route]++
	c.inFlight[route]++
	c.stats.MaxInFlight[route] = max(c.stats.MaxInFlight[route], c.inFlight[route])
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inFlight[route]--
	}
}

// Stats returns the counts so far.
func (s *Sim) Stats() Stats {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	out := s.counts.stats
	out.Requests, out.Answers, out.MaxInFlight = maps.Clone(out.Requests), maps.Clone(out.Answers), maps.Clone(out.MaxInFlight)
	return out
}
