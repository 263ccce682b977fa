package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse/internal/vault"
)

// The states of a key. One that is `dropped` was taken out of the key set; one that is `unknown` is in a
// replica's file and no rotation has been told of it.
const (
	KeyCurrent = "current"
	KeyNew     = "new"
	KeyOld     = "old"
	KeyDropped = "dropped"
	KeyUnknown = "unknown"
)

// Status is how the keys stand. Nothing secret is in it: keys are named by their ids.
type Status struct {
	// Current is the key that seals.
	Current  uint32    `json:"current"`
	Keys     []Key     `json:"keys"`
	Sealed   []Sealed  `json:"sealed"`
	Replicas []Replica `json:"replicas"`
	// Rotation is the one under way, or else the last one.
	Rotation *Rotation `json:"rotation,omitempty"`
}

// Key is one key of the set, or one that was in it.
type Key struct {
	ID    uint32 `json:"id"`
	State string `json:"state"`
	// CreatedAt is zero for a key that no rotation of this database made.
	CreatedAt time.Time `json:"created_at,omitzero"`
	// CurrentSince is when it began to seal.
	CurrentSince time.Time `json:"current_since,omitzero"`
	DroppedAt    time.Time `json:"dropped_at,omitzero"`
	// Values is how many values are sealed with it.
	Values int64 `json:"values"`
}

// Sealed is how many values of a column a key has sealed. A column without values has a line with key 0.
type Sealed struct {
	Table  string `json:"table"`
	Field  string `json:"field"`
	Key    uint32 `json:"key"`
	Values int64  `json:"values"`
}

// Replica is a live process and what it holds.
type Replica struct {
	Name  string   `json:"name"`
	Keys  []uint32 `json:"keys"`
	Seals uint32   `json:"seals"`
	// Replaceable tells whether the gateway itself may replace the key set file there.
	Replaceable bool   `json:"replaceable"`
	Error       string `json:"error,omitempty"`
}

// Rotation is how far a rotation has come.
type Rotation struct {
	State   string `json:"state"`
	NewKey  uint32 `json:"new_key,omitempty"`
	DropOld bool   `json:"drop_old"`
	// Done of Total values have been sealed again.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// WaitsFor says what is missing, often what the operator has to do.
	WaitsFor   string    `json:"waits_for,omitempty"`
	Error      string    `json:"error,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

// Open tells whether the rotation is under way.
func (r *Rotation) Open() bool { return r != nil && r.State != StateDone }

// Status reads how the keys stand.
func (r *Ring) Status(ctx context.Context) (Status, error) {
	s := Status{Keys: []Key{}, Sealed: []Sealed{}, Replicas: []Replica{}}
	// The rotation comes first: what it says is done shows in all that is read after it.
	rot, found, err := r.last(ctx)
	if err != nil {
		return s, err
	}
	counts, err := r.counts(ctx)
	if err != nil {
		return s, err
	}
	known, err := r.known(ctx)
	if err != nil {
		return s, err
	}
	all, err := r.replicas(ctx, r.DB)
	if err != nil {
		return s, err
	}
	if found {
		s.Rotation = rot.shown()
	}
	for _, p := range all {
		s.Replicas = append(s.Replicas, Replica{Name: p.Name, Keys: p.ids(), Seals: p.Seals, Replaceable: p.Replaceable, Error: p.Error})
		for _, id := range p.ids() {
			if !slices.ContainsFunc(known, func(k knownKey) bool { return k.ID == id }) {
				known = append(known, knownKey{ID: id})
			}
		}
	}
	for _, k := range known {
		if k.Current {
			s.Current = k.ID
		}
		s.Keys = append(s.Keys, k.shown(counts))
	}
	s.Sealed = sealed(r.Columns, counts)
	return s, nil
}

// last is the rotation that is open, or else the one that began last.
func (r *Ring) last(ctx context.Context) (rot rotation, found bool, err error) {
	err = r.DB.Get(ctx, &rot, `SELECT `+rotationColumns+` FROM key_rotations ORDER BY open DESC, id DESC LIMIT 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return rot, false, nil
	}
	if err != nil {
		return rot, false, fmt.Errorf("reading the rotation: %w", err)
	}
	return rot, true, nil
}

func (k knownKey) shown(counts []count) Key {
	key := Key{ID: k.ID, State: KeyUnknown, CreatedAt: when(k.CreatedAt), CurrentSince: when(k.CurrentAt), DroppedAt: when(k.DroppedAt)}
	switch {
	case k.Current:
		key.State = KeyCurrent
	case k.DroppedAt > 0:
		key.State = KeyDropped
	case k.old():
		key.State = KeyOld
	case k.CreatedAt > 0:
		key.State = KeyNew
	}
	for _, c := range counts {
		if c.Key == k.ID {
			key.Values += c.N
		}
	}
	return key
}

func sealed(columns []vault.Column, counts []count) []Sealed {
	var all []Sealed
	for _, c := range columns {
		before := len(all)
		for _, n := range counts {
			if n.Table == c.Table && n.Field == c.Field {
				all = append(all, Sealed{n.Table, n.Field, n.Key, n.N})
			}
		}
		if len(all) == before {
			all = append(all, Sealed{Table: c.Table, Field: c.Field})
		}
	}
	return all
}

func (rot rotation) shown() *Rotation {
	return &Rotation{
		State: rot.State, NewKey: rot.NewKey, DropOld: rot.DropOld, Done: rot.Done, Total: rot.Total, WaitsFor: rot.WaitsFor, Error: rot.Error,
		StartedAt: when(rot.StartedAt), UpdatedAt: when(rot.UpdatedAt), FinishedAt: when(rot.FinishedAt),
	}
}

func when(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
