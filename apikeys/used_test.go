package apikeys_test

import (
	"errors"
	"testing"
	"time"

	"gatehouse/apikeys"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func TestWhenAKeyWasUsedLast(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPlace(t, db)
		k := p.open(token)
		made, secret := create(t, k, reader("reception"))
		used := func(k *apikeys.Keys) time.Time {
			t.Helper()
			page, _, err := k.List(t.Context(), "", 10)
			must(t, err)
			one, err := k.Get(t.Context(), made.ID)
			must(t, err)
			if !one.UsedAt.Equal(page[0].UsedAt) {
				t.Errorf("the list says %v, the key itself %v", page[0].UsedAt, one.UsedAt)
			}
			return one.UsedAt
		}
		if at := used(k); !at.IsZero() {
			t.Errorf("nobody used it, and it says %v", at)
		}
		if !works(t, k, secret) {
			t.Fatal("it does not work")
		}
		at := used(k)
		if d := p.now().Sub(at); at.IsZero() || d > time.Minute {
			t.Errorf("it was used %v ago", d)
		}
		if another := p.open(token); !used(another).IsZero() {
			t.Error("another replica knows before it is stored")
		}
		must(t, k.StoreUses(t.Context()))
		if another := p.open(token); !used(another).Equal(at) {
			t.Errorf("stored is %v, want %v", used(another), at)
		}
		p.offset.Add(int64(time.Hour))
		if _, ok, err := k.Again(t.Context(), made.ID, ""); !ok || err != nil { // a session's
			t.Fatal(ok, err)
		}
		if later := used(k); later.Sub(at) < time.Hour {
			t.Errorf("a session used it, and it says %v", later)
		}
		must(t, k.Revoke(t.Context(), made.ID))
		must(t, k.StoreUses(t.Context()))
		if _, err := k.Get(t.Context(), made.ID); !errors.Is(err, apikeys.ErrNotFound) {
			t.Errorf("a revoked key: %v", err)
		}
	})
}
