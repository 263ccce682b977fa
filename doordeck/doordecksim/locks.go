package doordecksim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Role is what somebody may do with a lock.
type Role string

// The two roles.
const (
	RoleAdmin Role = "ADMIN"
	RoleUser  Role = "USER"
)

// BatchSharing is the capability of a lock that can be shared with up to 25 people in one operation.
const BatchSharing = "BATCH_SHARING_25"

// Values of a capability. A missing one means that the lock cannot do it.
const (
	Supported   = "SUPPORTED"
	Unsupported = "UNSUPPORTED"
)

const (
	maxLocks      = 10_000
	defaultUnlock = 7 * time.Second
)

// Lock is a door as tests register one.
type Lock struct {
	ID           string            `json:"id"` // a UUID
	Name         string            `json:"name"`
	Capabilities map[string]string `json:"capabilities"`
	Offline      bool              `json:"offline"` // operations answer 503 or are queued
	Hanging      bool              `json:"hanging"` // it is connected and does not answer: 504
	// UnlockTime is how long it stays open after an unlock; 0 means 7 s.
	UnlockTime time.Duration `json:"-"`
	Users      []Member      `json:"-"`
}

// Member is somebody with access to a lock.
type Member struct {
	User string `json:"user"` // Doordeck user id
	Role Role   `json:"role"`
	// Start and End bound the access; zero means that this end is open.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`

	favourite bool
	colour    string
}

// within says whether the access holds at a time.
func (m Member) within(now time.Time) bool {
	return !now.Before(m.Start) && (m.End.IsZero() || now.Before(m.End))
}

// lock is a door with its state.
type lock struct {
	Lock
	locked         bool
	relockAt       time.Time // zero: it does not fall shut
	reachableSince time.Time // zero: it is not reachable
	unlocks        int
	between        any // open hours
	addresses      []string
	audit          []auditEntry
}

type locks struct {
	byID  map[string]*lock
	order []*lock
}

func (l *locks) get(id string) *lock { return l.byID[strings.ToLower(id)] }

// member finds somebody's access, whether it holds now or not.
func (l *lock) member(id string) *Member {
	i := slices.IndexFunc(l.Users, func(m Member) bool { return m.User == id })
	if i < 0 {
		return nil
	}
	return &l.Users[i]
}

// access is somebody's access if it holds now.
func (l *lock) access(id string, now time.Time) *Member {
	if m := l.member(id); m != nil && m.within(now) {
		return m
	}
	return nil
}

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

func (l *lock) noteReachable(now time.Time) {
	switch reachable := !l.Offline && !l.Hanging; {
	case !reachable:
		l.reachableSince = time.Time{}
	case l.reachableSince.IsZero():
		l.reachableSince = now
	}
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

// upsert gives access or replaces its role and dates.
func (l *lock) upsert(m Member) {
	if old := l.member(m.User); old != nil {
		m.favourite, m.colour = old.favourite, old.colour
		*old = m
		return
	}
	l.Users = append(l.Users, m)
}

// remove takes access away; false if there was none.
func (l *lock) remove(id string) bool {
	before := len(l.Users)
	l.Users = slices.DeleteFunc(l.Users, func(m Member) bool { return m.User == id })
	return len(l.Users) < before
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

// unlock opens the door until its time is over.
func (l *lock) unlock(now time.Time) {
	l.locked = false
	l.relockAt = now.Add(l.UnlockTime)
	l.unlocks++
}

// shut locks the door by itself.
func (l *lock) shut(at time.Time) {
	l.locked, l.relockAt = true, time.Time{}
	l.log(auditEntry{Type: "DOOR_LOCK", at: at})
}
