package sharing

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
)

// doorNames keeps what locks are called, as each identity saw them last: for people, who know no lock by its id. What is in
// memory is as it was stored here last, or found.
type doorNames struct {
	db *sqldb.DB
	mu sync.Mutex
	of map[lane]string
}

const (
	// nameFor bounds how long a name is stored or looked for: nothing waits for one.
	nameFor = 2 * time.Second
	// maxDoorName is what is kept of a name, in bytes.
	maxDoorName = 256
)

func (d *doorNames) known(l lane) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name, ok := d.of[l]
	return name, ok
}

func (d *doorNames) remember(l lane, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil || len(d.of) >= maxLocks {
		d.of = map[lane]string{}
	}
	d.of[l] = name
}

// forget forgets the doors of an identity.
func (d *doorNames) forget(identity string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for l := range d.of {
		if l.identity == identity {
			delete(d.of, l)
		}
	}
}

// saw stores a lock's name where it is a new one; "" says that the identity sees it no more. One that cannot be stored is
// stored when it is seen again.
func (d *doorNames) saw(ctx context.Context, l lane, name string) {
	if len(name) > maxDoorName {
		name = strings.ToValidUTF8(name[:maxDoorName], "")
	}
	if known, ok := d.known(l); ok && known == name {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nameFor)
	defer cancel()
	query, args := `DELETE FROM door_names WHERE identity = ? AND lock = ?`, []any{l.identity, l.lock}
	if name != "" {
		query = `INSERT INTO door_names (identity, lock, name) SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT)
			WHERE EXISTS (SELECT 1 FROM identities WHERE name = ? AND deleted_at = 0) ON CONFLICT (identity, lock) DO UPDATE SET name = excluded.name`
		args = append(args, name, l.identity)
	}
	if _, err := d.db.Writer().ExecContext(ctx, d.db.Writer().Rebind(query), args...); err == nil {
		d.remember(l, name)
	}
}

// forgetDoors is part of an identity's end.
func forgetDoors(ctx context.Context, tx *events.Tx, identity string) error {
	_, err := tx.Exec(ctx, `DELETE FROM door_names WHERE identity = ?`, identity)
	return err
}

// DoorName is what an identity saw a lock called when Doordeck was last asked about it, "" where it never was. Doordeck is not
// asked.
func (i *Identities) DoorName(ctx context.Context, identity, lock string) string {
	l := lane{identity, strings.ToLower(lock)}
	if name, ok := i.names.known(l); ok {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, nameFor)
	defer cancel()
	var name string
	err := i.db.Get(ctx, &name, `SELECT name FROM door_names WHERE identity = ? AND lock = ?`, l.identity, l.lock)
	if err != nil {
		if !errors.Is(err, sql.ErrNoRows) {
			i.log.Debug("looking for what a door is called", "identity", identity, "lock", lock, "error", err)
		}
		return ""
	}
	i.names.remember(l, name)
	return name
}

func (i *Identities) sawDoor(ctx context.Context, l lane, name string) { i.names.saw(ctx, l, name) }
