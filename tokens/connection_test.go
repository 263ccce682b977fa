package tokens_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/tokens"
)

func TestReconnectingNeverTakesScopesAway(t *testing.T) {
	tests := []struct {
		name    string
		before  string // status
		granted []string
		refused bool
	}{
		{"the same", tokens.StatusActive, scopes, false},
		{"more", tokens.StatusActive, append(slices.Clone(scopes), "account.sync"), false},
		{"one less", tokens.StatusActive, scopes[1:], true},
		{"reading only, where writing was granted", tokens.StatusActive, []string{scopes[0], scopes[1], "account.person.readonly"}, true},
		{"less, after it was lost", tokens.StatusReauthorize, scopes[1:], false},
		{"less, after it was disconnected", tokens.StatusDisconnected, scopes[1:], false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
				s := &script{}
				s.on(func(context.Context, string) (tokens.Pair, error) { return tokens.Pair{}, errGone })
				p := newProcess(t, db, s, "")
				p.connect(t, "access-1", "refresh-1", time.Hour)
				switch test.before {
				case tokens.StatusReauthorize:
					_, err := p.Rejected(t.Context(), account, vault.NewSecret("access-1"))
					wantError(t, err, tokens.ErrNeedsReconnect)
				case tokens.StatusDisconnected:
					if _, err := p.Disconnect(t.Context(), account); err != nil {
						t.Fatal(err)
					}
				}
				also := 0
				err := p.Put(t.Context(), tokens.Grant{
					Account: account, Access: vault.NewSecret("access-2"), Refresh: vault.NewSecret("refresh-2"),
					ExpiresAt: p.now().Add(time.Hour), Scopes: test.granted,
				}, func(context.Context, *events.Tx) error { also++; return nil })
				if errors.Is(err, tokens.ErrFewerScopes) != test.refused || (err != nil) != test.refused || (also == 0) != test.refused {
					t.Fatalf("error %v, run along %d times", err, also)
				}
				expected := "access-2"
				if test.refused {
					expected = "access-1"
				}
				token, err := p.Token(t.Context(), account)
				want(t, token, err, expected)
			})
		})
	}
}

func TestWhatGoesAlongCanUndoAConnection(t *testing.T) {
	p := newProcess(t, sqldbtest.SQLite(t), &script{}, "")
	spent := errors.New("spent")
	err := p.Put(t.Context(), tokens.Grant{Account: account, Access: vault.NewSecret("a"), Refresh: vault.NewSecret("r")},
		func(context.Context, *events.Tx) error { return spent })
	wantError(t, err, spent)
	_, err = p.Get(t.Context(), account)
	wantError(t, err, tokens.ErrNotFound)
	if got := p.said(t); got != "" {
		t.Fatalf("said %q", got)
	}
	_, err = p.Token(t.Context(), account)
	wantError(t, err, tokens.ErrNotConnected)
}

func TestDisconnectRevokesAndWipes(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		sim := newCloud(t, doorflowsim.Options{})
		p := newProcess(t, db, sim.client, "")
		access, refresh := sim.Grant(account, scopes...)
		p.connect(t, access, refresh, time.Hour)
		for range 2 { // the second time it is done already
			if revoked, err := p.Disconnect(t.Context(), account); !revoked || err != nil {
				t.Fatal(revoked, err)
			}
		}
		if sim.LiveRefreshToken(account) != "" {
			t.Error("the token still works at DoorFlow")
		}
		var left, generation int
		err := errors.Join(
			db.Get(t.Context(), &left, `SELECT COUNT(*) FROM connections WHERE access_token IS NOT NULL OR refresh_token IS NOT NULL OR revoke_token IS NOT NULL`),
			db.Get(t.Context(), &generation, `SELECT generation FROM connections`))
		if err != nil || left != 0 || generation != 1 {
			t.Errorf("%d rows with tokens, generation %d, %v", left, generation, err)
		}
		if got := p.said(t); got != "active disconnected" {
			t.Errorf("said %q", got)
		}
		_, err = p.Token(t.Context(), account)
		wantError(t, err, tokens.ErrNotConnected)
	})
	p := newProcess(t, sqldbtest.SQLite(t), &script{}, "")
	_, err := p.Disconnect(t.Context(), "nobody")
	wantError(t, err, tokens.ErrNotFound)
}

func TestRevocationIsTriedForThreeDays(t *testing.T) {
	for _, recovers := range []bool{true, false} {
		s := &script{revoke: func(string) error { return errAway }}
		db := sqldbtest.SQLite(t)
		p := newProcess(t, db, s, "")
		p.connect(t, "access-1", "refresh-1", time.Hour)
		if revoked, err := p.Disconnect(t.Context(), account); revoked || err != nil {
			t.Fatal(revoked, err)
		}
		for range 71 {
			p.advance(time.Hour)
			if err := p.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		held := func() (n int) {
			if err := db.Get(t.Context(), &n, `SELECT COUNT(*) FROM connections WHERE revoke_token IS NOT NULL`); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if held() != 1 {
			t.Fatal("gave up too early")
		}
		if recovers {
			s.revoke = nil
		}
		p.advance(2 * time.Hour)
		if err := p.Sweep(t.Context()); err != nil || held() != 0 {
			t.Fatal(err, held())
		}
		if got := s.wasRevoked() == "refresh-1"; got != recovers {
			t.Fatalf("revoked: %v, want %v", got, recovers)
		}
	}
}

func TestPendingConnections(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newProcess(t, db, &script{}, "")
		if err := p.Pending(t.Context(), account); err != nil || p.status(t) != tokens.StatusPending {
			t.Fatal(err)
		}
		_, err := p.Token(t.Context(), account)
		wantError(t, err, tokens.ErrNotConnected)
		p.advance(11 * time.Minute)
		if err := p.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = p.Get(t.Context(), account)
		wantError(t, err, tokens.ErrNotFound)
		p.connect(t, "access-1", "refresh-1", time.Hour)
		if err := p.Pending(t.Context(), account); err != nil || p.status(t) != tokens.StatusActive {
			t.Fatal("pending replaced an active connection", err)
		}
		if got := p.said(t); got != "active" {
			t.Fatalf("said %q", got)
		}
	})
}

func TestForbiddenIsNotedOnceAndForgottenOnReconnecting(t *testing.T) {
	p := newProcess(t, sqldbtest.SQLite(t), &script{}, "")
	p.connect(t, "access-1", "refresh-1", time.Hour)
	for _, what := range []string{"GET /api/3/events", "GET /api/3/people", "GET /api/3/events"} {
		if err := p.Forbidden(t.Context(), account, what); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := p.Get(t.Context(), account)
	if diff := cmp.Diff([]string{"GET /api/3/events", "GET /api/3/people"}, c.Forbidden); diff != "" {
		t.Fatal(diff)
	}
	p.connect(t, "access-2", "refresh-2", time.Hour)
	if c, _ = p.Get(t.Context(), account); len(c.Forbidden) != 0 {
		t.Fatal(c.Forbidden)
	}
}

func TestHandlers(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newProcess(t, db, &script{}, "")
		for _, a := range []string{"a", "b", "c"} {
			err := p.Put(t.Context(), tokens.Grant{Account: a, Access: vault.NewSecret("at"), Refresh: vault.NewSecret("rt"), Scopes: scopes[:2]})
			if err != nil {
				t.Fatal(err)
			}
			p.advance(time.Second)
		}
		var held []string
		h := &tokens.Handlers{Keeper: p.Keeper, Accounts: func(echo.Context) []string { return held }}
		call := func(handler echo.HandlerFunc, method, target, account string) (map[string]any, error) {
			rec := httptest.NewRecorder()
			c := echo.New().NewContext(httptest.NewRequest(method, target, nil), rec)
			c.SetParamNames("account")
			c.SetParamValues(account)
			if err := handler(c); err != nil {
				return nil, err
			}
			var body map[string]any
			return body, json.Unmarshal(rec.Body.Bytes(), &body)
		}
		list := func(target string) (accounts string, next string) {
			body, err := call(h.List, http.MethodGet, target, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range body["items"].([]any) {
				accounts += item.(map[string]any)["account"].(string)
			}
			next, _ = body["next"].(string)
			return accounts, next
		}
		first, next := list("/v1/connections?limit=2")
		rest, end := list("/v1/connections?limit=2&after=" + next)
		if first != "cb" || rest != "a" || end != "" {
			t.Fatalf("pages %q %q, then %q", first, rest, end)
		}
		const place = `INSERT INTO catchup (account, since_at, watermark, looked_at, silent_since) VALUES ('a', 0, 0, 1767225600000, 1767139200000)`
		if _, err := db.Writer().ExecContext(t.Context(), place); err != nil {
			t.Fatal(err)
		}
		for account, want := range map[string][2]any{"a": {"2026-01-01T00:00:00Z", "2025-12-31T00:00:00Z"}, "b": {nil, nil}} {
			body, err := call(h.Get, http.MethodGet, "/", account)
			if err != nil || body["caught_up_at"] != want[0] || body["silent_since"] != want[1] {
				t.Errorf("%s: %v %v", account, body, err)
			}
		}
		held = []string{"b"}
		if got, _ := list("/v1/connections"); got != "b" {
			t.Fatalf("a key for b sees %q", got)
		}
		if _, err := call(h.Get, http.MethodGet, "/", "a"); !errors.Is(err, tokens.ErrNotFound) {
			t.Fatal(err)
		}
		body, err := call(h.Get, http.MethodGet, "/", "b")
		if err != nil || body["status"] != "active" || body["refreshed_at"] != nil || body["missing_scopes"].([]any)[0] != "account.person" {
			t.Fatal(body, err)
		}
		body, err = call(h.Delete, http.MethodDelete, "/", "b")
		if err != nil || body["status"] != "disconnected" || body["revoked"] != true {
			t.Fatal(body, err)
		}
		for _, target := range []string{"/?limit=0", "/?limit=501", "/?limit=x", "/?after=x", "/?after=MSAA", "/?after=MSD_"} { // "1 \x00", "1 \xff"
			if _, err := call(h.List, http.MethodGet, target, ""); err == nil {
				t.Errorf("%s was accepted", target)
			} else if _, ok := errors.AsType[*invalid.Error](err); !ok {
				t.Errorf("%s: %v", target, err)
			}
		}
	})
}
