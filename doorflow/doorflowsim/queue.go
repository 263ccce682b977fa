package doorflowsim

import (
	"container/heap"
	"context"
	"slices"
	"time"
)

// maxWaiting bounds the deliveries waiting; what comes on top of them is dropped.
const maxWaiting = 100_000

// delivery is one webhook request and its retries.
type delivery struct {
	items     []*item
	attempts  int
	due       time.Time
	seq       int
	body      []byte // made for the first attempt and the same ever after
	timestamp string // of the first attempt
	// then waits until this one's first attempt has ended; how a fault puts requests out of order.
	then *delivery
}

// queue holds what has not been delivered. Everything in it is guarded by Sim.mu.
type queue struct {
	waiting    deliveries
	inFlight   int
	chained    int // deliveries waiting behind another one's first attempt
	seq        int
	gathering  []*item     // by the batch fault
	reordering []*delivery // by the reorder fault
	ledger     []*item
	byAck      map[string]*item
	changed    chan struct{} // closed and replaced whenever something above has changed
}

func newQueue() queue {
	return queue{byAck: map[string]*item{}, changed: make(chan struct{})}
}

// announce queues one webhook request for the items that some live grant covers.
func (s *Sim) announce(items []*item) {
	items = slices.DeleteFunc(items, func(i *item) bool { return !s.mayTell(i) })
	if len(items) == 0 {
		return
	}
	q := &s.queue
	for _, i := range items {
		q.enter(i)
	}
	if size := s.faults.batchSize(); size > 0 {
		q.gathering = append(q.gathering, items...)
		if len(q.gathering) < size {
			return
		}
		items, q.gathering = q.gathering, nil
		s.faults.batchDone()
	}
	s.submit(items)
}

// submit makes the delivery, two of them under the duplicate fault.
func (s *Sim) submit(items []*item) {
	q := &s.queue
	copies := 1
	if s.faults.duplicate() {
		copies = 2
	}
	for range copies {
		d := &delivery{items: slices.Clone(items)}
		size := s.faults.reorderSize()
		if size == 0 {
			s.push(d, s.now())
			continue
		}
		if q.reordering = append(q.reordering, d); len(q.reordering) >= size {
			s.faults.reorderDone()
			s.pushReversed()
		}
	}
	s.poke()
}

// pushReversed sends the held deliveries last first, each after the one before has been tried.
func (s *Sim) pushReversed() {
	held := s.queue.reordering
	s.queue.reordering = nil
	if len(held) == 0 {
		return
	}
	for i, d := range held[1:] {
		d.then = held[i]
	}
	s.queue.chained += len(held) - 1
	s.push(held[len(held)-1], s.now())
}

// releaseHeld sends what batch and reorder faults hold back. Faults calls it when they are reset.
func (s *Sim) releaseHeld() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if items := s.queue.gathering; len(items) > 0 {
		s.queue.gathering = nil
		s.submit(items)
	}
	s.pushReversed()
	s.poke()
}

func (s *Sim) push(d *delivery, due time.Time) {
	q := &s.queue
	if len(q.waiting) >= maxWaiting {
		s.o.Log.Warn("webhook queue is full")
		s.drop(d.items)
		return
	}
	q.seq++
	d.due, d.seq = due, q.seq
	heap.Push(&q.waiting, d)
}

func (s *Sim) drop(items []*item) {
	for _, i := range items {
		i.dropped = true
	}
	s.queue.broadcast()
}

// purge drops the deliveries that nobody may hear of any more. Revocation stops retries too.
func (s *Sim) purge() {
	s.queue.waiting = slices.DeleteFunc(s.queue.waiting, func(d *delivery) bool {
		if slices.ContainsFunc(d.items, s.mayTell) {
			return false
		}
		s.drop(d.items)
		return d.then == nil // one with others behind it stays, to let them go when its turn comes
	})
	heap.Init(&s.queue.waiting)
}

// mayTell says whether an item may be sent: somebody listens and a live grant covers it.
func (s *Sim) mayTell(i *item) bool {
	return s.webhookURL != "" && s.grants.covers(i.account, i.scope())
}

func (q *queue) broadcast() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Flush waits until nothing is waiting to be delivered or in flight. A retry whose time has not come counts
// as waiting: Advance first. What a batch or reorder fault holds back counts too.
func (s *Sim) Flush(ctx context.Context) error {
	return s.wait(ctx, func() bool {
		q := &s.queue
		return len(q.waiting)+q.inFlight+q.chained+len(q.gathering)+len(q.reordering) == 0
	})
}

// Settle waits until every delivery whose time has come was tried; retries may be left for later.
func (s *Sim) Settle(ctx context.Context) error {
	return s.wait(ctx, func() bool {
		q := &s.queue
		return q.inFlight+q.chained == 0 && (len(q.waiting) == 0 || q.waiting[0].due.After(s.now()))
	})
}

// wait runs the condition, with the lock held, whenever the queue or the ledger has changed.
func (s *Sim) wait(ctx context.Context, satisfied func() bool) error {
	for {
		s.mu.Lock()
		yes, changed := satisfied(), s.queue.changed
		s.mu.Unlock()
		if yes {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deliveries is a heap by due time, then by age.
type deliveries []*delivery

func (d deliveries) Len() int { return len(d) }

func (d deliveries) Less(i, j int) bool {
	if byTime := d[i].due.Compare(d[j].due); byTime != 0 {
		return byTime < 0
	}
	return d[i].seq < d[j].seq
}

func (d deliveries) Swap(i, j int) { d[i], d[j] = d[j], d[i] }

// Push and Pop are for container/heap only.
func (d *deliveries) Push(x any) { *d = append(*d, x.(*delivery)) }

func (d *deliveries) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return x
}
