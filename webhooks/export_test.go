package webhooks

import (
	"context"
	"time"
)

// Visit is one worker's call on an account, now. asked is for a look that must not be left out.
func (c *Catchup) Visit(ctx context.Context, account string, asked bool) {
	c.mu.Lock()
	w := c.watches[account]
	if w == nil {
		w = &watch{from: c.Now()}
		c.watches[account] = w
	}
	w.asked, w.running = w.asked || asked, true
	c.mu.Unlock()
	defer c.done(w)
	c.visit(ctx, account, w)
}

// Due is when an account is called on next.
func (c *Catchup) Due(account string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watches[account].due
}

// Drain fetches what an account has open.
func (f *Fetcher) Drain(ctx context.Context, account string) { f.drain(ctx, account) }

// The limits that tests go by.
const (
	Overlap     = overlap
	WideOverlap = wideOverlap
	MaxPages    = maxPages
	ListenFirst = listenFirst
)

// Look looks for deliveries that have become due, now.
func (d *Deliveries) Look(ctx context.Context) error { return d.look(ctx) }

// NextAttempt is the schedule.
var NextAttempt = nextAttempt

// OutcomeOf classes a status.
var OutcomeOf = outcomeOf

// Cleaned is what is kept of an answer.
var Cleaned = cleaned
