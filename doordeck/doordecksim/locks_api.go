package doordecksim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// AddLock registers a lock. Its users have to be known already.
func (s *Sim) AddLock(in Lock) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.ID = strings.ToLower(in.ID)
	switch {
	case !isUUID(in.ID):
		return fmt.Errorf("the lock id %q is not a UUID", in.ID)
	case s.locks.get(in.ID) != nil:
		return fmt.Errorf("there is a lock %s already", in.ID)
	case len(s.locks.order) >= maxLocks:
		return errors.New("the simulation has enough locks")
	}
	l := &lock{Lock: in, locked: true}
	l.Capabilities = maps.Clone(in.Capabilities)
	if l.Capabilities == nil {
		l.Capabilities = map[string]string{}
	}
	if l.UnlockTime <= 0 {
		l.UnlockTime = defaultUnlock
	}
	l.Users = nil
	for _, m := range in.Users {
		if err := s.grant(l, m); err != nil {
			return err
		}
	}
	l.noteReachable(s.now())
	s.locks.byID[l.ID] = l
	s.locks.order = append(s.locks.order, l)
	return nil
}

func (s *Sim) grant(l *lock, m Member) error {
	u := s.find(m.User)
	if u == nil {
		return fmt.Errorf("nobody has the id or subject %q", m.User)
	}
	if m.Role != RoleAdmin && m.Role != RoleUser {
		return fmt.Errorf("the role of %s has to be ADMIN or USER", m.User)
	}
	m.User = u.id
	l.upsert(m)
	return nil
}

// change runs f on a lock; an unknown one is an error.
func (s *Sim) change(id string, f func(*lock) error) error {
	s.mu.Lock()
	defer s.poke()
	defer s.mu.Unlock()
	s.settle()
	l := s.locks.get(id)
	if l == nil {
		return fmt.Errorf("there is no lock %s", id)
	}
	err := f(l)
	l.noteReachable(s.now())
	s.settle()
	return err
}

// SetAccess gives somebody, by id or subject, access to a lock without an operation.
func (s *Sim) SetAccess(lockID string, m Member) error {
	return s.change(lockID, func(l *lock) error { return s.grant(l, m) })
}

// RemoveAccess takes it away.
func (s *Sim) RemoveAccess(lockID, idOrSubject string) error {
	return s.change(lockID, func(l *lock) error {
		if u := s.find(idOrSubject); u != nil {
			l.remove(u.id)
		}
		return nil
	})
}

// SetOnline connects or disconnects a lock. Queued operations are applied when it connects.
func (s *Sim) SetOnline(lockID string, online bool) error {
	return s.change(lockID, func(l *lock) error {
		if l.Offline == online {
			kind := "DEVICE_CONNECTED"
			if !online {
				kind = "DEVICE_DISCONNECTED"
			}
			l.log(auditEntry{Type: kind, at: s.now()})
		}
		l.Offline = !online
		return nil
	})
}

// SetHanging lets a connected lock answer nothing, or again.
func (s *Sim) SetHanging(lockID string, hanging bool) error {
	return s.change(lockID, func(l *lock) error { l.Hanging = hanging; return nil })
}

// SetCapability changes what a lock says it can do; "" leaves the capability out.
func (s *Sim) SetCapability(lockID, name, value string) error {
	return s.change(lockID, func(l *lock) error {
		if l.Capabilities[name] = value; value == "" {
			delete(l.Capabilities, name)
		}
		return nil
	})
}

// Users lists who has access to a lock, in the order in which they got it, with those whose time has not come
// or is over. It is nil for an unknown lock.
func (s *Sim) Users(lockID string) (users []Member) {
	s.locked(func() {
		if l := s.locks.get(lockID); l != nil {
			users = slices.Clone(l.Users)
		}
	})
	return users
}

// Unlocks counts how often a lock was unlocked.
func (s *Sim) Unlocks(lockID string) (n int) {
	s.locked(func() {
		if l := s.locks.get(lockID); l != nil {
			n = l.unlocks
		}
	})
	return n
}

// Open says whether a lock is unlocked now.
func (s *Sim) Open(lockID string) (open bool) {
	s.locked(func() {
		if l := s.locks.get(lockID); l != nil {
			open = !l.locked
		}
	})
	return open
}
