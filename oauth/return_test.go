package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/tokens"
)

// returned walks to the app and returns what its URL got.
func (b *browser) returned(t *testing.T, link, decision, account string) url.Values {
	t.Helper()
	p := b.walk(link, decision, account)
	u, err := url.Parse(p.to)
	if err != nil || p.status != http.StatusFound || !strings.HasPrefix(p.to, returnURL+"&") {
		t.Fatal(p.status, p.to, p.body)
	}
	if u.Query().Get("link") != link || u.Query().Get("tenant") != "7" {
		t.Fatal(p.to)
	}
	return u.Query()
}

func TestAppCompletesTheConnection(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		link, b := g.link(`{"return_url":"`+returnURL+`"}`), g.browser()
		complete := func(code string) (int, map[string]any) {
			return g.api(http.MethodPost, "/v1/connect-links/"+link+"/complete", `{"code":"`+code+`"}`)
		}
		if status, reply := complete("early"); status == http.StatusOK {
			t.Fatal("completed before anybody agreed", reply)
		}
		code := b.returned(t, link, "allow", account).Get("code")
		if len(code) < 40 || g.state(link) != "pending" || g.status(t, account) != tokens.StatusPending {
			t.Fatal(code, g.state(link), g.status(t, account))
		}
		if p := b.get(g.URL + "/oauth/start/" + link); p.status != http.StatusGone {
			t.Error("a pending link opens again:", p.status)
		}
		if status, reply := complete(code + "x"); status != http.StatusTeapot || g.state(link) != "pending" {
			t.Fatal(status, reply)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[int]int{}
		for range 10 {
			wg.Go(func() {
				status, _ := complete(code)
				mu.Lock()
				defer mu.Unlock()
				got[status]++
			})
		}
		wg.Wait()
		if got[http.StatusOK] != 1 || got[http.StatusTeapot] != 9 {
			t.Fatal(got)
		}
		if g.state(link) != "connected" || g.status(t, account) != tokens.StatusActive || g.sim.LiveRefreshToken(account) == "" {
			t.Fatal(g.state(link), g.status(t, account))
		}
		var kept int
		must(t, db.Get(t.Context(), &kept, `SELECT COUNT(*) FROM connect_links WHERE access_token IS NOT NULL OR refresh_token IS NOT NULL OR code_hash IS NOT NULL`))
		if kept != 0 {
			t.Error("the link still holds tokens or its code")
		}
	})
}

func TestAppIsToldOfDenialAndFailure(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{"return_url":"`+returnURL+`","account":"`+account+`"}`), g.browser()
	if q := b.returned(t, link, "deny", account); q.Get("status") != "denied" || q.Has("code") || q.Has("error") {
		t.Error(q)
	}
	if q := b.returned(t, link, "allow", doorflowsim.AccountB); q.Get("status") != "failed" || q.Get("error") != "account_mismatch" || q.Has("code") {
		t.Error(q)
	}
	if q := b.returned(t, link, "allow", account); q.Get("code") == "" || q.Has("status") {
		t.Error(q)
	}
}

func TestPendingLinkIsRevokedAfterTenMinutes(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		link, b := g.link(`{"return_url":"`+returnURL+`"}`), g.browser()
		code := b.returned(t, link, "allow", account).Get("code")
		g.advance(9 * time.Minute)
		must(t, g.connect.Sweep(t.Context()))
		if g.state(link) != "pending" {
			t.Fatal(g.state(link))
		}
		g.advance(2 * time.Minute)
		if status, reply := g.api(http.MethodPost, "/v1/connect-links/"+link+"/complete", `{"code":"`+code+`"}`); status != http.StatusTeapot {
			t.Fatal("completed after eleven minutes", reply)
		}
		must(t, g.connect.Sweep(t.Context()))
		must(t, g.keeper.Sweep(t.Context()))
		if g.state(link) != "expired" || g.sim.LiveRefreshToken(account) != "" || g.status(t, account) != tokens.ErrNotFound.Error() {
			t.Fatal(g.state(link), g.status(t, account), "or the tokens live on")
		}
		var kept int
		must(t, db.Get(t.Context(), &kept, `SELECT COUNT(*) FROM connect_links WHERE access_token IS NOT NULL OR refresh_token IS NOT NULL`))
		if kept != 0 {
			t.Error("the link still holds tokens")
		}
		g.advance(8 * 24 * time.Hour)
		must(t, g.connect.Sweep(t.Context()))
		if status, _ := g.api(http.MethodGet, "/v1/connect-links/"+link, ""); status != http.StatusTeapot {
			t.Error("an old link is kept for ever")
		}
	})
}

// Whoever disconnects an account while an app has yet to complete it means that too.
func TestDisconnectEndsAPendingLink(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		link, b := g.link(`{"return_url":"`+returnURL+`"}`), g.browser()
		code := b.returned(t, link, "allow", account).Get("code")
		if _, err := g.keeper.Disconnect(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		if status, reply := g.api(http.MethodPost, "/v1/connect-links/"+link+"/complete", `{"code":"`+code+`"}`); status != http.StatusTeapot {
			t.Fatal("completed after it was disconnected", reply)
		}
		must(t, g.connect.Sweep(t.Context()))
		if g.state(link) != "expired" || g.sim.LiveRefreshToken(account) != "" {
			t.Fatal(g.state(link), "or the tokens live on")
		}
	})
}

func TestLinkRequests(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	tests := []struct{ name, body, field string }{
		{"empty", ``, ""},
		{"empty object", `{}`, ""},
		{"all", `{"return_url":"http://localhost:3000/x","reference":"Zoë 7","account":"hX9aQ2"}`, ""},
		{"origin in other case, default port", `{"return_url":"HTTPS://App.Example.Test:443/x"}`, ""},
		{"unknown field", `{"return":"x"}`, "return"},
		{"wrong type", `{"reference":7}`, "reference"},
		{"two objects", `{}{}`, "body"},
		{"not JSON", `x`, "body"},
		{"too large", `{"reference":"` + strings.Repeat("x", 17<<10) + `"}`, "body"},
		{"long reference", `{"reference":"` + strings.Repeat("x", 201) + `"}`, "reference"},
		{"control character", `{"reference":"a\u0007"}`, "reference"},
		{"text that runs backwards", `{"reference":"a\u202eb"}`, "reference"},
		{"long account", `{"account":"` + strings.Repeat("x", 65) + `"}`, "account"},
		{"other origin", `{"return_url":"https://evil.test/"}`, "return_url"},
		{"other scheme", `{"return_url":"http://app.example.test/"}`, "return_url"},
		{"other port", `{"return_url":"https://app.example.test:8443/"}`, "return_url"},
		{"longer host", `{"return_url":"https://app.example.test.evil.test/"}`, "return_url"},
		{"credentials", `{"return_url":"https://app.example.test@evil.test/"}`, "return_url"},
		{"own credentials", `{"return_url":"https://u@app.example.test/"}`, "return_url"},
		{"fragment", `{"return_url":"https://app.example.test/#x"}`, "return_url"},
		{"empty fragment", `{"return_url":"https://app.example.test/#"}`, "return_url"},
		{"relative", `{"return_url":"/x"}`, "return_url"},
		{"script", `{"return_url":"javascript:alert(1)"}`, "return_url"},
		{"backslash", `{"return_url":"https://app.example.test\\@evil.test/"}`, "return_url"},
		{"code in the query", `{"return_url":"https://app.example.test/?code=1"}`, "return_url"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, reply := g.api(http.MethodPost, "/v1/connect-links", test.body)
			if test.field == "" {
				if status != http.StatusCreated || reply["url"] != g.URL+"/oauth/start/"+reply["id"].(string) || reply["status"] != "open" {
					t.Fatal(status, reply)
				}
				return
			}
			if status != http.StatusTeapot || !strings.HasPrefix(reply["error"].(string), test.field+": ") {
				t.Fatal(status, reply)
			}
		})
	}
}

func TestCallersAreHeldToTheirAccounts(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	foreign := g.link(`{"account":"` + doorflowsim.AccountB + `"}`)
	g.held.Store(&[]string{account})
	own := g.link(`{"account":"` + account + `"}`)
	for _, body := range []string{`{}`, `{"account":"` + doorflowsim.AccountB + `"}`} {
		if status, reply := g.api(http.MethodPost, "/v1/connect-links", body); status != http.StatusTeapot {
			t.Error(reply)
		}
	}
	if g.state(own) != "open" {
		t.Error(g.state(own))
	}
	if status, reply := g.api(http.MethodGet, "/v1/connect-links/"+foreign, ""); status != http.StatusTeapot {
		t.Error(reply)
	}
}

func TestUnusedTokensAreRevokedInTheEnd(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{"account":"`+account+`"}`), g.browser()
	g.road.close("/oauth/revoke")
	if p := b.walk(link, "allow", doorflowsim.AccountB); p.status != http.StatusConflict || g.sim.LiveRefreshToken(doorflowsim.AccountB) == "" {
		t.Fatal(p.status)
	}
	if p := b.walk(link, "allow", account); p.status != http.StatusOK {
		t.Fatal(p.status, p.body)
	}
	if err := g.connect.Sweep(t.Context()); err == nil {
		t.Error("a failed revocation was not reported")
	}
	g.road.close("")
	g.advance(time.Hour)
	must(t, g.connect.Sweep(t.Context()))
	if g.sim.LiveRefreshToken(doorflowsim.AccountB) != "" || g.sim.LiveRefreshToken(account) == "" {
		t.Fatal("the wrong tokens live")
	}
}

func TestTokenInfoFailsAndTheTokensAreRevoked(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{}`), g.browser()
	g.road.close("/oauth/token/info")
	if p := b.walk(link, "allow", account); p.status != http.StatusBadGateway || g.state(link) != "failed doorflow_unavailable" {
		t.Fatal(p.status, g.state(link))
	}
	if g.sim.LiveRefreshToken(account) != "" {
		t.Fatal("the tokens live on")
	}
}

func TestDisconnectRevokesWithBasic(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	if p := g.browser().walk(g.link(`{}`), "allow", account); p.status != http.StatusOK {
		t.Fatal(p.status)
	}
	if revoked, err := g.keeper.Disconnect(t.Context(), account); !revoked || err != nil || g.sim.LiveRefreshToken(account) != "" {
		t.Fatal(revoked, err)
	}
}
