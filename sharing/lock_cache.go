package sharing

import (
	"context"
	"sync"
	"time"

	"gatehouse/doordeck"
)

const (
	// lockFor is how long what a lock can do, and what an identity is there, is taken to be as it was.
	lockFor = 5 * time.Minute
	// onlineFor is how long a lock is taken to be connected, or not, as it was.
	onlineFor = 3 * time.Second
	maxLocks  = 10_000
)

// lockCache remembers locks as identities see them.
type lockCache struct {
	actors actors
	now    func() time.Time
	mu     sync.Mutex
	known  map[lane]knownLock
}

type knownLock struct {
	doordeck.Lock
	at time.Time
}

func newLockCache(a actors, now func() time.Time) *lockCache {
	return &lockCache{actors: a, now: now, known: map[lane]knownLock{}}
}

// get returns a lock as it was within the last minutes, or with online within the last seconds. One of which the
// identity was no administrator is always asked for anew.
func (c *lockCache) get(ctx context.Context, s Session, l lane, online bool) (doordeck.Lock, error) {
	c.mu.Lock()
	known, ok := c.known[l]
	c.mu.Unlock()
	age := c.now().Sub(known.at)
	if ok && known.Role == doordeck.RoleAdmin && (age < onlineFor || age < lockFor && !online) {
		return known.Lock, nil
	}
	lock, err := c.actors.Client().Lock(ctx, s.Token, doordeck.LockID(l.lock))
	if err == nil {
		c.actors.sawDoor(ctx, l, lock.Name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxLocks {
		clear(c.known)
	}
	if delete(c.known, l); err == nil {
		c.known[l] = knownLock{lock, c.now()}
	}
	return lock, err
}

// forget has the lock asked for anew: it has refused something that it was thought to be able to do.
func (c *lockCache) forget(l lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, l)
}
