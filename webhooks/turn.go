package webhooks

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How hard the gateway leans on DoorFlow, for each account. DoorFlow publishes no limits; these are what
// a careful client keeps to, and perSecond can be configured.
const (
	perSecond = 5
	inFlight  = 4
)

// turn is this replica's time with an account, shared by those who work for it here: a lease that keeps
// other replicas out, so that the limits hold for the account and not for each replica, and the pace.
type turn struct {
	*Fetcher
	name    string
	limiter *rate.Limiter
	slots   chan struct{} // requests under way

	mu    sync.Mutex
	users int
	until time.Time // when the lease has to be renewed; zero while there is none
	pause time.Time // DoorFlow asked to be left alone until then
}

// join takes part in an account's turn. Who joins leaves.
func (f *Fetcher) join(account string) *turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.turns[account]
	if t == nil {
		t = &turn{
			Fetcher: f, name: "fetch/" + account,
			limiter: rate.NewLimiter(rate.Limit(f.PerSecond), inFlight), slots: make(chan struct{}, inFlight),
		}
		f.turns[account] = t
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users++
	return t
}

// hold takes or renews the lease. It lasts longer than what is in flight at its end can take.
func (t *turn) hold(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.until) {
		return true
	}
	ok, err := t.DB.Acquire(ctx, t.name, t.Log.Holder(), fetchLease)
	if err != nil || !ok {
		t.until = time.Time{}
		return false
	}
	t.until = time.Now().Add(fetchLease - fetchTimeout - settleTimeout - 15*time.Second)
	return true
}

// held tells whether the lease has been taken since somebody joined.
func (t *turn) held() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.until.IsZero()
}

// begin waits until one more request may be made, and then tells whether the turn is still ours and
// DoorFlow willing. What it returns is to be called when the request has ended.
func (t *turn) begin(ctx context.Context) (finish func(), ok bool) {
	if t.limiter.Wait(ctx) != nil {
		return nil, false
	}
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	finish = func() { <-t.slots }
	if t.pausedFor() > 0 || !t.hold(ctx) {
		finish()
		return nil, false
	}
	return finish, true
}

// pausedFor is how long DoorFlow wants to be left alone by the account.
func (t *turn) pausedFor() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Until(t.pause)
}

// slowDown leaves DoorFlow alone for as long as it asks, and returns that.
func (t *turn) slowDown(asked time.Duration) time.Duration {
	wait := min(max(asked, time.Second), longestWait)
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(wait); until.After(t.pause) {
		t.pause = until
	}
	return wait
}

// leave gives the lease up with the last who leaves, even when the process is stopping. But for as long as
// DoorFlow asked to be left alone, and until this replica could send a full burst again, no other may begin
// with one.
func (t *turn) leave(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users--; t.users > 0 || t.until.IsZero() {
		return
	}
	t.until = time.Time{}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	missing := inFlight - t.limiter.Tokens()
	rest := max(time.Until(t.pause), time.Duration(missing/float64(t.limiter.Limit())*float64(time.Second)))
	if rest <= 0 {
		_ = t.DB.Release(ctx, t.name, t.Log.Holder())
		return
	}
	_, _ = t.DB.Acquire(ctx, t.name, t.Log.Holder(), rest)
}

// backoff is how long to wait before attempt n+1: doubling from two seconds to ten minutes, with jitter.
func backoff(attempts int) time.Duration {
	d := min(firstRetry<<min(attempts, 10), lastRetry)
	return d/2 + rand.N(d/2+1)
}
