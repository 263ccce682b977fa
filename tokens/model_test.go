package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/tokens"
)

// world is DoorFlow in the model: it rotates at once, and does to the next refresh what fault says.
type world struct {
	issued  int
	refresh string // the refresh token that works, "" when none does
	access  string
	fault   string
}

func (w *world) issue(expires time.Time) tokens.Pair {
	w.issued++
	p := pair(fmt.Sprint(w.issued), expires)
	w.refresh, w.access = p.Refresh.Reveal(), p.Access.Reveal()
	return p
}

// model is one account of two Keepers on one database. lost tells whether DoorFlow has ended the stored
// pair behind their backs.
type model struct {
	*world
	account string
	status  string // as it should be; reauthorize once the loss has been noticed
	lost    bool
	stored  string // the access token that was stored last
}

// TestRefreshMachineInAnyOrder does things in random order on two Keepers and checks after each: a token
// that is given out is the stored one; a connection is only given up when its pair is really dead; it
// always recovers otherwise; a disconnected one stays so until it is connected anew.
func TestRefreshMachineInAnyOrder(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		s := &script{}
		first := newProcess(t, db, s, "")
		second := tokens.New(tokens.Config{
			DB: db, Events: first.events, Vault: first.vault, OAuth: s, APIURL: "https://api.doorflow.test", WantedScopes: scopes,
			Log: discard, Now: first.now,
		})
		run := 0
		rapid.Check(t, func(r *rapid.T) {
			run++
			m := &model{world: &world{}, account: fmt.Sprint("account", run), status: tokens.StatusDisconnected}
			s.on(func(_ context.Context, refresh string) (tokens.Pair, error) { return m.answer(refresh, first.now()) })
			r.Repeat(m.actions(first, []*tokens.Keeper{first.Keeper, second}))
		})
	})
}

func (m *model) answer(refresh string, now time.Time) (tokens.Pair, error) {
	fault := m.fault
	m.fault = ""
	switch fault {
	case "away":
		return tokens.Pair{}, errAway
	case "client":
		return tokens.Pair{}, errClient
	}
	if refresh == "" || refresh != m.refresh {
		return tokens.Pair{}, errGone
	}
	p := m.issue(now.Add(time.Hour))
	if fault == "lost" {
		m.lost = true
		return tokens.Pair{}, errAway
	}
	m.stored = m.access
	return p, nil
}

func (m *model) actions(p *process, keepers []*tokens.Keeper) map[string]func(*rapid.T) {
	one := func(r *rapid.T) *tokens.Keeper { return rapid.SampledFrom(keepers).Draw(r, "keeper") }
	ctx := context.Background()
	return map[string]func(*rapid.T){
		"fault": func(r *rapid.T) {
			m.fault = rapid.SampledFrom([]string{"", "away", "client", "lost"}).Draw(r, "fault")
		},
		"revoked at DoorFlow": func(*rapid.T) { m.refresh, m.lost = "", true },
		"time": func(r *rapid.T) {
			p.advance(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 2 * time.Hour}).Draw(r, "passes"))
		},
		"connect": func(r *rapid.T) {
			g := m.issue(p.now().Add(time.Hour))
			err := one(r).Put(ctx, tokens.Grant{Account: m.account, Access: g.Access, Refresh: g.Refresh, ExpiresAt: g.ExpiresAt, Scopes: scopes})
			if err != nil {
				r.Fatal(err)
			}
			m.status, m.lost, m.stored = tokens.StatusActive, false, m.access
		},
		"disconnect": func(r *rapid.T) {
			if _, err := one(r).Disconnect(ctx, m.account); err != nil && !errors.Is(err, tokens.ErrNotFound) {
				r.Fatal(err)
			}
			m.status, m.refresh = tokens.StatusDisconnected, ""
		},
		"token": func(r *rapid.T) {
			token, err := one(r).Token(ctx, m.account)
			m.check(r, token, err)
		},
		"rejected": func(r *rapid.T) {
			used := m.stored
			token, err := one(r).Rejected(ctx, m.account, vault.NewSecret(used))
			m.check(r, token, err)
			if err == nil && token.Reveal() == used {
				r.Fatal("the refused token was given out again")
			}
		},
		"patience": func(r *rapid.T) {
			m.fault = ""
			p.advance(2 * time.Hour)
			for _, k := range keepers {
				token, err := k.Token(ctx, m.account)
				m.check(r, token, err)
				if m.status == tokens.StatusActive && (err != nil || m.lost) {
					r.Fatalf("no token after waiting (lost: %v): %v", m.lost, err)
				}
			}
		},
	}
}

func (m *model) check(r *rapid.T, token vault.Secret, err error) {
	switch {
	case m.status == tokens.StatusDisconnected:
		if !errors.Is(err, tokens.ErrNotConnected) {
			r.Fatalf("disconnected, and got error %v", err)
		}
	case errors.Is(err, tokens.ErrNeedsReconnect):
		if !m.lost {
			r.Fatal("given up although the stored pair is good")
		}
		m.status = tokens.StatusReauthorize
	case m.status == tokens.StatusReauthorize:
		r.Fatalf("was given up and came back by itself: %v", err)
	case err != nil:
		if !errors.Is(err, tokens.ErrUnavailable) {
			r.Fatal(err)
		}
	case token.Reveal() != m.stored:
		r.Fatalf("got token %q, stored is %q", token.Reveal(), m.stored)
	}
}
