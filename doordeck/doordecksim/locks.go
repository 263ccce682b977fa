package doordecksim

import (
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

func (l *lock) noteReachable(now time.Time) {
	switch reachable := !l.Offline && !l.Hanging; {
	case !reachable:
		l.reachableSince = time.Time{}
	case l.reachableSince.IsZero():
		l.reachableSince = now
	}
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
