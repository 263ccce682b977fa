package sharing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// pollEvery is how often it is looked for what is due and was not stored here.
	pollEvery = 500 * time.Millisecond
	// laneLease is how long the lane of a worker that died is left alone.
	laneLease = 15 * time.Second
	// maxLanes is how many lanes are worked on at one time, and maxOfIdentity how many of them may be one identity's: its
	// doors, when many of them hang, take nobody else's time.
	maxLanes, maxOfIdentity = 128, 64
	// stopFor is how long what was sent may still be answered when the gateway stops.
	stopFor = 6 * time.Second
	// maxAside is how many operations of a lane may be tried again and again without holding up the others; as many more may be
	// without holding up revokes.
	maxAside = 8
	// troubled is how long a lane is left alone when the database failed.
	troubled = 2 * time.Second
)

// Run runs operations until ctx ends. What has been sent by then is waited for, for a few seconds; what is not
// settled then is taken up by the next that runs, like after a crash.
func (o *Operations) Run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var workers sync.WaitGroup
	tick, compare := time.NewTicker(pollEvery), time.NewTicker(compareEvery)
	defer tick.Stop()
	defer compare.Stop()
	o.compareClocks(ctx)
	for last := int64(0); ctx.Err() == nil; {
		now := o.now().UnixMilli()
		var err error
		if last == 0 || now < last-clocksDiffer.Milliseconds() { // the clock may have been set back, also while nobody ran
			err = o.store.allDue(ctx)
		}
		if last = now; err == nil {
			err = o.dispatch(ctx, working, &workers)
		}
		if err != nil && ctx.Err() == nil {
			o.log.Warn("operations wait; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-o.poke:
		case <-tick.C:
		case <-compare.C:
			o.compareClocks(ctx)
		}
	}
	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopFor):
		stop()
		<-ended
	}
	return nil
}

// dispatch starts a worker for each lane that is due and that nobody here works on.
func (o *Operations) dispatch(ctx, working context.Context, workers *sync.WaitGroup) error {
	lanes, err := o.store.due(ctx, 4*maxLanes)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range lanes {
		if o.busy[l] || !o.workers.take(l.identity) {
			continue
		}
		o.busy[l] = true
		workers.Go(func() {
			worked := o.work(ctx, working, l)
			o.mu.Lock()
			delete(o.busy, l)
			o.mu.Unlock()
			o.workers.free(l.identity)
			if worked {
				o.wake() // for what came meanwhile
			}
		})
	}
	return nil
}

// work does what is due in a lane, if no other replica is at it.
func (o *Operations) work(stopping, ctx context.Context, l lane) (worked bool) {
	lease := o.db.NewLease("operations/"+l.identity+"/"+l.lock, laneLease)
	held, err := lease.Acquire(ctx)
	if err == nil && !held {
		return false
	}
	if err == nil {
		end := lease.Renew(ctx)
		err = o.pass(stopping, ctx, l)
		end()
		lease.Release(ctx)
	}
	if err == nil || errors.Is(err, errTaken) || ctx.Err() != nil {
		return err == nil
	}
	o.log.Warn("an operation waits; trying again", "identity", l.identity, "lock", l.lock, "error", err)
	select {
	case <-time.After(troubled):
	case <-stopping.Done():
	}
	return false
}

// pass runs a lane's operations in their order as far as they go now, and looks after those that were sent.
func (o *Operations) pass(stopping, ctx context.Context, l lane) error {
	revoked := map[string][]*part{}
	aside, behind := 0, int64(0) // what has stepped aside, and the last of it
	var held *operation          // for which there was no room to: behind it only revokes go on
	for stopping.Err() == nil {
		if err := o.expire(ctx, l); err != nil {
			return err
		}
		op, err := o.store.head(ctx, l, behind, held != nil)
		if err != nil {
			return fmt.Errorf("opening an operation: %w", err)
		}
		if op == nil {
			if held != nil {
				err = o.store.park(ctx, held)
			}
			if err != nil {
				return err
			}
			break
		}
		r := &run{Operations: o, op: op, stopping: stopping, revoked: revoked}
		parked := behind > 0 && op.Attempts == 0
		if now := o.now(); op.DueAt > now.UnixMilli() && !parked {
			if err := r.hold(ctx); err != nil {
				return err
			}
			switch {
			case op.Stage != stageSend:
			case aside < 2*maxAside && op.stepsAside(now):
				if aside, behind = aside+1, op.Seq; aside > maxAside && held == nil {
					held = op
				}
			default:
				if err := o.store.park(ctx, cmp.Or(held, op)); err != nil {
					return err
				}
				return o.follow(ctx, l)
			}
			continue
		}
		if err := r.attempt(ctx); err != nil {
			return err
		}
		if len(r.alive) > 0 { // what was sent before may have been overtaken
			if err := o.store.nudge(ctx, l); err != nil {
				return err
			}
		}
	}
	if stopping.Err() != nil {
		return nil
	}
	return o.follow(ctx, l)
}

// stepsAside tells whether those behind an operation go on without it: one that may wait for its door, or was undone there, and
// has been tried for a minute would hold up revokes for as long as it may wait. Whom something later was sent for in the
// meantime it lets go.
func (o *operation) stepsAside(now time.Time) bool {
	return (o.Waits || o.FollowedAt != 0) && o.Attempts > 0 && now.Sub(when(o.ReceivedAt)) >= usualAge
}

// expire ends what waited for its turn too long.
func (o *Operations) expire(ctx context.Context, l lane) error {
	old, err := o.store.overdue(ctx, l)
	if err != nil {
		return err
	}
	for _, op := range old {
		r := &run{Operations: o, op: op}
		r.age()
		if err := o.store.save(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// hold lets a share that has to wait give up those whom a revoke behind it wants gone.
func (r *run) hold(ctx context.Context) error {
	session, err := r.actors.Session(ctx, r.op.Identity)
	if err != nil {
		return nil // the revoke cannot be sent either
	}
	r.session = session
	before := r.op.statuses()
	if err := r.yield(ctx); err != nil {
		return err
	}
	after := r.op.statuses()
	for i := range before {
		if before[i] != after[i] {
			return r.store.save(ctx, r.op)
		}
	}
	return nil
}
