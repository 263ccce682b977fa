package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
)

const (
	fetchTimeout  = 15 * time.Second
	stopGrace     = 4 * time.Second
	settleTimeout = 30 * time.Second
	fetchLease    = 75 * time.Second
	lookEvery     = 2 * time.Second
	firstRetry    = 2 * time.Second
	lastRetry     = 10 * time.Minute
	// oddAttempts is how often an answer that makes no sense is asked for again before it is parked.
	oddAttempts = 8
)

// FetcherConfig is what a Fetcher needs.
type FetcherConfig struct {
	DB  *sqldb.DB
	Log *events.Log
	API doorflow.API
	// Client returns a client that adds an account's bearer token, to DoorFlow's API alone.
	Client func(account string) *http.Client
	// Active lists the accounts with an active connection.
	Active func(ctx context.Context) ([]string, error)
	// Unusable tells whether an error of the client means that the connection needs a person.
	Unusable func(error) bool
	// Forbidden is told that DoorFlow refused an account a kind of resource.
	Forbidden func(ctx context.Context, account, what string) error
	// Numbers says what stands for card numbers and PINs; Digest is a keyed digest of a secret state.
	Numbers doorflow.Numbers
	Digest  func(state []byte) []byte
	// PerSecond is how many requests a second an account may make; 0 means 5.
	PerSecond  int
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

// Fetcher opens notifications: it gets each resource with its ack token and says the event.
type Fetcher struct {
	FetcherConfig
	metrics *fetcherMetrics
	wake    chan struct{} // something arrived
	// activated asks for a new look at the connections.
	activated chan struct{}
	active    atomic.Pointer[map[string]bool]

	mu      sync.Mutex
	arrived map[string]bool
	turns   map[string]*turn
	busy    map[string]bool
}

// NewFetcher makes one.
func NewFetcher(c FetcherConfig) *Fetcher {
	if c.PerSecond == 0 {
		c.PerSecond = perSecond
	}
	return &Fetcher{
		FetcherConfig: c, metrics: newFetcherMetrics(c.Registerer), wake: make(chan struct{}, 1), activated: make(chan struct{}, 1),
		arrived: map[string]bool{}, turns: map[string]*turn{}, busy: map[string]bool{},
	}
}

// Arrived says that an account has new notifications. Those of an account that is not connected wait.
func (f *Fetcher) Arrived(account string) {
	if !f.Connected(account) {
		return
	}
	f.mu.Lock()
	f.arrived[account] = true
	f.mu.Unlock()
	signal(f.wake)
}

// Activated says that a connection has become active, so that what waited for it is fetched.
func (f *Fetcher) Activated(string) { signal(f.activated) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Resume opens what was parked, in the change that makes the account's connection active again.
func (f *Fetcher) Resume(ctx context.Context, tx *events.Tx, account string) error {
	_, err := tx.Exec(ctx, `UPDATE notifications SET state = 'open', attempts = 0, due_at = ? WHERE account = ? AND state = 'parked'`,
		time.Now().UnixMilli(), account)
	return err
}

// Run fetches until ctx ends; then it finishes what is under way.
func (f *Fetcher) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	start := func(accounts []string) {
		for _, account := range accounts {
			if f.claim(account) {
				workers.Go(func() {
					defer f.unclaim(account)
					f.drain(ctx, account)
				})
			}
		}
	}
	for {
		accounts, err := f.Look(ctx)
		if err != nil && ctx.Err() == nil {
			f.Logger.Debug("the fetcher could not list the connections", "error", err)
		}
		start(accounts)
		for looked := true; looked; {
			select {
			case <-ctx.Done():
				return nil
			case <-f.wake:
				start(f.waiting())
			case <-f.activated:
				looked = false
			case <-tick.C:
				looked = false
			}
		}
	}
}

// waiting are the accounts that something has arrived for.
func (f *Fetcher) waiting() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.arrived))
}

// claim gives an account's work to one worker.
func (f *Fetcher) claim(account string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[account] {
		return false
	}
	delete(f.arrived, account)
	f.busy[account] = true
	return true
}

func (f *Fetcher) unclaim(account string) {
	f.mu.Lock()
	delete(f.busy, account)
	again := f.arrived[account]
	f.mu.Unlock()
	if again {
		f.Arrived(account)
	}
}

// opened is a notification to be fetched.
type opened struct {
	Key          []byte `db:"key"`
	Account      string `db:"account"`
	ResourceType string `db:"resource_type"`
	ResourceID   string `db:"resource_id"`
	Action       string `db:"action"`
	Path         string `db:"path"`
	AckToken     string `db:"ack_token"`
	Callback     string `db:"callback"`
	Attempts     int    `db:"attempts"`
	ReceivedAt   int64  `db:"received_at"`
}

// due reads an account's oldest open notifications.
func (f *Fetcher) due(ctx context.Context, account string) ([]opened, error) {
	var rows []opened
	err := f.DB.Select(ctx, &rows, `SELECT key, account, resource_type, resource_id, action, path, ack_token, callback, attempts, received_at
		FROM notifications WHERE account = ? AND state = 'open' AND due_at <= ? ORDER BY due_at LIMIT 32`, account, time.Now().UnixMilli())
	return rows, err
}

// drain fetches what an account has open, under a lease that keeps other replicas out, so that the limits
// hold for the account and not for each replica.
func (f *Fetcher) drain(ctx context.Context, account string) {
	t := f.join(account)
	defer t.leave(ctx)
	for ctx.Err() == nil && t.pausedFor() <= 0 {
		rows, err := f.due(ctx, account)
		if err != nil || len(rows) == 0 {
			return
		}
		if !t.held() {
			// Only now: most looks find nothing. What was due may have been another replica's until
			// this moment, so it is read again.
			if !t.hold(ctx) {
				return
			}
			continue
		}
		if !f.fetchAll(ctx, t, rows) {
			return
		}
	}
}

// fetchAll fetches the rows, a few at a time. It returns false when there is no use in going on.
func (f *Fetcher) fetchAll(ctx context.Context, t *turn, rows []opened) bool {
	var workers sync.WaitGroup
	defer workers.Wait()
	var useless atomic.Bool
	for _, row := range rows {
		finish, ok := t.begin(ctx)
		if !ok {
			return false
		}
		if useless.Load() {
			finish()
			return false
		}
		workers.Go(func() {
			defer finish()
			if !f.one(ctx, t, row) {
				useless.Store(true)
			}
		})
	}
	workers.Wait()
	return !useless.Load()
}

// one fetches a notification's resource and settles it. What has been asked of DoorFlow is brought to its
// end even if ctx ends meanwhile, unless that takes too long for a process that stops. It returns false
// when there is no use in fetching more at once: the account's connection needs a person, or what was
// fetched could not be stored.
func (f *Fetcher) one(ctx context.Context, t *turn, row opened) bool {
	stopping := ctx
	ctx = context.WithoutCancel(ctx)
	started := time.Now()
	asking, giveUp := context.WithTimeout(ctx, fetchTimeout)
	defer context.AfterFunc(stopping, func() { time.AfterFunc(stopGrace, giveUp) })()
	body, err := f.API.Fetch(asking, f.Client(row.Account), doorflow.Target{Path: row.Path, AckToken: row.AckToken, Callback: row.Callback})
	giveUp()
	f.metrics.seconds.Observe(time.Since(started).Seconds())
	if err != nil && f.Unusable(err) {
		f.metrics.outcomes.WithLabelValues("needs_reconnect").Inc()
		return false
	}
	settling, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	outcome, err := f.settle(settling, t, row, body, err)
	f.metrics.outcomes.WithLabelValues(outcome).Inc()
	if err != nil {
		f.Logger.Warn("a fetched notification was not settled; it is fetched again", "account", events.Token(row.Account),
			"resource", resourceName(row.ResourceType, row.ResourceID), "outcome", outcome, "error", err)
		return false
	}
	f.Logger.Debug("fetched", "account", events.Token(row.Account), "resource", resourceName(row.ResourceType, row.ResourceID), "outcome", outcome)
	return true
}

// settle stores what an answer means. It returns the bounded word for it.
func (f *Fetcher) settle(ctx context.Context, t *turn, row opened, body json.RawMessage, failure error) (string, error) {
	refused, answered := errors.AsType[*doorflow.Error](failure)
	switch {
	case failure == nil:
		return f.publish(ctx, row, body)
	case !answered && !errors.Is(failure, doorflow.ErrNotJSON):
		return "unreachable", f.again(ctx, row, failure, 0)
	case !answered:
		return "odd", f.odd(ctx, row, failure)
	case refused.Status == http.StatusNotFound || refused.Status == http.StatusGone:
		return "gone", f.gone(ctx, row)
	case refused.Status == http.StatusForbidden:
		return "forbidden", f.park(ctx, row, failure)
	case refused.Status == http.StatusTooManyRequests:
		return "rate_limited", f.later(ctx, row, stateOpen, refused, t.slowDown(refused.RetryAfter))
	case refused.Status == http.StatusUnauthorized || refused.Status == http.StatusRequestTimeout || refused.Status >= 500:
		return "failed", f.again(ctx, row, failure, refused.RetryAfter)
	default:
		return "odd", f.odd(ctx, row, failure)
	}
}
