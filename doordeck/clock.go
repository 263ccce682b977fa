package doordeck

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// clockAge is how long a comparison with Doordeck's clock is trusted; its SDKs ask as often.
	clockAge = 15 * time.Minute
	// clockJump is by how much the wall clock may differ from the monotonic one meanwhile.
	clockJump = time.Second
	// clockTrip is the longest round trip that still tells the time.
	clockTrip = 10 * time.Second
)

// Time asks Doordeck what time it is, to the millisecond. It needs no token.
func (c *Client) Time(ctx context.Context) (time.Time, error) {
	var answer struct {
		Now json.Number `json:"now"`
	}
	if err := c.ask(ctx, request{method: http.MethodGet, path: "/time", accept: version1}, &answer); err != nil {
		return time.Time{}, err
	}
	millis, err := answer.Now.Float64()
	if err != nil || millis < 1e12 || millis >= endOfTime*1000 { // before 2001 it is not in milliseconds
		return time.Time{}, misread(http.StatusOK, "the answer is not a time")
	}
	return time.UnixMilli(int64(millis)).UTC(), nil
}

// Clock tells Doordeck's time, by which Doordeck judges what is signed. Until it has been set it tells the
// local time. It may be behind by as long as the answer was on its way, and is never ahead: Doordeck refuses what begins in
// its future, and does not say by how much that may be. Nothing runs in the background: call Check before signing.
type Clock struct {
	ask   func(context.Context) (time.Time, error)
	local func() time.Time
	turn  chan struct{} // held by who asks

	mu         sync.Mutex
	server, at time.Time // it was server there when it was at here
}

// NewClock makes a clock that is set by asking, usually Client.Time; nil leaves it with the local time for
// ever. A nil local means time.Now.
func NewClock(ask func(context.Context) (time.Time, error), local func() time.Time) *Clock {
	if local == nil {
		local = time.Now
	}
	return &Clock{ask: ask, local: local, turn: make(chan struct{}, 1)}
}

// Now is Doordeck's time. Between two settings it follows the monotonic clock: setting the machine's clock
// does not move it.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.local()
	if c.at.IsZero() {
		return now
	}
	return c.server.Add(now.Sub(c.at))
}

// Offset is by how much Doordeck's clock is before the local one.
func (c *Clock) Offset() time.Duration { return c.Now().Sub(c.local().Round(0)) }

// Check sets the clock if that was never done or was done too long ago. After an error the clock goes on as
// it was, which is usually good enough to try.
func (c *Clock) Check(ctx context.Context) error {
	if c.fresh() {
		return nil
	}
	return c.set(ctx, true)
}

// Set sets the clock now: when Doordeck has refused a signature for its time, for instance.
func (c *Clock) Set(ctx context.Context) error { return c.set(ctx, false) }

func (c *Clock) set(ctx context.Context, unlessFresh bool) error {
	if c.ask == nil {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	if unlessFresh && c.fresh() { // somebody else set it meanwhile
		return nil
	}
	start := c.local()
	server, err := c.ask(ctx)
	if err != nil {
		return err
	}
	trip := c.local().Sub(start)
	if trip < 0 || trip > clockTrip {
		return errors.New("doordeck: the answer took too long to set the clock by")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server, c.at = server, start.Add(trip) // the latest that it can have been
	return nil
}

func (c *Clock) fresh() bool {
	if c.ask == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.local()
	return !c.at.IsZero() && recent(now.Sub(c.at), now.Round(0).Sub(c.at.Round(0)))
}

// recent judges what has passed since the clock was set, on the monotonic clock and on the wall's. They
// differ when the machine was suspended, where only the wall's went on, or when its clock was set.
func recent(age, wall time.Duration) bool {
	return age >= 0 && age < clockAge && (wall-age).Abs() < clockJump
}
