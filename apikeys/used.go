package apikeys

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gatehouse/events"
)

// noteEvery is how often it is stored which keys were used, so that no request waits for that.
const noteEvery = time.Minute

// uses are when keys last worked, in Unix milliseconds, as far as that is not stored yet. The admin token is none of
// them.
type uses struct {
	mu sync.Mutex
	by map[string]int64
}

func (u *uses) note(id string, at int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.by == nil {
		u.by = map[string]int64{}
	}
	u.by[id] = at
}

func (u *uses) at(id string) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.by[id]
}

// take hands over what was noted.
func (u *uses) take() map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	by := u.by
	u.by = nil
	return by
}

// use is the key in a row that was looked up, if it works.
func (k *Keys) use(r row) (Key, bool, error) {
	now := k.now()
	if !r.works(now) {
		return Key{}, false, nil
	}
	key, err := r.key()
	if err != nil {
		return Key{}, false, err
	}
	k.used.note(r.ID, now.UnixMilli())
	return key, true, nil
}

// Run stores every minute which keys were used, until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := k.StoreUses(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("when API keys were used last could not be stored", "error", err)
		}
	}
}

// StoreUses stores which keys were used since it was called last.
func (k *Keys) StoreUses(ctx context.Context) error {
	used := k.used.take()
	if len(used) == 0 {
		return nil
	}
	err := k.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		for _, id := range slices.Sorted(maps.Keys(used)) { // replicas lock the rows in one order
			at := used[id]
			if _, err := tx.Exec(ctx, `UPDATE api_keys SET used_at = ? WHERE id = ? AND used_at < ?`, at, id, at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("storing the use of API keys: %w", err)
	}
	return nil
}
