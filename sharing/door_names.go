package sharing

import (
	"strings"
	"sync"
)

// doorNames remembers in memory what locks are called, as each identity saw them last: for people, who know no lock by
// its id. A restart forgets them.
type doorNames struct {
	mu sync.Mutex
	of map[lane]string
}

// saw remembers a lock's name; with "" that the identity sees it no more.
func (d *doorNames) saw(l lane, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil || len(d.of) >= maxLocks {
		d.of = map[lane]string{}
	}
	if delete(d.of, l); name != "" {
		d.of[l] = name
	}
}

// DoorName is what an identity saw a lock called when Doordeck was last asked about it, "" where it was not since the
// gateway was started. Doordeck is not asked.
func (i *Identities) DoorName(identity, lock string) string {
	i.names.mu.Lock()
	defer i.names.mu.Unlock()
	return i.names.of[lane{identity, strings.ToLower(lock)}]
}

func (i *Identities) sawDoor(l lane, name string) { i.names.saw(l, name) }
