package webhooks

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/egress"
	"gatehouse/internal/sqldb"
)

const (
	// deliveryLease is how long a delivery belongs to who has claimed it: an attempt, which takes 15 seconds at most,
	// and the commit of how it ended.
	deliveryLease = 45 * time.Second
	// leaseReserve is what must be left of it when an attempt begins: an attempt takes 15 seconds at most.
	leaseReserve = 20 * time.Second
	// loadTimeout bounds reading a message back, and putBackPause is how long one that could not be sent waits.
	loadTimeout, putBackPause = 5 * time.Second, 5 * time.Second
	// dueEvery is how often the database is asked what has become due, and who has died.
	dueEvery = time.Second
	// calmEvery is how often it is asked whether there are endpoints now, while there are none.
	calmEvery = 250 * time.Millisecond
	// tallyEvery is how often attempts that were counted are stored, and tallyTimeout how long that may hold up a stop.
	tallyEvery, tallyTimeout = 10 * time.Second, 5 * time.Second
)

// DeliveriesConfig is what Deliveries need.
type DeliveriesConfig struct {
	DB        *sqldb.DB
	Log       *events.Log
	Endpoints *Endpoints
	// Post sends one request. It bounds everything: the time, the addresses, what is read of the answer.
	Post       func(ctx context.Context, url string, header http.Header, body []byte) (egress.Answer, error)
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Now        func() time.Time // nil means the database's clock
}

// Deliveries bring messages to endpoints. The log is made into rows, one for each message and endpoint, by a cursor for
// each writer that is moved in the same commit; rows are claimed, which counts the attempt and gives it to one process
// for a while; they are sent, and how that ended is stored. Freshly committed messages skip the waiting: their rows are
// claimed in the commit that makes them.
type Deliveries struct {
	DeliveriesConfig
	metrics *deliveryMetrics
	lanes   *lanes
	feed    *events.Feed
	insert  *sqldb.Inserter
	replay  *sqldb.Inserter // of what may be there already
	ended   *sqldb.Inserter // of attempts
	finish  *events.Bulk[result]
	tally   *tally
	// ahead is how far the database's clock is ahead of ours, by which due times are judged on all replicas.
	ahead atomic.Int64
	// lastPlace is the last order number given out.
	lastPlace atomic.Int64

	// sending ends the attempts that stopping has not waited for.
	sending  context.Context
	attempts sync.WaitGroup
}

// NewDeliveries makes them. They take the log's feed, so they must be made before the log runs.
func NewDeliveries(ctx context.Context, c DeliveriesConfig) (*Deliveries, error) {
	d := &Deliveries{DeliveriesConfig: c, lanes: newLanes(), feed: c.Log.Feed(), tally: newTally(), metrics: newDeliveryMetrics(c.Registerer)}
	if d.Now == nil {
		d.Now = func() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }
	}
	d.finish = events.NewBulk(c.Log, d.writeResults, result.size)
	var err error
	if d.insert, err = c.DB.NewInserter(ctx, "deliveries", deliveryColumns, "ON CONFLICT (message_id, endpoint_id) DO NOTHING"); err != nil {
		return nil, err
	}
	if d.replay, err = c.DB.NewInserter(ctx, "deliveries", deliveryColumns, sendAgain); err != nil {
		return nil, err
	}
	d.ended, err = c.DB.NewInserter(ctx, "delivery_attempts", attemptColumns, "ON CONFLICT (message_id, endpoint_id, n) DO NOTHING")
	return d, err
}

// Run fans out and delivers until ctx ends; then it waits a moment for what is under way. What it does not wait for is
// put back, to be sent by the next process.
func (d *Deliveries) Run(ctx context.Context) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	d.sending = sending
	if err := d.recall(ctx); err != nil && ctx.Err() == nil {
		d.Logger.Warn("deliveries that were under way when the last process ended wait until their leases run out", "error", err)
	}
	var loops sync.WaitGroup
	loops.Go(func() { d.fanOut(ctx) })
	loops.Go(func() { d.claimAll(ctx) })
	loops.Go(func() { d.watch(ctx) })
	loops.Wait()
	ended := make(chan struct{})
	go func() { d.attempts.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopGrace):
		cancel()
		<-ended
	}
	d.saveTally(ctx)
	return nil
}

// recall takes back what the last process was sending, which only a process alone on its directory can know to have died.
// What is said from now on has its place behind what waits, also when a clock has been set back.
func (d *Deliveries) recall(ctx context.Context) error {
	var last int64
	if err := d.DB.Get(ctx, &last, `SELECT COALESCE(MAX(place), 0) FROM deliveries WHERE state = 'waiting'`); err != nil {
		return err
	}
	d.lastPlace.Store(last)
	if d.DB.Postgres() {
		return d.readClock(ctx)
	}
	return d.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE deliveries SET holder = '', due_at = ? WHERE state = 'waiting' AND holder <> ''`, d.Now().UnixMilli())
		return err
	})
}

// watch notices what becomes due, also of what other processes have left, and keeps the figures.
func (d *Deliveries) watch(ctx context.Context) {
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for looks := 0; ; looks++ {
		err := d.look(ctx)
		if err == nil && looks%15 == 0 {
			err = d.measure(ctx)
		}
		if err != nil && ctx.Err() == nil {
			d.Logger.Debug("deliveries could not read what is due", "error", err)
		}
		if looks%int(tallyEvery/dueEvery) == 0 {
			d.saveTally(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look stirs the lanes of which something is due.
func (d *Deliveries) look(ctx context.Context) error {
	set, err := d.Endpoints.Current(ctx)
	if err != nil {
		return err
	}
	d.lanes.forget(set)
	if len(set.Enabled()) == 0 {
		return nil
	}
	if err := d.readClock(ctx); err != nil {
		return err
	}
	due, err := d.dueEndpoints(ctx)
	if err != nil {
		return err
	}
	for _, id := range due {
		d.lanes.stir(id)
	}
	return nil
}

// readClock learns how far the database's clock is ahead. On SQLite it is the same.
func (d *Deliveries) readClock(ctx context.Context) error {
	if !d.DB.Postgres() {
		return nil
	}
	var millis int64
	before := time.Now()
	if err := d.DB.Get(ctx, &millis, `SELECT `+d.DB.Millis()); err != nil {
		return err
	}
	middle := before.Add(time.Since(before) / 2)
	d.ahead.Store(int64(time.UnixMilli(millis).Sub(middle)))
	return nil
}

// claimAll claims what is due wherever there is room, and sends it.
func (d *Deliveries) claimAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.lanes.freed:
		}
		if err := d.claimOnce(ctx); err != nil && ctx.Err() == nil {
			d.Logger.Debug("deliveries could not be claimed; trying again", "error", err)
			d.rest(ctx)
		}
	}
}

func (d *Deliveries) claimOnce(ctx context.Context) error {
	set, err := d.Endpoints.Current(ctx)
	if err != nil {
		return err
	}
	wishes := d.lanes.wishes(set.Enabled())
	if len(wishes) == 0 {
		return nil
	}
	jobs, err := d.claim(ctx, wishes)
	got := map[string]int{}
	for _, j := range jobs {
		got[j.endpoint.ID]++
	}
	for _, w := range wishes {
		if err != nil {
			d.lanes.granted(w, 0)
			d.lanes.stir(w.endpoint.ID)
			continue
		}
		d.lanes.granted(w, got[w.endpoint.ID])
	}
	if err != nil {
		return err
	}
	d.send(jobs)
	return nil
}

// rest is a moment's pause after something failed.
func (d *Deliveries) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(250 * time.Millisecond):
	}
}

// place returns the next order number: the time, but never the same twice.
func (d *Deliveries) place() int64 {
	now := d.Now().UnixMicro()
	for {
		last := d.lastPlace.Load()
		next := max(now, last+1)
		if d.lastPlace.CompareAndSwap(last, next) {
			return next
		}
	}
}
