package doordecksim

import (
	"net/http"
	"time"
)

// Fail answers the next n requests to a route with a status, without processing them.
func (f *Faults) Fail(route string, n, status int) {
	f.Inject(Fault{Route: route, N: n, Status: status})
}

// FailAfter processes the next n requests and answers with a status all the same, as a gateway in between
// that has lost patience.
func (f *Faults) FailAfter(route string, n, status int) {
	f.Inject(Fault{Route: route, N: n, Status: status, After: true})
}

// RateLimit answers the next n requests with 429. retryAfter is the header's value, "" for none.
func (f *Faults) RateLimit(route string, n int, retryAfter string) {
	fault := Fault{Route: route, N: n, Status: http.StatusTooManyRequests}
	if retryAfter != "" {
		fault.Header = http.Header{"Retry-After": {retryAfter}}
	}
	f.Inject(fault)
}

// CutBefore closes the connection of the next n requests without processing them.
func (f *Faults) CutBefore(route string, n int) { f.Inject(Fault{Route: route, N: n, Cut: true}) }

// CutAfter processes the next n requests and closes the connection instead of answering.
func (f *Faults) CutAfter(route string, n int) {
	f.Inject(Fault{Route: route, N: n, Cut: true, After: true})
}

// Slow delays the next n requests before they are processed.
func (f *Faults) Slow(route string, n int, d time.Duration) {
	f.Inject(Fault{Route: route, N: n, Delay: d})
}

// SlowAfter delays the next n answers, after the processing.
func (f *Faults) SlowAfter(route string, n int, d time.Duration) {
	f.Inject(Fault{Route: route, N: n, Delay: d, After: true})
}

// DemandCode answers the next n POST /auth/certificate with 423, although the key is known or the first.
func (f *Faults) DemandCode(n int) { f.set(func() { f.demand = times(n) }) }

// ChainLife lets the leaf of the next n chains live for d. One below zero ended that long ago.
func (f *Faults) ChainLife(n int, d time.Duration) {
	f.set(func() { f.chains, f.chainsLive = times(n), d })
}

// OmitRefreshToken leaves the refresh token out of the next n answers that would have one.
func (f *Faults) OmitRefreshToken(n int) { f.set(func() { f.omitRefresh = times(n) }) }

// ShareStatus answers the next n shares that were done with another status, such as the 200 of older documents.
func (f *Faults) ShareStatus(n, status int) {
	f.set(func() { f.share, f.shareAnswer = times(n), status })
}

// Errors chooses how error bodies look.
func (f *Faults) Errors(style ErrorStyle) { f.set(func() { f.errors = style }) }

// Decimals writes all times as 1473061669.000000000.
func (f *Faults) Decimals(on bool) { f.turn(decimals, on) }

// Novelties adds to locks a field and a capability that no client has heard of.
func (f *Faults) Novelties(on bool) { f.turn(novelties, on) }

// TelephoneEcho lets the directory repeat a number as telephone instead of phone.
func (f *Faults) TelephoneEcho(on bool) { f.turn(telephone, on) }

// ClockOffset sets the service's clock ahead, or for a negative d behind, until Reset. Advance is not undone.
func (f *Faults) ClockOffset(d time.Duration) { f.set(func() { f.clockOffset = d }) }

func (f *Faults) turn(what feature, on bool) {
	f.set(func() {
		if f.switches == nil {
			f.switches = map[feature]bool{}
		}
		f.switches[what] = on
	})
}

func (f *Faults) shows(what feature) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.switches[what]
}

func (f *Faults) telephoneEcho() bool { return f.shows(telephone) }

func (f *Faults) demandCode() bool { return f.takes(&f.demand) }

func (f *Faults) omitRefreshToken() bool { return f.takes(&f.omitRefresh) }

func (f *Faults) takes(t *times) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return t.take()
}

func (f *Faults) chainLife(usual time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.chains.take() {
		return f.chainsLive
	}
	return usual
}

func (f *Faults) shareStatus(usual int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.share.take() {
		return f.shareAnswer
	}
	return usual
}

func (f *Faults) clock() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clockOffset
}
