package doorflowsim_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
)

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func TestTokenErrors(t *testing.T) {
	const refresh = "stands for the live one"
	for _, test := range []struct {
		name   string
		form   url.Values
		auth   string
		status int
		code   string // "" for success
	}{
		{"Body", tokenForm("grant_type", "refresh_token", "refresh_token", refresh), "", 200, ""},
		{"Basic", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}, basic(clientID, clientSecret), 200, ""},
		{"ErrBoth", tokenForm("grant_type", "refresh_token", "refresh_token", refresh), basic(clientID, clientSecret), 400, "invalid_request"},
		{"ErrNoClient", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}, "", 401, "invalid_client"},
		{"ErrSecret", tokenForm("grant_type", "refresh_token", "refresh_token", refresh, "client_secret", "no"), "", 401, "invalid_client"},
		{"ErrClient", tokenForm("grant_type", "refresh_token", "refresh_token", refresh, "client_id", "no"), "", 401, "invalid_client"},
		{"ErrBasicSecret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}, basic(clientID, "no"), 401, "invalid_client"},
		{"ErrGrantMissing", tokenForm("refresh_token", refresh), "", 400, "invalid_request"},
		{"ErrGrantPassword", tokenForm("grant_type", "password"), "", 400, "unsupported_grant_type"},
		{"ErrGrantClientCredentials", tokenForm("grant_type", "client_credentials"), "", 400, "unsupported_grant_type"},
		{"ErrRefreshMissing", tokenForm("grant_type", "refresh_token"), "", 400, "invalid_request"},
		{"ErrRefreshUnknown", tokenForm("grant_type", "refresh_token", "refresh_token", "guess"), "", 400, "invalid_grant"},
		{"Narrower", tokenForm("grant_type", "refresh_token", "refresh_token", refresh, "scope", events), "", 200, ""},
		{"ErrWider", tokenForm("grant_type", "refresh_token", "refresh_token", refresh, "scope", "account.sync"), "", 400, "invalid_scope"},
		{"ErrTwice", url.Values{"client_id": {clientID, clientID}}, "", 400, "invalid_request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			_, live := c.Grant(doorflowsim.AccountA, "account.person", events)
			if test.form.Get("refresh_token") == refresh {
				test.form.Set("refresh_token", live)
			}
			req := c.formRequest("/oauth/token", test.form)
			if test.auth != "" {
				req.Header.Set("Authorization", test.auth)
			}
			a := c.must(req)
			if test.code == "" {
				wantStatus(t, a, test.status)
				return
			}
			wantOAuthError(t, a, test.status, test.code)
			if c.LiveRefreshToken(doorflowsim.AccountA) != live {
				t.Error("a refused request has changed the grant")
			}
		})
	}
	t.Run("ErrParametersInURL", func(t *testing.T) {
		c := newCloud(t)
		_, live := c.Grant(doorflowsim.AccountA, events)
		q := tokenForm("grant_type", "refresh_token", "refresh_token", live)
		wantOAuthError(t, c.must(c.formRequest("/oauth/token?"+q.Encode(), nil)), 401, "invalid_client")
	})
}

func TestRotation(t *testing.T) {
	usable := func(c *cloud, access string) bool {
		return c.api(access, "GET", "/api/3/account", "").status == http.StatusOK
	}
	t.Run("Immediate", func(t *testing.T) {
		c := newCloud(t)
		access, refresh := c.Grant(doorflowsim.AccountA, events)
		a := c.refresh(refresh)
		wantStatus(t, a, http.StatusOK)
		if usable(c, access) {
			t.Error("the old access token still works")
		}
		wantOAuthError(t, c.refresh(refresh), http.StatusBadRequest, "invalid_grant")
		if !usable(c, a.json(t)["access_token"].(string)) {
			t.Error("the reuse has hurt the new access token")
		}
	})
	t.Run("Grace", func(t *testing.T) {
		c := newCloud(t, func(o *doorflowsim.Options) { o.Rotation = doorflowsim.RotateGrace })
		access, refresh := c.Grant(doorflowsim.AccountA, events)
		wantStatus(t, c.refresh(refresh), http.StatusOK)
		second := c.refresh(refresh) // the first reply was lost, say
		wantStatus(t, second, http.StatusOK)
		if !usable(c, access) {
			t.Error("the old access token died before the new one was used")
		}
		if !usable(c, second.json(t)["access_token"].(string)) || usable(c, access) {
			t.Error("using the new access token has not ended the old one")
		}
		wantOAuthError(t, c.refresh(refresh), http.StatusBadRequest, "invalid_grant")
	})
}

func TestParallelRefreshesHaveOneWinner(t *testing.T) {
	c := newCloud(t)
	_, refresh := c.Grant(doorflowsim.AccountA, events)
	var statuses sync.Map
	var all sync.WaitGroup
	for i := range 16 {
		req := c.formRequest("/oauth/token", tokenForm("grant_type", "refresh_token", "refresh_token", refresh))
		all.Go(func() {
			if a, err := c.send(req); err == nil {
				statuses.Store(i, a.status)
			}
		})
	}
	all.Wait()
	count := map[any]int{}
	statuses.Range(func(_, status any) bool { count[status]++; return true })
	if count[200] != 1 || count[400] != 15 {
		t.Errorf("statuses = %v, want one 200 and fifteen 400", count)
	}
	if s := c.Stats(); s.Refreshes != 1 || s.RefreshFailures != 15 || s.TokenRequests != 16 {
		t.Errorf("stats = %+v", s)
	}
}

func TestAccessTokensExpire(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, events)
	c.Advance(time.Hour - 10*time.Second)
	wantStatus(t, c.api(access, "GET", "/api/3/account", ""), http.StatusOK)
	c.Advance(10 * time.Second)
	a := c.api(access, "GET", "/api/3/account", "")
	wantStatus(t, a, http.StatusUnauthorized)
	if got := a.json(t)["error_description"]; got != "The access token expired" {
		t.Errorf("error_description = %q", got)
	}
	if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer ") {
		t.Errorf("WWW-Authenticate = %q", got)
	}

	access, refresh := c.Grant(doorflowsim.AccountB, events)
	c.ExpireAccessTokens(doorflowsim.AccountB)
	wantStatus(t, c.api(access, "GET", "/api/3/account", ""), http.StatusUnauthorized)
	wantStatus(t, c.refresh(refresh), http.StatusOK)
	c.RevokeGrant(doorflowsim.AccountB)
	if got := c.LiveRefreshToken(doorflowsim.AccountB); got != "" {
		t.Errorf("live refresh token after revocation: %q", got)
	}
}

func TestRevoke(t *testing.T) {
	const golden = "Basic ZGVtby1jbGllbnQtaWQ6ZGZfY2xpZW50X3NlY3JldF9kZW1vXzAwNDI="
	if basic(clientID, clientSecret) != golden {
		t.Fatal("the Basic header differs from the one computed elsewhere")
	}
	odd := func(o *doorflowsim.Options) { o.ClientSecret = "a>b?c~d>>>???" }
	raw := []byte(clientID + ":a>b?c~d>>>???")
	for _, test := range []struct {
		name, auth, token string
		change            func(*doorflowsim.Options)
		status            int
		dead              bool
	}{
		{name: "Refresh", auth: golden, token: "refresh", status: 200, dead: true},
		{name: "Access", auth: golden, token: "access", status: 200, dead: true},
		{name: "Unknown", auth: golden, token: "guess", status: 200},
		{name: "StandardAlphabet", auth: "Basic " + base64.StdEncoding.EncodeToString(raw), token: "refresh", change: odd, status: 200, dead: true},
		{name: "URLAlphabet", auth: "Basic " + base64.URLEncoding.EncodeToString(raw), token: "refresh", change: odd, status: 200, dead: true},
		{name: "ErrNoAuth", token: "refresh", status: 403},
		{name: "ErrSecret", auth: basic(clientID, "no"), token: "refresh", status: 403},
		{name: "ErrGarbage", auth: "Basic !!!", token: "refresh", status: 403},
		{name: "ErrBearer", auth: "Bearer x", token: "refresh", status: 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t, func(o *doorflowsim.Options) {
				if test.change != nil {
					test.change(o)
				}
			})
			access, refresh := c.Grant(doorflowsim.AccountA, events)
			token := map[string]string{"access": access, "refresh": refresh}[test.token]
			req := c.formRequest("/oauth/revoke", url.Values{"token": {token}, "token_type_hint": {"nonsense"}})
			if test.auth != "" {
				req.Header.Set("Authorization", test.auth)
			}
			a := c.must(req)
			wantStatus(t, a, test.status)
			if body := strings.TrimSpace(string(a.body)); test.status == 200 && body != "{}" {
				t.Errorf("body = %s, want {}", body)
			}
			if test.status == 403 && a.json(t)["error"] != "unauthorized_client" {
				t.Errorf("body = %s", a.body)
			}
			if got := c.api(access, "GET", "/api/3/account", "").status; (got == 401) != test.dead {
				t.Errorf("access token answers %d afterwards", got)
			}
			if got := c.LiveRefreshToken(doorflowsim.AccountA) == ""; got != test.dead {
				t.Errorf("refresh token dead = %t, want %t", got, test.dead)
			}
		})
	}
}

func TestTokenInfoRefusesDeadTokens(t *testing.T) {
	c := newCloud(t)
	a := c.api("guess", "GET", "/oauth/token/info", "")
	wantStatus(t, a, http.StatusUnauthorized)
	if got := a.json(t)["error"]; got != "invalid_token" {
		t.Errorf("error = %v", got)
	}
}
