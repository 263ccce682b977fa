package doorflowsim

import (
	"net/http"
	"sync"
	"time"
)

// Faults are the switches that make the simulated cloud misbehave. Those with a number apply to the next n
// requests; a negative n applies to all until Reset. Their methods may be called from any goroutine.
type Faults struct {
	released func() // sends what Batch and Reorder hold back

	mu        sync.Mutex
	token     canned
	dropReply times
	api       canned
	apiPaths  string // what the paths of those requests begin with
	slowToken time.Duration
	slowAPI   time.Duration
	page      HeaderSet
	integerID bool
	stall     times
	noCodes   times
	busyPages times
	busyAge   time.Duration
	pageLimit int

	dup, stale, wrongKey, upperHex, dropHeader        times
	escape, single, foreignHost, unknownType, destroy times
	staleAge                                          time.Duration
	headerName, foreignHostName, unknownTypeName      string
	batch, reorder                                    int
}

// times counts down to zero; negative means always.
type times int

func (t *times) take() bool {
	if *t > 0 {
		*t--
		return true
	}
	return *t < 0
}

// canned is an answer given instead of the real one.
type canned struct {
	n      times
	status int
	header http.Header
	body   string
}

func (c canned) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	for name, values := range c.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(c.status)
	w.Write([]byte(c.body)) //nolint:errcheck // the client has gone
}

// set runs a change under the lock.
func (f *Faults) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// Reset switches all faults off and sends what Batch and Reorder hold back.
func (f *Faults) Reset() {
	f.set(func() {
		f.token, f.api, f.dropReply, f.stall = canned{}, canned{}, 0, 0
		f.noCodes, f.busyPages, f.pageLimit, f.apiPaths = 0, 0, 0, ""
		f.slowToken, f.slowAPI, f.page, f.integerID = 0, 0, HeadersBoth, false
		f.dup, f.stale, f.wrongKey, f.upperHex, f.dropHeader = 0, 0, 0, 0, 0
		f.escape, f.single, f.foreignHost, f.unknownType, f.destroy = 0, 0, 0, 0, 0
		f.batch, f.reorder = 0, 0
	})
	f.released()
}
