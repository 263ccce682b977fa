package doorflowsim_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/doorflow/doorflowsim"
)

// authorizeQuery is a good authorize request with some parameters changed; "-" removes one.
func authorizeQuery(changes ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURI},
		"scope": {"account.person " + events}, "state": {"s&1 =é"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "-" {
			q.Del(changes[i])
		} else {
			q.Set(changes[i], changes[i+1])
		}
	}
	return q
}

// consent answers the consent form and returns the query of the redirect.
func (c *cloud) consent(q url.Values, account, decision string) url.Values {
	c.t.Helper()
	q.Set("account", account)
	q.Set("decision", decision)
	return c.location(c.must(c.formRequest("/oauth/authorize", q)))
}

func (c *cloud) location(a answer) url.Values {
	c.t.Helper()
	wantStatus(c.t, a, http.StatusFound)
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		c.t.Fatal(err)
	}
	if got := u.Scheme + "://" + u.Host + u.Path; got != redirectURI {
		c.t.Fatalf("redirected to %s, want %s", got, redirectURI)
	}
	return u.Query()
}

func TestAuthorizeErrors(t *testing.T) {
	for _, test := range []struct {
		name    string
		changes []string
		want    string // the error told by redirect; "" for a page without one
	}{
		{"ErrUnknownClient", []string{"client_id", "somebody"}, ""},
		{"ErrClientMissing", []string{"client_id", "-"}, ""},
		{"ErrRedirectMissing", []string{"redirect_uri", "-"}, ""},
		{"ErrRedirectLonger", []string{"redirect_uri", redirectURI + "/more"}, ""},
		{"ErrRedirectQuery", []string{"redirect_uri", redirectURI + "?a=b"}, ""},
		{"ErrResponseTypeMissing", []string{"response_type", "-"}, "invalid_request"},
		{"ErrResponseTypeToken", []string{"response_type", "token"}, "unsupported_response_type"},
		{"ErrScopeMissing", []string{"scope", "-"}, "invalid_request"},
		{"ErrScopeUnknown", []string{"scope", "account.person account.everything"}, "invalid_scope"},
		{"ErrChallengePlain", []string{"code_challenge_method", "plain"}, "invalid_request"},
		{"ErrChallengeMethodMissing", []string{"code_challenge_method", "-"}, "invalid_request"},
		{"ErrChallengeMissing", []string{"code_challenge", "-"}, "invalid_request"},
		{"ErrChallengeShort", []string{"code_challenge", "abc"}, "invalid_request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			a := c.must(c.request("GET", "/oauth/authorize?"+authorizeQuery(test.changes...).Encode(), ""))
			if test.want == "" {
				wantStatus(t, a, http.StatusBadRequest)
				if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || a.header.Get("Location") != "" {
					t.Errorf("headers = %v, want a page and no redirect", a.header)
				}
				return
			}
			q := c.location(a)
			if q.Get("error") != test.want || q.Get("error_description") == "" || q.Get("state") != "s&1 =é" {
				t.Errorf("redirected with %v, want error %s with description and state", q, test.want)
			}
		})
	}
}

func TestConsentPage(t *testing.T) {
	c := newCloud(t, func(o *doorflowsim.Options) { o.AppName = "Gate <b>house" })
	a := c.must(c.request("GET", "/oauth/authorize?"+authorizeQuery().Encode(), ""))
	wantStatus(t, a, http.StatusOK)
	for _, want := range []string{
		"<title>Connect Gate &lt;b&gt;house", `<html lang="en">`, "Harbour Makers", "Northgate Studios",
		"<code>account.person</code>", `value="allow"`, `value="deny"`, `name="state" value="s&amp;1 =é"`,
	} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestConsentAnswers(t *testing.T) {
	t.Run("Deny", func(t *testing.T) {
		got := newCloud(t).consent(authorizeQuery(), doorflowsim.AccountA, "deny")
		if got.Get("error") != "access_denied" || got.Get("error_description") == "" || got.Get("state") != "s&1 =é" {
			t.Errorf("redirected with %v", got)
		}
	})
	t.Run("NoState", func(t *testing.T) {
		if got := newCloud(t).consent(authorizeQuery("state", "-"), doorflowsim.AccountA, "allow"); got.Has("state") {
			t.Errorf("redirected with state %q although none was given", got.Get("state"))
		}
	})
	t.Run("ErrUnknownAccount", func(t *testing.T) {
		c := newCloud(t)
		q := authorizeQuery()
		q.Set("account", "nobody")
		q.Set("decision", "allow")
		wantStatus(t, c.must(c.formRequest("/oauth/authorize", q)), http.StatusBadRequest)
	})
	t.Run("SkipConsent", func(t *testing.T) {
		c := newCloud(t, func(o *doorflowsim.Options) { o.SkipConsent = true })
		q := c.location(c.must(c.request("GET", "/oauth/authorize?"+authorizeQuery().Encode(), "")))
		if q.Get("code") == "" {
			t.Errorf("redirected with %v, want a code", q)
		}
	})
}

func TestExchange(t *testing.T) {
	for _, account := range []string{doorflowsim.AccountA, doorflowsim.AccountB} {
		c := newCloud(t)
		code := c.consent(authorizeQuery(), account, "allow").Get("code")
		a := c.must(c.formRequest("/oauth/token", exchangeForm(code)))
		wantStatus(t, a, http.StatusOK)
		got := a.json(t)
		access := got["access_token"].(string)
		for _, name := range []string{"access_token", "refresh_token", "created_at"} {
			delete(got, name)
		}
		want := map[string]any{"token_type": "Bearer", "expires_in": 3600.0, "scope": "account.person " + events}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("token reply (-want +got):\n%s", diff)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Error("token reply may be cached")
		}
		info := c.api(access, "GET", "/oauth/token/info", "").json(t)
		if diff := cmp.Diff([]any{account, []any{"account.person", events}, map[string]any{"uid": clientID}},
			[]any{info["account_id"], info["scope"], info["application"]}); diff != "" {
			t.Errorf("token info (-want +got):\n%s", diff)
		}
	}
}

func exchangeForm(code string, pairs ...string) url.Values {
	form := tokenForm("grant_type", "authorization_code", "code", code, "redirect_uri", redirectURI, "code_verifier", verifier)
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

func TestExchangeErrors(t *testing.T) {
	for _, test := range []struct {
		name    string
		changes []string
		late    time.Duration
		want    string // "" for success
	}{
		{name: "Good", late: 10*time.Minute - 5*time.Second},
		{name: "ErrExpired", late: 10 * time.Minute, want: "invalid_grant"},
		{name: "ErrUnknownCode", changes: []string{"code", "guess"}, want: "invalid_grant"},
		{name: "ErrNoCode", changes: []string{"code", ""}, want: "invalid_request"},
		{name: "ErrOtherRedirect", changes: []string{"redirect_uri", redirectURI + "2"}, want: "invalid_grant"},
		{name: "ErrNoRedirect", changes: []string{"redirect_uri", ""}, want: "invalid_request"},
		{name: "ErrNoVerifier", changes: []string{"code_verifier", ""}, want: "invalid_grant"},
		{name: "ErrOtherVerifier", changes: []string{"code_verifier", strings.Repeat("a", 43)}, want: "invalid_grant"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			code := c.consent(authorizeQuery(), doorflowsim.AccountA, "allow").Get("code")
			c.Advance(test.late)
			a := c.must(c.formRequest("/oauth/token", exchangeForm(code, test.changes...)))
			if test.want == "" {
				wantStatus(t, a, http.StatusOK)
				again := c.must(c.formRequest("/oauth/token", exchangeForm(code)))
				wantOAuthError(t, again, http.StatusBadRequest, "invalid_grant") // codes are for one use
				return
			}
			wantOAuthError(t, a, http.StatusBadRequest, test.want)
		})
	}
	t.Run("ErrVerifierWithoutChallenge", func(t *testing.T) {
		c := newCloud(t)
		code := c.consent(authorizeQuery("code_challenge", "-", "code_challenge_method", "-"), doorflowsim.AccountA, "allow").Get("code")
		wantOAuthError(t, c.must(c.formRequest("/oauth/token", exchangeForm(code))), http.StatusBadRequest, "invalid_grant")
		wantStatus(t, c.must(c.formRequest("/oauth/token", exchangeForm(code, "code_verifier", ""))), http.StatusOK)
	})
}

func wantOAuthError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	wantStatus(t, a, status)
	got := a.json(t)
	if got["error"] != code || got["error_description"] == "" {
		t.Errorf("body = %s, want error %s with a description", a.body, code)
	}
	if a.header.Get("Cache-Control") != "no-store" || !strings.Contains(a.header.Get("WWW-Authenticate"), code) {
		t.Errorf("headers = %v, want no-store and the error in WWW-Authenticate", a.header)
	}
}
