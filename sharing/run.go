package sharing

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gatehouse/doordeck"
)

// run is one operation in a worker's hand: who is concerned, may it be signed, is it signed, sent and settled.
// What it comes to is written down before the next step.
type run struct {
	*Operations
	op *operation
	// stopping ends when no more is to be sent, although what is under way may still end.
	stopping context.Context
	// revoked are the people of revokes that stand behind, by the revoke, as found so far.
	revoked map[string][]*part

	session Session
	actedAt time.Time // when the session was made
	alive   map[string]signed
	// tried are those who have had their turn in this attempt; single those whose batch was refused.
	tried, single map[*part]bool
	// reason is why something is left to do, and asked how long Doordeck wants to be left alone.
	reason string
	asked  time.Duration
	// enough ends the attempt: Doordeck has had too much, or cannot be reached, whoever is concerned.
	enough bool
}

const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
	// mostAsked bounds how long Doordeck may ask to be left alone.
	mostAsked = 5 * time.Minute
	// actFor is how long one session is used: well below tokenLife, which an operation of many may take longer than.
	actFor = time.Minute
	// lookedUp is how many people are looked up with one session.
	lookedUp = 100
)

// attempt takes the operation as far as it goes now.
func (r *run) attempt(ctx context.Context) error {
	r.op.Attempts++
	r.tried, r.single = map[*part]bool{}, map[*part]bool{}
	r.age()
	if len(r.op.with(Accepted, Running)) == 0 {
		return r.pause(ctx)
	}
	if r.act(ctx) {
		step := r.people
		if r.op.Type == Unlock {
			step = r.unlock
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return r.pause(ctx)
}

// act has a session that is fresh enough. Without one nothing can be done now.
func (r *run) act(ctx context.Context) bool {
	if r.now().Sub(r.actedAt) < actFor {
		return true
	}
	session, err := r.actors.Session(ctx, r.op.Identity)
	if err != nil {
		r.cannotAct(err)
		return false
	}
	r.session, r.actedAt = session, r.now()
	return true
}

// pause writes down how far it came, and when to go on.
func (r *run) pause(ctx context.Context) error {
	r.age()
	r.linger()
	r.op.twins()
	r.op.Error = r.reason
	now := r.now()
	if _, left := fold(r.op.statuses()); left == stageFollow {
		r.op.DueAt = r.op.nextLook(now)
		return r.store.save(ctx, r.op)
	}
	wait := firstRetry << min(r.op.Attempts-1, 10)
	wait = max(min(wait, lastRetry), min(r.asked, mostAsked))
	due := now.Add(wait/2 + rand.N(wait/2+1)).UnixMilli()
	if aside := when(r.op.ReceivedAt).Add(usualAge); r.op.Waits && now.Before(aside) {
		due = min(due, aside.UnixMilli()) // then those behind go on
	}
	for _, p := range r.op.with(Accepted, Running) {
		due = min(due, max(r.op.endsAt(p), now.UnixMilli()))
	}
	r.op.DueAt = due
	return r.store.save(ctx, r.op)
}

// age ends what is too old. What may have been sent already is looked after instead; an unlock that may have been
// is not learned of any more.
func (r *run) age() {
	now := r.now().UnixMilli()
	for _, p := range r.op.with(Accepted, Running) {
		switch {
		case r.op.Type == Unlock && p.Status == Running:
			p.Status = Unknown
		case r.op.Type == Unlock && r.op.ReceivedAt > now+clocksDiffer.Milliseconds(): // a clock was set back: nobody knows its age
			p.Status, p.Error = Expired, whyAgeUnknown
		case now < r.op.endsAt(p):
		case p.Status == Running:
			p.Status, p.GuardAt, p.Error = watched, max(p.ExpiresAt, p.GuardAt, now), cmp.Or(p.Error, whyUnavailable)
		case p.Tries == 0 || r.op.Waits || p.hasEnded(now):
			r.end(p, Expired, cmp.Or(p.Error, r.reason, r.op.Error))
		default:
			r.end(p, Failed, cmp.Or(p.Error, r.reason, r.op.Error, whyUnavailable))
		}
	}
}

// end gives up on a person. Where something was sent more than once, an earlier try may have been done although the list of
// users, which may be an old one, did not show it: it has the last word.
func (r *run) end(p *part, status Status, reason string) {
	p.Status, p.Error = status, reason
	if p.Tries > 1 {
		p.Status, p.Error, p.GuardAt = watched, cmp.Or(reason, whyUnavailable), max(p.ExpiresAt, r.now().Add(clocksDiffer).UnixMilli())
	}
}

// linger keeps from being final what was not done in the end although something that was sent before can still
// reach the door.
func (r *run) linger() {
	now := r.now().UnixMilli()
	for _, p := range r.op.with(Failed, Expired) {
		if p.ExpiresAt > now {
			p.Status, p.Error, p.GuardAt = watched, cmp.Or(p.Error, whyUnavailable), max(p.ExpiresAt, p.GuardAt)
		}
	}
}

// cannotAct says why nothing can be signed: for good where there is no such identity any more.
func (r *run) cannotAct(err error) {
	if errors.Is(err, ErrNoIdentity) {
		r.fail(r.op.with(Accepted, Running), whyNoIdentity)
		return
	}
	if _, ok := errors.AsType[*NotReadyError](err); !ok {
		r.log.Warn("an identity cannot act", "identity", r.op.Identity, "error", err)
	}
	r.reason = whyNotReady
}

func (r *run) fail(people []*part, reason string) {
	for _, p := range people {
		p.Status, p.Error = Failed, reason
	}
}

// later notes a failure that may be over when it is tried again, and tells whether it is one.
func (r *run) later(err error) bool {
	if !classOf(err).Retryable() {
		return false
	}
	r.reason = why(err)
	if e, ok := errors.AsType[*doordeck.Error](err); ok {
		r.asked = max(r.asked, e.RetryAfter)
	}
	return true
}

// people goes with a share or revoke from the names to the door.
func (r *run) people(ctx context.Context) error {
	var err error
	if r.alive, err = r.store.alive(ctx, r.op); err != nil {
		return err
	}
	if len(r.op.with(Running)) > 0 && !r.recheck(ctx) {
		return nil
	}
	if !r.find(ctx) {
		return nil
	}
	overtaken, err := r.store.overtaken(ctx, r.op)
	if err != nil {
		return err
	}
	r.letGo(func(p *part) bool { _, later := overtaken[p.UserID]; return later })
	lock, ok := r.lock(ctx)
	if !ok {
		return nil
	}
	return r.waves(ctx, lock)
}

// recheck finds out by the door's list of users what became of what was sent.
func (r *run) recheck(ctx context.Context) bool {
	users, err := r.actors.Client().LockUsers(ctx, r.session.Token, doordeck.LockID(r.op.Lock))
	if err != nil && r.later(err) {
		return false
	}
	has := usersByID(users)
	for _, p := range r.op.with(Running) {
		switch {
		case err == nil && r.op.holds(p, has, r.now()): // and still does when the list cannot be an old one
			r.settle(p)
			p.Status, p.GuardAt = watched, max(p.GuardAt, r.now().Add(clocksDiffer).UnixMilli())
		default: // a list that is refused tells nothing: sending it again will
			p.Status = Accepted
		}
	}
	return true
}

// settle ends what is done for a person, unless something of another operation can still come after it.
func (r *run) settle(p *part) {
	p.Error = ""
	p.Status = Applied
	if p.GuardAt = r.alive[p.UserID].until(); p.GuardAt > r.now().UnixMilli() {
		p.Status = watched
	}
}

// find finds out who the people are.
func (r *run) find(ctx context.Context) bool {
	for some := range slices.Chunk(r.op.with(Accepted), lookedUp) {
		if r.stopping.Err() != nil || !r.act(ctx) {
			return false
		}
		missing, err := r.directed.find(ctx, r.session, some)
		if err != nil {
			r.later(err)
			return false
		}
		for p, reason := range missing {
			r.fail([]*part{p}, reason)
		}
	}
	r.op.pair()
	for _, p := range r.op.with(Accepted) {
		if strings.EqualFold(p.UserID, string(r.session.User)) {
			r.fail([]*part{p}, whySelf)
		}
	}
	return true
}

// lock asks what the lock can do and what the identity is there.
func (r *run) lock(ctx context.Context) (doordeck.Lock, bool) {
	lock, err := r.locks.get(ctx, r.session, laneOf(r.op), r.op.Waits || r.feared())
	switch {
	case err == nil && lock.Role == doordeck.RoleAdmin:
		if lock.Connected {
			r.landing()
		}
		return lock, true
	case err == nil:
		r.fail(r.op.with(Accepted), whyNotAdmin)
	case r.later(err):
	case classOf(err) == doordeck.NotFound:
		r.fail(r.op.with(Accepted), whyNoLock)
	default:
		r.fail(r.op.with(Accepted), whyRefused)
	}
	return lock, false
}

// feared tells whether something that has ended may still wait for the door.
func (r *run) feared() bool {
	for _, s := range r.alive {
		if s.ended > 0 && s.queued(r.now()) {
			return true
		}
	}
	return false
}

// landing shortens the time for which what has ended is feared: once the door is connected, it arrives within moments.
func (r *run) landing() {
	soon := r.now().Add(landed).UnixMilli()
	for user, s := range r.alive {
		s.ended = min(s.ended, soon)
		r.alive[user] = s
	}
}

// unlock opens the door, once.
func (r *run) unlock(ctx context.Context) error {
	p := r.op.parts[0]
	signed, err := r.session.Sign(doordeck.LockID(r.op.Lock), doordeck.Unlock{}, unlockLife)
	if err != nil {
		r.reason = whyNotReady
		return nil
	}
	p.Status, p.Error = Running, ""
	p.Tries++
	if err := r.store.save(ctx, r.op); err != nil {
		return err
	}
	if r.now().UnixMilli() >= r.op.DeadlineAt || r.stopping.Err() != nil {
		p.Status, p.Tries = Accepted, p.Tries-1
		return nil
	}
	left := when(r.op.DeadlineAt).Sub(r.now())
	done, err := r.actors.Client().ExecuteWithin(ctx, r.session.Token, doordeck.LockID(r.op.Lock), signed.JWT, left)
	r.metrics.sent(done, err)
	switch class := classOf(err); {
	case err == nil && done == doordeck.Applied:
		p.Status = Applied
	case err == nil: // it was told to wait, which an unlock must not
		p.Status = Unknown
	case unsent(err):
		p.Status, p.Tries, r.reason = Accepted, p.Tries-1, why(err)
	case class == doordeck.NoAnswer, class == doordeck.Transient, class == doordeck.Conflict:
		p.Status, p.Error = Unknown, why(err)
	default:
		p.Status, p.Error = Failed, why(err)
		r.doubt(ctx, class)
	}
	return nil
}

// unlockLife is how long a signed unlock lives: if its outcome is not learned, the door does not open long after.
const unlockLife = 20 * time.Second

// doubt has the identity checked when Doordeck does not take what is signed as it.
func (r *run) doubt(ctx context.Context, class doordeck.Class) {
	if class != doordeck.Forbidden && class != doordeck.Unauthorized {
		return
	}
	if err := r.actors.Doubt(ctx, r.op.Identity); err != nil {
		r.log.Debug("doubting an identity", "identity", r.op.Identity, "error", err)
	}
}
