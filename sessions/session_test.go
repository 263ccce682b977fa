package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/vault"
	"gatehouse/sessions"
)

func TestASessionStandsForItsKey(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		id := p.key(0)
		token := p.open(id)
		key, ok, err := p.Find(t.Context(), token, true)
		if must(t, err); !ok || key.ID != id || len(key.Scopes) != 1 {
			t.Fatalf("%v %+v", ok, key)
		}
		for _, wrong := range []string{"", "x", strings.Repeat("A", 43), token.Reveal() + "A"} {
			if p.works(vault.NewSecret(wrong), true) {
				t.Errorf("%q works", wrong)
			}
		}
		must(t, p.keys.Revoke(t.Context(), id))
		if p.works(token, true) {
			t.Error("a session outlives its key")
		}
	})
}

func TestWhenASessionEnds(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		expiring, idle, busy, watched := p.open(p.key(time.Hour)), p.open("admin-token"), p.open("admin-token"), p.open("admin-token")
		p.later(61 * time.Minute)
		if p.works(expiring, true) {
			t.Error("a session outlives its key, which has expired")
		}
		if !p.works(busy, true) || !p.works(watched, false) {
			t.Error("a session ended too early")
		}
		p.later(60 * time.Minute)
		if !p.works(busy, true) || p.works(idle, true) || p.works(watched, true) {
			t.Error("nobody used it for two hours, and it works; what a page asks by itself is no use")
		}
		for range 9 {
			if p.later(time.Hour); !p.works(busy, true) {
				t.Fatal("a session that is used ended early")
			}
		}
		if p.later(time.Hour); p.works(busy, true) {
			t.Error("a session lives for ever")
		}
	})
}

func TestSessionsOfAnAdminTokenEndWithIt(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		token := p.open("admin-token")
		link, _, err := p.NewLink(t.Context(), "admin-token")
		must(t, err)
		if p.restart(adminToken); !p.works(token, true) {
			t.Error("a restart ends sessions")
		}
		p.restart("gh_another-token-of-a-test")
		if p.works(token, true) || !errors.Is(p.Usable(t.Context(), link), sessions.ErrLink) {
			t.Error("the sessions or links of one admin token are another's")
		}
	})
}

func TestSigningOut(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		id, other := p.key(0), p.open("admin-token")
		one, two, three := p.open(id), p.open(id), p.open(id)
		link, _, err := p.NewLink(t.Context(), id)
		must(t, err)
		must(t, p.End(t.Context(), one))
		must(t, p.End(t.Context(), one))
		if p.works(one, true) || !p.works(two, true) {
			t.Error("signing out ended the wrong sessions")
		}
		must(t, p.EndAll(t.Context(), id))
		if p.works(two, true) || p.works(three, true) || !p.works(other, true) || !errors.Is(p.Usable(t.Context(), link), sessions.ErrLink) {
			t.Error("signing out everywhere ended the wrong sessions")
		}
		var said []string
		must(t, p.db.Select(t.Context(), &said, `SELECT action FROM audit_log WHERE action LIKE 'session.%' OR action LIKE 'sign%' ORDER BY id`))
		want := "[session.open session.open session.open session.open sign_in_link.create session.close session.close_all]"
		if got := fmt.Sprint(said); got != want {
			t.Errorf("the audit log says %s, want %s", got, want)
		}
	})
}

func TestALinkWorksOnceForOneOfMany(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		id := p.key(0)
		link, ends, err := p.NewLink(t.Context(), id)
		must(t, err)
		if d := ends.Sub(p.now()); d > 10*time.Minute || d < 9*time.Minute {
			t.Errorf("it ends in %v", d)
		}
		must(t, p.Usable(t.Context(), link))
		var mu sync.Mutex
		var opened []vault.Secret
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				token, err := p.Redeem(t.Context(), link, sessions.Browser{})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					opened = append(opened, token)
				} else if !errors.Is(err, sessions.ErrLink) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(opened) != 1 || !p.works(opened[0], true) {
			t.Fatalf("%d sessions came of one link", len(opened))
		}
		late, _, err := p.NewLink(t.Context(), id)
		must(t, err)
		p.later(10 * time.Minute)
		if _, err := p.Redeem(t.Context(), late, sessions.Browser{}); !errors.Is(err, sessions.ErrLink) {
			t.Errorf("a link of ten minutes ago: %v", err)
		}
	})
}

func TestHowManyThereMayBe(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		id := p.key(0)
		first := p.open(id)
		for range 50 {
			p.later(time.Millisecond)
			p.open(id)
		}
		var n int
		must(t, p.db.Get(t.Context(), &n, `SELECT COUNT(*) FROM sessions`))
		if n != 50 || p.works(first, true) {
			t.Errorf("%d sessions", n)
		}
		must(t, p.db.Get(t.Context(), &n, `SELECT COUNT(*) FROM audit_log WHERE action = 'session.evict'`))
		if n != 1 {
			t.Errorf("one session was ended to make room, and the audit log says %d", n)
		}
		for range 20 {
			_, _, err := p.NewLink(t.Context(), id)
			must(t, err)
		}
		if _, _, err := p.NewLink(t.Context(), id); !errors.Is(err, sessions.ErrTooManyLinks) {
			t.Errorf("the 21st link: %v", err)
		}
	})
}

// Whoever reads the database can neither sign in nor guess at the admin token.
func TestNoTokenIsStored(t *testing.T) {
	p := newPlaceOnSQLite(t)
	token := p.open("admin-token")
	link, _, err := p.NewLink(t.Context(), "admin-token")
	must(t, err)
	var stored []string
	must(t, p.db.Select(t.Context(), &stored, `SELECT hex(token_hash) || stamp || key_id FROM sessions UNION ALL SELECT hex(token_hash) || stamp || key_id FROM sign_in_links
		UNION ALL SELECT target || actor || key_id FROM audit_log`))
	for _, s := range stored {
		for _, secret := range []string{token.Reveal(), link.Reveal(), adminToken, fmt.Sprintf("%X", token.Reveal())} {
			if strings.Contains(s, secret) {
				t.Errorf("a secret is in %s", s)
			}
		}
	}
	if len(stored) < 4 {
		t.Errorf("only %d rows were looked at", len(stored))
	}
}

// A browser has one session: signing in again ends the one that it had, also somebody else's.
func TestSigningInAgainEndsTheSessionBefore(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		id, other := p.key(0), p.key(0)
		first := p.open(id)
		second, err := p.Open(t.Context(), other, sessions.Browser{Says: "Tést\x00ing " + strings.Repeat("é", 200), Had: first})
		must(t, err)
		link, _, err := p.NewLink(t.Context(), id)
		must(t, err)
		third, err := p.Redeem(t.Context(), link, sessions.Browser{Had: second})
		must(t, err)
		if p.works(first, true) || p.works(second, true) || !p.works(third, true) {
			t.Error("a browser has more than its last session")
		}
		var said []string
		must(t, p.db.Select(t.Context(), &said, `SELECT action || ' ' || target FROM audit_log WHERE action LIKE 'session.%' ORDER BY id`))
		want := []string{
			"session.open " + id + ": with the key",
			"session.close " + id + ": its browser signed in again", "session.open " + other + ": with the key",
			"session.close " + other + ": its browser signed in again", "session.open " + id + ": with the link",
		}
		if got := strings.Join(said, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("the audit log says\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
		var browser string
		must(t, p.db.Get(t.Context(), &browser, `SELECT MAX(browser) FROM sessions`))
		if len(browser) > 200 || !utf8.ValidString(browser) {
			t.Errorf("the browser is kept as %q", browser)
		}
	})
}

func TestTheSessionsOfAKey(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		id, other := p.key(0), p.key(0)
		one := p.open(id)
		p.later(time.Minute)
		two, foreign := p.open(id), p.open(other)
		all, err := p.List(t.Context(), id)
		must(t, err)
		if len(all) != 2 || all[0].ID != sessions.ID(two) || all[1].ID != sessions.ID(one) || all[0].Way != "key" || all[0].Browser != "Testing/1.0" ||
			all[0].EndsAt.Sub(all[0].OpenedAt) != sessions.Lasts {
			t.Fatalf("%+v", all)
		}
		if err := p.EndOne(t.Context(), id, sessions.ID(foreign)); !errors.Is(err, sessions.ErrNotFound) || !p.works(foreign, true) {
			t.Errorf("another key's session: %v", err)
		}
		must(t, p.EndOne(t.Context(), id, sessions.ID(one)))
		if p.works(one, true) || !p.works(two, true) {
			t.Error("the wrong session ended")
		}
		if err := p.EndOne(t.Context(), id, sessions.ID(one)); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("once more: %v", err)
		}
		p.later(2 * time.Hour)
		if all, err = p.List(t.Context(), id); len(all) != 0 || err != nil {
			t.Errorf("those that are over are listed: %+v %v", all, err)
		}
	})
}

// Who only reads is not kept out, nor kept waiting, by a log that stores nothing.
func TestASessionWorksWhileNothingIsStored(t *testing.T) {
	each(t, func(t *testing.T, p *place) {
		token := p.open("admin-token")
		stuck, err := events.OpenLog(t.Context(), events.LogConfig{DB: p.db, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
		must(t, err) // nobody runs it
		p.Sessions = sessions.New(sessions.Config{DB: p.db, Events: stuck, Keys: p.keys, Now: p.now})
		p.later(2 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, ok, err := p.Find(ctx, token, true); !ok || err != nil {
			t.Errorf("it works: %v; %v", ok, err)
		}
	})
}
