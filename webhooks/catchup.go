package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doorflow"
	"gatehouse/events"
)

const (
	// looksAtOnce bounds how many accounts are compared at the same time, and so the memory for pages.
	looksAtOnce = 4
	// plainFor is how long DoorFlow's refusal of our event codes is remembered.
	plainFor = 24 * time.Hour
	// refusedFor is how long an account whose events we may not list is left alone, unless it reconnects.
	refusedFor = 24 * time.Hour
)

// CatchupConfig is what a Catchup needs besides the Fetcher, whose turns, client and clean-up it shares.
type CatchupConfig struct {
	Fetcher *Fetcher
	// Every is how often an account's events are compared. Silence is how long an account may be without a
	// webhook before that is said; 0 means for ever.
	Every, Silence time.Duration
	Registerer     prometheus.Registerer
	Logger         *slog.Logger
	Now            func() time.Time // nil means time.Now
}

// Catchup compares DoorFlow's list of events with what webhooks brought, and says what is missing: when the
// gateway starts, when a connection becomes active, every few minutes, and when an account falls silent.
// Who has the account's turn does it, so it is one replica at a time.
type Catchup struct {
	CatchupConfig
	metrics *catchupMetrics
	wake    chan struct{}
	slots   chan struct{}

	mu      sync.Mutex
	watches map[string]*watch

	measured time.Time // of Run alone
}

// watch is what this process knows of an active account.
type watch struct {
	running bool
	due     time.Time
	// asked says that the next look must not be left out because another replica has just had one.
	asked bool
	// again says that the connection became active while it was being compared.
	again bool
	// from is when this process began to see the connection as active.
	from time.Time

	// Of the worker that has claimed it.
	fails      int
	slow       int       // how many looks in a row met a DoorFlow that was not there or not well
	reached    int64     // where a wide look goes on that was broken off, in Unix milliseconds; 0 for none
	began      time.Time // when that one began
	plainUntil time.Time // until then without event codes
	refused    bool      // it has been said that the events may not be listed
}

// NewCatchup makes one.
func NewCatchup(c CatchupConfig) *Catchup {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Catchup{
		CatchupConfig: c, metrics: newCatchupMetrics(c.Registerer), wake: make(chan struct{}, 1),
		slots: make(chan struct{}, looksAtOnce), watches: map[string]*watch{},
	}
}

// Activated says that a connection has become active: what happened meanwhile is looked for at once.
func (c *Catchup) Activated(account string) {
	c.mu.Lock()
	if w := c.watches[account]; w != nil {
		w.asked, w.again, w.due, w.from = true, true, c.Now(), c.Now()
	}
	c.mu.Unlock()
	signal(c.wake)
}

// Run compares until ctx ends.
func (c *Catchup) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		accounts, err := c.Fetcher.Look(ctx)
		if err == nil {
			err = c.measure(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.Logger.Debug("catching up could not look at the connections", "error", err)
		}
		for account, w := range c.ready(accounts, err != nil) {
			workers.Go(func() {
				defer c.done(w)
				select {
				case c.slots <- struct{}{}:
					defer func() { <-c.slots }()
					c.visit(ctx, account, w)
				case <-ctx.Done():
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-tick.C:
		}
	}
}

// ready claims the accounts whose look is due. It forgets those that are not active any more, unless it is
// not known which are.
func (c *Catchup) ready(active []string, unknown bool) map[string]*watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
	known := make(map[string]*watch, len(active))
	due := map[string]*watch{}
	for _, account := range active {
		w := c.watches[account]
		if w == nil {
			w = &watch{due: now, from: now, asked: true}
			c.watches[account] = w
		}
		known[account] = w
		if !w.running && !now.Before(w.due) {
			w.running = true
			due[account] = w
		}
	}
	if unknown {
		return due
	}
	for account, w := range c.watches {
		if w.running {
			known[account] = w
		}
	}
	c.watches = known
	return due
}

func (c *Catchup) done(w *watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.running = false; w.again {
		w.asked, w.again, w.refused, w.reached, w.due = true, false, false, 0, c.Now()
	}
}

// visit is one worker's call on an account.
func (c *Catchup) visit(ctx context.Context, account string, w *watch) {
	c.mu.Lock()
	asked, from := w.asked, w.from
	w.again = false
	c.mu.Unlock()
	t := c.Fetcher.join(account)
	defer t.leave(ctx)
	if pause := t.pausedFor(); pause > 0 {
		c.next(w, pause)
		return
	}
	if !t.hold(ctx) {
		c.next(w, lookEvery) // another replica has the account
		return
	}
	p, err := c.place(ctx, account)
	if err != nil {
		c.next(w, backoff(0))
		return
	}
	if err := c.heal(ctx, account, p); err != nil {
		c.next(w, backoff(0))
		return
	}
	silent := c.overdue(p, from)
	if !asked && !silent && c.Now().Sub(p.lookedAt()) < c.Every*8/10 {
		c.schedule(w, p, false)
		return
	}
	c.look(ctx, account, w, t, p, silent)
}

// look compares an account and settles what came of it.
func (c *Catchup) look(ctx context.Context, account string, w *watch, t *turn, p place, silent bool) {
	r := c.newRun(account, p, w, silent)
	err := c.compare(ctx, t, w, r)
	if ctx.Err() != nil {
		return
	}
	if stored := c.advance(ctx, p, r, err); stored != nil {
		err = stored
	}
	outcome := c.outcome(err)
	c.metrics.runs.WithLabelValues(outcome).Inc()
	log := c.Logger.With("account", events.Token(account), "since", r.since, "wide", r.wide, "pages", r.pages, "found", r.found)
	if r.odd > 0 {
		log.Warn("DoorFlow's list of events has items without a usable id", "items", r.odd)
	}
	if silent {
		if err := c.saySilent(ctx, account, p, outcome); err != nil {
			log.Warn("an account's silence was not noted; trying again", "error", err)
		}
	}
	if err == nil {
		w.fails, w.slow, w.reached = 0, 0, 0
		level := slog.LevelDebug
		if r.found > 0 {
			level = slog.LevelInfo
		}
		log.Log(ctx, level, "caught up")
		c.schedule(w, p, true)
		return
	}
	before := p.Watermark
	if r.wide {
		before = w.reached
	}
	further := r.sorted && r.newest > before
	if further && r.wide {
		w.reached, w.began = r.newest, r.began
	}
	c.failed(ctx, log, account, w, t, err, outcome, further)
}

// failed decides when a look that did not come to its end is tried again. The place is kept.
func (c *Catchup) failed(ctx context.Context, log *slog.Logger, account string, w *watch, t *turn, err error, outcome string, further bool) {
	refused, _ := errors.AsType[*doorflow.Error](err)
	wait, level := backoff(w.fails), slog.LevelWarn
	w.fails++
	if outcome == "unreachable" || outcome == "failed" {
		w.slow++
	} else {
		w.slow = 0
	}
	switch outcome {
	case "partial":
		if further { // a long list is being worked through
			w.fails, wait, level = 0, 0, slog.LevelInfo
		}
	case "interrupted":
		level = slog.LevelDebug
	case "needs_reconnect":
		wait = c.Every
	case "forbidden":
		wait, level = c.forbidden(ctx, log, account, w), slog.LevelDebug
	case "rate_limited":
		wait = max(wait, t.slowDown(refused.RetryAfter)) // it need not say how long
	case "failed":
		wait = max(wait, min(refused.RetryAfter, longestWait))
	}
	log.Log(ctx, level, "catching up did not come to its end; it goes on from where it stands", "outcome", outcome, "error", err, "again_in", wait.String())
	c.next(w, wait)
}

// forbidden notes once that the account's events may not be listed, and returns how long to leave it alone.
func (c *Catchup) forbidden(ctx context.Context, log *slog.Logger, account string, w *watch) time.Duration {
	if w.refused {
		return refusedFor
	}
	if err := c.Fetcher.Forbidden(ctx, account, scopeEvents); err != nil {
		return backoff(0)
	}
	w.refused = true
	log.Warn("DoorFlow refuses the list of events: those whose webhooks are lost stay lost until the account reconnects", "needs_scope", scopeEvents)
	return refusedFor
}

// outcome is the bounded word for how a look ended.
func (c *Catchup) outcome(err error) string {
	refused, answered := errors.AsType[*doorflow.Error](err)
	switch {
	case err == nil:
		return "complete"
	case errors.Is(err, errEndless):
		return "partial"
	case errors.Is(err, errInterrupted):
		return "interrupted"
	case errors.Is(err, errNotStored):
		return "not_stored"
	case c.Fetcher.Unusable(err):
		return "needs_reconnect"
	case errors.Is(err, errRepeated), errors.Is(err, doorflow.ErrNotList), errors.Is(err, doorflow.ErrListTooLarge):
		return "odd"
	case !answered:
		return "unreachable"
	case refused.Status == http.StatusForbidden:
		return "forbidden"
	case refused.Status == http.StatusTooManyRequests:
		return "rate_limited"
	case refused.Status == http.StatusUnauthorized || refused.Status == http.StatusRequestTimeout || refused.Status >= 500:
		return "failed"
	default:
		return "odd"
	}
}

// next sets when an account is called on again.
func (c *Catchup) next(w *watch, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.due = c.Now().Add(wait)
}

// schedule sets the next look of an account that is up to date: after the interval, spread by a tenth
// either way, or when it will have been silent for too long.
func (c *Catchup) schedule(w *watch, p place, looked bool) {
	last := p.lookedAt()
	if looked {
		last = c.Now()
	}
	due := last.Add(time.Duration(float64(c.Every) * (0.9 + 0.2*rand.Float64())))
	c.mu.Lock()
	defer c.mu.Unlock()
	w.asked = false
	if quiet := c.quietAt(p, w.from); c.Silence > 0 && p.SilentSince == 0 && quiet.After(c.Now()) && quiet.Before(due) {
		due = quiet
	}
	w.due = due
}
