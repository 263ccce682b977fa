package sharing

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/doordeck"
)

const (
	// nowLife is how long something lives that is done now or not at all. Doordeck has a minute for it; the less it
	// is, the sooner is sure what became of something that got lost on the way.
	nowLife = 30 * time.Second
	// leastWait is the shortest time for which something is queued; Doordeck does at once what lives for a minute.
	leastWait = doordeck.MaxNow + 5*time.Second
	// clocksDiffer is how much longer than it lives something may reach the door, by our clock, and how much later than
	// it has the door's list of users may show it.
	clocksDiffer = 5 * time.Second
	// outlive is how much longer than what it undoes a revoke waits at the door.
	outlive = time.Minute
	// lastMinute of a chain of certificates is left out: nothing that waits for a door lives until its very end.
	lastMinute = time.Minute
)

// unit is what is signed and sent as one.
type unit struct {
	people []*part
	// life is how long it lives.
	life    time.Duration
	signed  doordeck.Signed
	before  []int64 // what was alive of each of them before
	outcome doordeck.Outcome
	err     error
}

// waves sends what is to be sent, a few units at one time, until everybody has had their turn.
func (r *run) waves(ctx context.Context, lock doordeck.Lock) error {
	for r.stopping.Err() == nil && !r.enough && r.act(ctx) {
		if err := r.yield(ctx); err != nil {
			return err
		}
		r.age()
		units := r.sign(r.plan(lock))
		if len(units) == 0 {
			if r.reason == "" && slices.ContainsFunc(r.op.with(Accepted), r.waiting) {
				continue // a batch came apart
			}
			return nil
		}
		if err := r.wave(ctx, units); err != nil {
			return err
		}
	}
	return nil
}

// waiting tells whether somebody has not had their turn.
func (r *run) waiting(p *part) bool { return !r.tried[p] && p.twin == nil }

// plan chooses what is sent next, and how.
func (r *run) plan(lock doordeck.Lock) []*unit {
	now := r.now()
	size := doordeck.MaxPeople
	if r.op.Type == Share && !lock.Supports(doordeck.BatchSharing) {
		size = 1
	}
	var units []*unit
	open := map[bool]*unit{} // by whether it is queued
	for _, p := range r.op.with(Accepted) {
		if !r.waiting(p) {
			continue
		}
		until, queue, ok := r.mode(p, lock, now)
		if !ok {
			r.tried[p], p.Error, r.reason = true, whyEarlier, whyEarlier
			continue
		}
		u := open[queue]
		if u == nil || len(u.people) >= size || r.single[p] {
			if len(units) == sideBySide {
				break
			}
			u = &unit{life: nowLife}
			units = append(units, u)
			if open[queue] = u; r.single[p] {
				open[queue] = nil
			}
		}
		u.people = append(u.people, p)
		if queue {
			u.life = max(u.life, until.Sub(now))
		}
	}
	return units
}

// mode decides whether something is done for a person now, or queued until a time; not ok, when it has to wait for
// something earlier that is queued.
func (r *run) mode(p *part, lock doordeck.Lock, now time.Time) (until time.Time, queue, ok bool) {
	earlier := r.alive[p.UserID]
	until = when(r.op.endsAt(p))
	switch {
	case earlier.queued(now) && r.op.Type == Revoke:
		if after := when(earlier.until()).Add(outlive); after.After(until) {
			until = after
		}
	case earlier.queued(now) && !r.op.Waits:
		return until, false, false
	case earlier.queued(now):
	case !r.op.Waits, lock.Connected && p.Error != whyOffline && p.Error != whyNoAnswer:
		return until, false, true
	}
	ends := r.session.Until.Add(-lastMinute)
	if r.op.Type == Share { // and leaves room for its revoke
		ends = ends.Add(-outlive)
	}
	until = earliest(until, ends, now.Add(doordeck.MaxWait-time.Minute))
	return until, until.Sub(now) > leastWait, true
}

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.Before(first) {
			first = t
		}
	}
	return first
}

// operation is what is signed for a unit.
func (r *run) operation(people []*part) doordeck.Operation {
	if r.op.Type == Revoke {
		var users doordeck.RemoveUsers
		for _, p := range people {
			users = append(users, doordeck.UserID(p.UserID))
		}
		return users
	}
	var users doordeck.AddUsers
	for _, p := range people {
		users = append(users, doordeck.AddUser{
			User: doordeck.UserID(p.UserID), PublicKey: p.PublicKey, Role: doordeck.Role(p.Role), Start: when(p.StartAt), End: when(p.EndAt),
		})
	}
	if len(users) == 1 {
		return users[0]
	}
	return users
}

// sign signs units, and leaves out those that cannot be signed.
func (r *run) sign(units []*unit) []*unit {
	return slices.DeleteFunc(units, func(u *unit) bool {
		var err error
		u.signed, err = r.session.Sign(doordeck.LockID(r.op.Lock), r.operation(u.people), u.life)
		switch {
		case err == nil:
			return false
		case errors.Is(err, doordeck.ErrChainExpired):
			r.reason = whyNotReady
		case len(u.people) > 1:
			r.apart(u.people)
		default:
			r.fail(u.people, whyUnsignable)
		}
		return true
	})
}

// apart has people sent one by one, so that who is at fault fails alone.
func (r *run) apart(people []*part) {
	for _, p := range people {
		r.single[p] = true
	}
}

// wave writes down that units are sent, sends them, and writes down what came of it.
func (r *run) wave(ctx context.Context, units []*unit) error {
	now := r.now()
	for _, u := range units {
		for _, p := range u.people {
			before := p.ExpiresAt
			if before <= now.UnixMilli() {
				before = 0
			}
			u.before = append(u.before, before)
			p.Status, p.Tries, p.ExpiresAt = Running, p.Tries+1, max(before, now.Add(u.life+clocksDiffer).UnixMilli())
			r.tried[p] = true
		}
	}
	r.op.twins()
	if err := r.store.save(ctx, r.op); err != nil {
		return err
	}
	if r.now().Sub(now) > leastSpare || r.stopping.Err() != nil {
		for _, u := range units {
			u.takeBack()
		}
		r.reason = r.op.Error
		return nil
	}
	var group errgroup.Group
	for _, u := range units {
		group.Go(func() error {
			u.outcome, u.err = r.actors.Client().Execute(ctx, r.session.Token, doordeck.LockID(r.op.Lock), u.signed.JWT)
			return nil
		})
	}
	_ = group.Wait() // units have their errors
	for _, u := range units {
		r.metrics.sent(u.outcome, u.err)
		r.learn(ctx, u)
	}
	r.op.twins()
	if len(r.op.with(Accepted, Running)) == 0 {
		return nil // what is left is to pause, which saves
	}
	return r.store.save(ctx, r.op)
}

// leastSpare is how long storing may take before what was signed counts as not fresh any more.
const leastSpare = 5 * time.Second

// takeBack says that a unit was not sent after all.
func (u *unit) takeBack() {
	for i, p := range u.people {
		p.Status, p.ExpiresAt, p.Tries = Accepted, u.before[i], p.Tries-1
	}
}

// learn settles a unit by what Doordeck answered.
func (r *run) learn(ctx context.Context, u *unit) {
	class := classOf(u.err)
	switch {
	case u.err == nil && u.outcome == doordeck.Queued:
		for _, p := range u.people {
			earlier := r.alive[p.UserID]
			if p.Status, p.Error, p.GuardAt = Queued, "", earlier.until(); earlier.lost { // it need not be in order
				r.op.FollowedAt = r.now().Add(landed).UnixMilli()
			}
		}
	case u.err == nil:
		for i, p := range u.people {
			p.ExpiresAt = u.before[i]
			r.settle(p)
		}
	case unsent(u.err):
		u.takeBack()
		r.enough = r.later(u.err)
	case class == doordeck.TooMany:
		r.refused(u, Accepted, whyBusy)
		r.enough = r.later(u.err)
	case class.Retryable(), class == doordeck.Conflict: // it may have been done; the list of users tells
		for i, p := range u.people {
			if p.Error = why(u.err); !underWay(u.err) && u.life <= leastWait {
				p.ExpiresAt = max(u.before[i], r.now().Add(clocksDiffer).UnixMilli())
			}
		}
		r.later(u.err)
		r.reason = why(u.err)
	case len(u.people) > 1: // who of them was refused is not said
		r.refused(u, Accepted, "")
		r.apart(u.people)
		for _, p := range u.people {
			delete(r.tried, p)
		}
		r.locks.forget(laneOf(r.op))
	default:
		r.refused(u, Failed, whyRefused)
		for _, p := range u.people {
			r.end(p, Failed, whyRefused)
		}
		r.doubt(ctx, class)
	}
}

func (r *run) refused(u *unit, status Status, reason string) {
	for i, p := range u.people {
		p.Status, p.ExpiresAt, p.Error = status, u.before[i], reason
	}
}

// yield lets go of people whom a revoke behind this share wants gone. For those of whom it is not known whether
// they have it already, nothing more is sent: the revoke takes care of them.
func (r *run) yield(ctx context.Context) error {
	if r.op.Type != Share {
		return nil
	}
	revokes, err := r.store.revokes(ctx, r.op)
	if err != nil {
		return err
	}
	var unknown, targets []*part
	for _, revoke := range revokes {
		if _, known := r.revoked[revoke.ID]; !known {
			r.revoked[revoke.ID] = revoke.with(Accepted)
			unknown = append(unknown, r.revoked[revoke.ID]...)
		}
		targets = append(targets, r.revoked[revoke.ID]...)
	}
	// Whoever is not found, or not now, is still known by their name.
	if _, err := r.directed.find(ctx, r.session, unknown); err != nil {
		r.log.Debug("looking up whom revokes concern", "identity", r.op.Identity, "error", err)
	}
	r.letGo(func(p *part) bool { return p.among(targets) })
	return nil
}

// letGo sends nothing more for people for whom something later comes, or has come.
func (r *run) letGo(of func(*part) bool) {
	now := r.now().UnixMilli()
	for _, p := range r.op.with(Accepted, Running) {
		switch {
		case !of(p):
		case p.Status == Accepted && p.ExpiresAt <= now:
			p.Status, p.Error = Cancelled, whyOvertaken
		default: // from now on the list of users is asked for
			p.Status, p.Error, p.GuardAt = watched, whyOvertaken, max(p.ExpiresAt, p.GuardAt, now)
		}
	}
}
