package doordecksim

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxFaults bounds the faults that are set at one time.
const maxFaults = 1_000

// Faults are the switches that make the simulated cloud misbehave. Those with a number apply to the next n
// requests or answers; a negative n applies to all until Reset. Their methods may be called from any goroutine.
type Faults struct {
	changed func() // the clock may have been

	mu          sync.Mutex
	rules       []Fault
	demand      times
	chains      times
	chainsLive  time.Duration
	omitRefresh times
	share       times
	shareAnswer int
	errors      ErrorStyle
	switches    map[feature]bool
	clockOffset time.Duration
}

// Fault makes requests to one route go wrong. All that match delay a request; the first of them with Cut or
// Status decides about the answer.
type Fault struct {
	Route  string        // its name, such as RouteExecute; "" for all
	N      int           // for the next n requests; negative: until Reset
	After  bool          // the request is processed first, and nobody hears how
	Delay  time.Duration // before, or with After behind, the processing
	Cut    bool          // closes the connection instead of answering
	Status int           // answers with this
	Header http.Header
	Body   string // "" for the usual error object; JSON unless Header says otherwise
}

// ErrorStyle is how error bodies look.
type ErrorStyle int

// Clients have met all of these.
const (
	ErrorsAsObject ErrorStyle = iota // {"code":404,"message":"…"}
	ErrorsSubCode                    // {"code":404.12,"message":null}
	ErrorsAsText                     // a line of plain text
	ErrorsEmpty                      // nothing
)

// feature is something about answers that can be switched on.
type feature int

const (
	decimals feature = iota
	novelties
	telephone
)

// times counts down to zero; negative means always.
type times int

func (t *times) take() bool {
	if *t > 0 {
		*t--
		return true
	}
	return *t < 0
}

// set runs a change under the lock.
func (f *Faults) set(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	f.changed()
}

// Reset switches all faults off and the clock back.
func (f *Faults) Reset() {
	f.set(func() {
		f.rules, f.demand, f.chains, f.omitRefresh, f.share = nil, 0, 0, 0, 0
		f.errors, f.switches, f.clockOffset = ErrorsAsObject, nil, 0
	})
}

// Inject sets a fault; those beyond a thousand are ignored. It panics for a route that there is not and a status that is none, since a test would
// wait for it in vain.
func (f *Faults) Inject(fault Fault) {
	if problem := fault.check(); problem != "" {
		panic("doordecksim: " + problem)
	}
	f.set(func() {
		f.rules = slices.DeleteFunc(f.rules, func(rule Fault) bool { return rule.N == 0 })
		if len(f.rules) < maxFaults {
			f.rules = append(f.rules, fault)
		}
	})
}

func (f Fault) check() string {
	known := slices.ContainsFunc(Routes(), func(r Route) bool { return r.Name() == f.Route })
	switch {
	case f.Route != "" && !known:
		return fmt.Sprintf("there is no route %q", f.Route)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return "a status has to be 200 to 599"
	case f.Status == 0 && !f.Cut && f.Delay <= 0:
		return "a fault needs a delay, a cut or a status"
	}
	return ""
}

// verdict is what the faults have in mind for one request.
type verdict struct {
	before, after time.Duration
	early, late   *Fault // answers before and after the processing
}

func (f *Faults) plan(route string) verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	var v verdict
	for i := range f.rules {
		rule := &f.rules[i]
		answers := rule.Cut || rule.Status != 0
		if (rule.Route != "" && rule.Route != route) || (answers && (v.early != nil || v.late != nil)) {
			continue
		}
		left := times(rule.N)
		if !left.take() {
			continue
		}
		rule.N = int(left)
		if rule.After {
			v.after += rule.Delay
		} else {
			v.before += rule.Delay
		}
		switch {
		case answers && rule.After:
			v.late = new(*rule)
		case answers:
			v.early = new(*rule)
		}
	}
	return v
}

// dress gives an error body the style that is set.
func (f *Faults) dress(answer reply) reply {
	body, isError := answer.body.(apiError)
	if !isError {
		return answer
	}
	f.mu.Lock()
	style := f.errors
	f.mu.Unlock()
	switch style {
	case ErrorsSubCode:
		answer.body = apiError{Code: body.Code + ".12"}
	case ErrorsAsText:
		answer.body = fmt.Sprintf("HTTP %s %s", body.Code, http.StatusText(answer.status))
	case ErrorsEmpty:
		answer.body = nil
	case ErrorsAsObject:
	}
	return answer
}
