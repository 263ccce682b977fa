package sharing

import (
	"context"
	"errors"
	"slices"
	"time"

	"gatehouse/doordeck"
)

// How often a door's list of users is asked whether it shows what is queued: often in the first hour, after which
// the door is likely to be away for long.
const (
	lookSoon  = 7 * time.Second
	soonFor   = time.Hour
	lookLater = 2 * time.Minute
	// arrives is how long what waits for a door takes at most to arrive once the door is connected, and landed how
	// long it takes until also nothing is on its way any more.
	arrives = 10 * time.Second
	landed  = nowLife + clocksDiffer
)

// nextLook is when to look again: in turns, or when something ends.
func (o *operation) nextLook(now time.Time) int64 {
	every := lookSoon
	if o.FollowedAt != 0 && now.Sub(when(o.FollowedAt)) > soonFor {
		every = lookLater
	}
	next := now.Add(every).UnixMilli()
	for _, p := range o.with(Queued, watched) {
		for _, at := range []int64{p.ExpiresAt, p.GuardAt, p.EndAt} {
			if at > now.UnixMilli() {
				next = min(next, at)
			}
		}
	}
	return next
}

// follow looks after what has been sent on a lane: by the door's list of users it is told what came of it.
func (o *Operations) follow(ctx context.Context, l lane) error {
	sent, err := o.store.followed(ctx, l)
	if err != nil || len(sent) == 0 {
		return err
	}
	look := &look{Operations: o, lane: l, at: o.now()}
	look.ask(ctx)
	var again []*operation
	for _, op := range sent {
		news, err := look.after(ctx, op)
		if err != nil {
			return err
		}
		if !news {
			again = append(again, op)
		}
	}
	return o.store.lookAgain(ctx, again)
}

// look is one look at a door.
type look struct {
	*Operations
	lane    lane
	at      time.Time
	session Session
	has     map[string]doordeck.LockUser // nil when the list is not known
	gone    bool                         // there is no such identity any more
}

func (k *look) ask(ctx context.Context) {
	var err error
	if k.session, err = k.actors.Session(ctx, k.lane.identity); err != nil {
		k.gone = errors.Is(err, ErrNoIdentity)
		return
	}
	users, err := k.actors.Client().LockUsers(ctx, k.session.Token, doordeck.LockID(k.lane.lock))
	if err != nil {
		k.log.Debug("asking who has a lock", "identity", k.lane.identity, "lock", k.lane.lock, "error", err)
		return
	}
	k.has = usersByID(users)
}

// after settles what the look tells of an operation, and stores it where it is anything new.
func (k *look) after(ctx context.Context, op *operation) (news bool, err error) {
	overtaken, err := k.store.overtaken(ctx, op)
	if err != nil {
		return false, err
	}
	before := clones(op.parts)
	for _, p := range op.with(Queued, watched) {
		settled, overtaking := overtaken[p.UserID]
		switch {
		case k.gone:
			p.Status, p.Error = Failed, whyNoIdentity
		case overtaking && !settled:
			// What was asked later is on its way: the list would tell nothing of this.
		case p.Status == Queued:
			k.queued(ctx, op, p, settled)
		default:
			k.watched(ctx, op, p, settled)
		}
	}
	op.DueAt = op.nextLook(k.at)
	if len(op.with(Accepted)) > 0 {
		op.DueAt = k.at.UnixMilli()
	}
	if slices.Equal(before, clones(op.parts)) {
		return false, nil
	}
	return true, k.store.save(ctx, op)
}

// queued settles somebody for whom something waits for the door.
func (k *look) queued(ctx context.Context, op *operation, p *part, overtaken bool) {
	now := k.at.UnixMilli()
	holds := k.has != nil && op.holds(p, k.has, k.at)
	switch {
	case overtaken:
		p.Status, p.Error = Cancelled, whyOvertaken
	case holds && p.GuardAt <= now && !k.feared(ctx, op, p, 0):
		k.confirm(ctx, p)
		op.arrived = append(op.arrived, p.UserID)
	case k.has == nil && now < p.ExpiresAt+soonFor.Milliseconds():
		// Nothing is known. Once it is over, it is still worth asking for a time how it ended.
	case p.hasEnded(now):
		p.Status = Expired
	case now < p.ExpiresAt && (p.GuardAt == 0 || !k.connected(ctx)):
		// The door will get it.
	case now < p.ExpiresAt && now < p.GuardAt: // what was asked earlier and waits for the door as well could still come first
		p.GuardAt = min(p.GuardAt, max(k.at.Add(arrives).UnixMilli(), op.FollowedAt))
	case now < p.ExpiresAt && now < p.GuardAt+landed.Milliseconds(): // it may be on its way
	case now < p.ExpiresAt: // something that was asked earlier came after it
		op.again(p, k.at)
	case op.Waits && now < op.DeadlineAt:
		p.Status = Accepted // the chain of certificates allowed no longer wait
	default:
		p.Status = Expired
	}
}

// confirm ends what has waited for the door and is shown by its list. It may have been so before, when the door is still
// away: then what waits is feared for as long as it waits; else it arrives within moments.
func (k *look) confirm(ctx context.Context, p *part) {
	within := arrives
	if p.Tries > 1 { // one of them may be on its way
		within = landed
	}
	p.Status = Confirmed
	k.lands(ctx, p, within)
}

// lands notes that what was signed for a person arrives within a time, where the door is connected.
func (k *look) lands(ctx context.Context, p *part, within time.Duration) {
	if k.connected(ctx) {
		p.ExpiresAt = min(p.ExpiresAt, k.at.Add(within).UnixMilli())
	}
}

// feared tells whether something may still arrive although the time for which it was feared is over: that was cut short when the
// door was connected, and it has gone away again. Own is when the last that was signed for the person ends.
func (k *look) feared(ctx context.Context, op *operation, p *part, own int64) bool {
	if p.GuardAt == 0 || k.connected(ctx) {
		return false
	}
	alive, err := k.store.alive(ctx, op)
	if err != nil {
		return true
	}
	p.GuardAt = max(p.GuardAt, own, alive[p.UserID].until())
	return p.GuardAt > k.at.UnixMilli()
}

// connected tells whether the door is: what waits for it arrives within moments then, in order.
func (k *look) connected(ctx context.Context) bool {
	lock, err := k.locks.get(ctx, k.session, k.lane, true)
	return err == nil && lock.Connected
}

// watched settles somebody of whom something may still arrive at the door: of an operation before, where this one
// is done; of this one itself, where its outcome was not learned.
func (k *look) watched(ctx context.Context, op *operation, p *part, overtaken bool) {
	now, done := k.at.UnixMilli(), p.Error == "" || p.Error == whyUndone
	over, own := now >= p.GuardAt, p.ExpiresAt
	if done {
		own = 0 // what else was sent for the same is no harm
	}
	if !overtaken && k.has != nil {
		if soon := k.at.Add(landed).UnixMilli(); p.GuardAt > soon && k.connected(ctx) {
			p.GuardAt = soon
		}
		if over = over && !k.feared(ctx, op, p, own); over {
			k.lands(ctx, p, landed)
		}
	}
	switch {
	case overtaken && done:
		p.Status, p.Error = Applied, ""
	case overtaken:
		p.Status, p.Error = Cancelled, whyOvertaken
	case k.has == nil:
		if now >= p.GuardAt+soonFor.Milliseconds() { // nobody can be asked any more
			p.Status = Failed
			if done {
				p.Status, p.Error = Applied, ""
			}
		}
	case op.holds(p, k.has, k.at):
		if over {
			p.Status, p.Error = Applied, ""
		}
	case done:
		op.again(p, k.at)
	case over && p.Error == whyOvertaken:
		p.Status = Cancelled
	case over && (op.Waits || p.hasEnded(now)) && p.Error != whyRefused:
		p.Status = Expired
	case over:
		p.Status = Failed
	}
}

// again has something sent once more that was undone, also when its time was over. It is tried for long, also when nobody runs
// for a while: what it took back holds otherwise, and may have been told to be over.
func (o *operation) again(p *part, now time.Time) {
	p.Status, p.Error = Accepted, whyUndone
	o.DeadlineAt = max(o.DeadlineAt, now.Add(soonFor).UnixMilli())
}
