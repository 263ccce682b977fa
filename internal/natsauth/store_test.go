package natsauth_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/invalid"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func TestOfTwoAtOnceOneIsMinted(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		results := make(chan error, 8)
		var wg sync.WaitGroup
		for range cap(results) {
			wg.Go(func() {
				_, _, err := natsauth.New(natsauth.Config{DB: db, Log: quiet}).Mint(t.Context(), hears, time.Time{})
				results <- err
			})
		}
		wg.Wait()
		close(results)
		minted := 0
		for err := range results {
			if err == nil {
				minted++
			} else if !errors.Is(err, natsauth.ErrExists) {
				t.Error(err)
			}
		}
		if minted != 1 {
			t.Errorf("%d were minted", minted)
		}
	})
}

func TestListIsPaged(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := natsauth.New(natsauth.Config{DB: db, Log: quiet})
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			_, _, err := c.Mint(t.Context(), natsauth.Grant{Name: name, Events: []string{"*"}}, time.Time{})
			must(t, err)
		}
		visible := func(c natsauth.Credential) bool { return c.Name != "c" }
		var names []string
		for after := ""; ; {
			page, next, err := c.List(t.Context(), after, 2, visible)
			must(t, err)
			for _, p := range page {
				names = append(names, p.Name)
			}
			if after = next; next == "" {
				break
			}
		}
		if got := strings.Join(names, ""); len(got) != 4 || strings.Contains(got, "c") || strings.Count(got, "a") != 1 {
			t.Errorf("listed %s", got)
		}
		if _, _, err := c.List(t.Context(), "x", 2, visible); !invalidField(err, "after") {
			t.Errorf("a foreign cursor: %v", err)
		}
	})
}

func invalidField(err error, field string) bool {
	fault, ok := errors.AsType[*invalid.Error](err)
	return ok && fault.Field == field
}
