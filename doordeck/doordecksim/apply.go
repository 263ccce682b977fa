package doordecksim

import (
	"bytes"
	"slices"
	"time"
)

// apply does what an operation asks for, at a time.
func (s *Sim) apply(l *lock, issuer *user, op operation, entry *LedgerEntry, at time.Time) {
	note := func(kind string, subject *user) {
		l.log(auditEntry{Type: kind, at: at, issuer: issuer, subject: subject})
	}
	switch op.kind {
	case opLock:
		if op.locked {
			l.locked, l.relockAt = true, time.Time{}
			note("DOOR_LOCK", nil)
		} else {
			l.unlock(at)
			note("DOOR_UNLOCK", nil)
		}
	case opAddUser, opBatch:
		for _, p := range op.people {
			note(l.share(p), s.people.get(p.user))
		}
	case opRemove:
		for _, p := range op.people {
			if l.remove(p.user) {
				note("LOCK_REVOKED", s.people.get(p.user))
			}
		}
	case opSetting:
		l.set(op)
		note("SETTING_CHANGED", nil)
	}
	s.ledger.applied(entry, at)
}

// share gives access and names what that was.
func (l *lock) share(p person) (auditType string) {
	auditType = "LOCK_SHARED"
	if old := l.member(p.user); old != nil && old.Role != p.role {
		auditType = "USER_PROMOTED"
		if p.role == RoleUser {
			auditType = "USER_DEMOTED"
		}
	}
	l.upsert(p.member())
	return auditType
}

func (l *lock) set(op operation) {
	if op.duration > 0 {
		l.UnlockTime = op.duration
	}
	if op.hasBetween {
		l.between = op.between
		if bytes.Equal(op.between, []byte("null")) {
			l.between = nil
		}
	}
}

// losesAdmins says whether an operation takes the last administrator away.
func (l *lock) losesAdmins(op operation) bool {
	if op.kind != opRemove && op.kind != opAddUser && op.kind != opBatch {
		return false
	}
	before, after := 0, 0
	for _, m := range l.Users {
		if m.Role != RoleAdmin {
			continue
		}
		before++
		if i := slices.IndexFunc(op.people, func(p person) bool { return p.user == m.User }); i < 0 || op.people[i].role == RoleAdmin {
			after++
		}
	}
	for _, p := range op.people {
		if p.role == RoleAdmin && l.member(p.user) == nil {
			after++
		}
	}
	return before > 0 && after == 0
}
