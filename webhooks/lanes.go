package webhooks

import (
	"sync"
	"time"
)

const (
	// troubledSlots is how many deliveries may be under way at once to an endpoint whose last attempt failed: enough to
	// notice that it is back, few enough that one that hangs takes up nothing that others need.
	troubledSlots = 2
	// maxInFlight bounds what one process sends at once to all endpoints together.
	maxInFlight = 4096
)

// lanes count what this process is sending to each endpoint, and know for which of them more waits in the database.
type lanes struct {
	// freed is ready when a lane with more to send has got room, or one with room more to send.
	freed chan struct{}

	mu       sync.Mutex
	lanes    map[string]*lane
	inFlight int
}

type lane struct {
	inFlight int
	troubled bool
	// more tells that deliveries may be due in the database; stirs counts how often that was said.
	more  bool
	stirs int64
	// noted is when a success was last noted for the endpoint's health.
	noted time.Time
}

func newLanes() *lanes { return &lanes{freed: make(chan struct{}, 1), lanes: map[string]*lane{}} }

func (l *lanes) get(id string) *lane {
	if l.lanes[id] == nil {
		l.lanes[id] = &lane{}
	}
	return l.lanes[id]
}

// room is how many more deliveries the endpoint may get now. One it may always get, whatever the others take up.
func (l *lanes) room(e *Endpoint) int {
	lane := l.get(e.ID)
	slots := e.Concurrency
	if lane.troubled {
		slots = min(slots, troubledSlots)
	}
	if e.Ordered {
		slots = 1
	}
	left := maxInFlight - l.inFlight
	if lane.inFlight == 0 {
		left = max(left, 1)
	}
	return max(0, min(slots-lane.inFlight, left))
}

// take takes a slot for a delivery that is only just being made, if it need not wait behind others. Those of ordered
// endpoints take their turn in the database.
func (l *lanes) take(e *Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Ordered || l.get(e.ID).more || l.room(e) == 0 {
		return false
	}
	l.get(e.ID).inFlight++
	l.inFlight++
	return true
}

// wish is how many deliveries of an endpoint are to be claimed.
type wish struct {
	endpoint *Endpoint
	slots    int
	stirs    int64
}

// wishes takes all slots that are free where more waits.
func (l *lanes) wishes(endpoints []*Endpoint) []wish {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []wish
	for _, e := range endpoints {
		lane := l.lanes[e.ID]
		if lane == nil || !lane.more {
			continue
		}
		if n := l.room(e); n > 0 {
			lane.inFlight += n
			l.inFlight += n
			all = append(all, wish{e, n, lane.stirs})
		}
	}
	return all
}

// granted returns the slots that a wish did not get deliveries for. With one over, nothing more is due, unless
// something came meanwhile.
func (l *lanes) granted(w wish, got int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.get(w.endpoint.ID)
	lane.inFlight -= w.slots - got
	l.inFlight -= w.slots - got
	if got < w.slots && lane.stirs == w.stirs {
		lane.more = false
	}
	if got < w.slots && lane.more {
		signal(l.freed)
	}
}

// stir says that deliveries to an endpoint are due.
func (l *lanes) stir(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.get(id)
	lane.more = true
	lane.stirs++
	signal(l.freed)
}

// free gives a slot back.
func (l *lanes) free(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.get(id)
	lane.inFlight--
	l.inFlight--
	if lane.more {
		signal(l.freed)
	}
}

// judge takes note of how an attempt went, and tells whether the endpoint's health in the database needs to know: of
// every failure and what ends it, of every success after an attempt that another process may have seen fail, and now and
// then of any.
func (l *lanes) judge(id string, well, again bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.get(id)
	worth := !well || again || lane.troubled || time.Since(lane.noted) >= noteSuccessEvery
	if well && worth {
		lane.noted = time.Now()
	}
	lane.troubled = !well
	return worth
}

// forget drops the lanes of endpoints that are gone.
func (l *lanes) forget(known EndpointSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, lane := range l.lanes {
		if lane.inFlight == 0 && known.Get(id) == nil {
			delete(l.lanes, id)
		}
	}
}
