package doordecksim

import (
	"crypto/sha256"
	"slices"
	"time"
)

// maxQueued bounds the operations that wait for their locks.
const maxQueued = 10_000

// maxReplays bounds the spent tokens remembered. Those that are still good are never forgotten before others.
const maxReplays = 100_000

// queued is an operation that its lock will get when it can be reached.
type queued struct {
	lock     *lock
	issuer   *user
	op       operation
	entry    *LedgerEntry
	due, exp time.Time
}

// when is the moment at which the lock takes it; false if it cannot be reached.
func (q *queued) when() (time.Time, bool) {
	since := q.lock.reachableSince
	if since.IsZero() {
		return time.Time{}, false
	}
	if q.due.After(since) {
		return q.due, true
	}
	return since, true
}

// nextChange is when it will be applied or dropped as things are.
func (q *queued) nextChange() time.Time {
	if at, reachable := q.when(); reachable && at.Before(q.exp) {
		return at
	}
	return q.exp
}

func (x *execution) enqueue() {
	exp, _ := epoch(x.claims.exp)
	x.entry.Outcome = Queued
	x.sim.queue = append(x.sim.queue, &queued{
		lock: x.lock, issuer: x.issuer, op: x.op, entry: x.entry, due: x.now.Add(x.sim.o.QueueDelay), exp: exp,
	})
	x.sim.poke()
}

// settleQueue applies what its lock can take by now, in order, and drops what is too old. Nobody is told of
// either but the log.
func (s *Sim) settleQueue(now time.Time) {
	s.queue = slices.DeleteFunc(s.queue, func(q *queued) bool {
		at, reachable := q.when()
		switch {
		case reachable && at.Before(q.exp) && !at.After(now):
			if s.o.KeepLastAdmin && q.lock.losesAdmins(q.op) {
				s.drop(q, at, "LAST_ADMIN")
			} else {
				s.apply(q.lock, q.issuer, q.op, q.entry, at)
			}
		case !now.Before(q.exp):
			s.drop(q, q.exp, "EXPIRED")
		default:
			return false
		}
		return true
	})
}

// drop forgets a queued operation.
func (s *Sim) drop(q *queued, at time.Time, reason string) {
	kind := map[string]string{
		opLock: "DOOR_UNLOCK", opAddUser: "LOCK_SHARED", opBatch: "LOCK_SHARED", opRemove: "LOCK_REVOKED", opSetting: "SETTING_CHANGED",
	}[q.op.kind]
	e := auditEntry{Type: kind, at: at, issuer: q.issuer, Rejected: true, RejectionReason: reason}
	if len(q.op.people) == 0 {
		q.lock.log(e)
	}
	for _, p := range q.op.people {
		e.subject = s.people.get(p.user)
		q.lock.log(e)
	}
	s.ledger.dropped(q.entry, at, reason)
	s.o.Log.Info("queued operation dropped", "type", q.op.kind, "lock", q.lock.ID, "reason", reason)
}

// replayKey is one token of one user.
type replayKey [sha256.Size]byte

// replays remembers spent tokens until they would be refused for their age.
type replays struct {
	until map[replayKey]time.Time
	order []replayKey
}

// first notes a token and says whether it was new.
func (r *replays) first(user, id string, until, now time.Time) bool {
	key := replayKey(sha256.Sum256([]byte(user + "\x00" + id)))
	if end, seen := r.until[key]; seen && now.Before(end) {
		return false
	}
	if _, seen := r.until[key]; !seen {
		r.order = append(r.order, key)
	}
	r.until[key] = until
	if len(r.order) > maxReplays {
		r.forget(now)
	}
	return true
}

// forget drops what is too old, or a tenth if nothing is.
func (r *replays) forget(now time.Time) {
	r.order = slices.DeleteFunc(r.order, func(key replayKey) bool {
		old := !now.Before(r.until[key])
		if old {
			delete(r.until, key)
		}
		return old
	})
	if len(r.order) <= maxReplays*9/10 {
		return
	}
	for _, key := range r.order[:maxReplays/10] {
		delete(r.until, key)
	}
	r.order = r.order[maxReplays/10:]
}
