package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/internal/vault"
	"gatehouse/oauth"
)

func newClient(t *testing.T, api string) *oauth.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := oauth.NewClient(oauth.Config{
		ClientID: "demo-client-id", ClientSecret: vault.NewSecret("df_client_secret_demo_0042"), APIURL: api + "/",
		AuthorizeURL: "https://admin.doorflow.com/oauth/authorize", RedirectURL: "https://gatehouse.example/oauth/callback", Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve answers every request alike and hands the last request, its form parsed, to check.
func serve(t *testing.T, status int, body string, check func(*http.Request)) *oauth.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		if check != nil {
			check(r)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return newClient(t, server.URL)
}

func TestAuthCodeURL(t *testing.T) {
	c := newClient(t, "https://api.doorflow.com")
	u, err := url.Parse(c.AuthCodeURL("st", "Xq3v9LrT0mKc7WbYz1HdNfUeJ5pGsAo2iR8tVx4yQ6E", []string{"account.person", "account.sync"}))
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"response_type": {"code"}, "client_id": {"demo-client-id"}, "redirect_uri": {"https://gatehouse.example/oauth/callback"},
		"scope": {"account.person account.sync"}, "state": {"st"},
		"code_challenge": {"Iaj5Xv3_8q7Uh94qJskPCA-GXIGk5peg9h-snKqFlfE"}, "code_challenge_method": {"S256"},
	}
	if diff := cmp.Diff(want, u.Query()); diff != "" || u.Host != "admin.doorflow.com" {
		t.Fatal(u.Host, diff)
	}
}

const reply = `{"access_token":"at","token_type":"Bearer","expires_in":3600,"refresh_token":"rt","scope":"a b","created_at":1}`

func TestTokenRequests(t *testing.T) {
	var got *http.Request
	c := serve(t, http.StatusOK, reply, func(r *http.Request) { got = r })
	common := func(more url.Values) url.Values {
		more.Set("client_id", "demo-client-id")
		more.Set("client_secret", "df_client_secret_demo_0042")
		return more
	}
	before := time.Now()
	p, err := c.Exchange(t.Context(), vault.NewSecret("co"), vault.NewSecret("ve"))
	if err != nil || p.Access.Reveal() != "at" || p.Refresh.Reveal() != "rt" || strings.Join(p.Scopes, " ") != "a b" {
		t.Fatal(p, err)
	}
	if left := p.ExpiresAt.Sub(before); left < time.Hour || left > time.Hour+time.Minute {
		t.Errorf("expires in %v: by DoorFlow's clock, not ours?", left)
	}
	want := common(url.Values{"grant_type": {"authorization_code"}, "code": {"co"}, "code_verifier": {"ve"}, "redirect_uri": {"https://gatehouse.example/oauth/callback"}})
	if diff := cmp.Diff(want, got.PostForm); diff != "" || got.Header.Get("Authorization") != "" || got.URL.Path != "/oauth/token" {
		t.Error(got.URL.Path, diff)
	}
	if _, err = c.Refresh(t.Context(), vault.NewSecret("old")); err != nil {
		t.Fatal(err)
	}
	want = common(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"old"}})
	if diff := cmp.Diff(want, got.PostForm); diff != "" || got.Header.Get("Authorization") != "" {
		t.Error(diff)
	}
}

func TestReplyWithGaps(t *testing.T) {
	c := serve(t, http.StatusOK, `{"access_token":"at","token_type":"Bearer"}`, nil)
	p, err := c.Refresh(t.Context(), vault.NewSecret("old"))
	if err != nil || p.Refresh.Reveal() != "old" || time.Until(p.ExpiresAt) < 59*time.Minute {
		t.Error("a refresh without a new refresh token or a lifetime:", p, err)
	}
	if _, err = c.Exchange(t.Context(), vault.NewSecret("co"), vault.NewSecret("ve")); err == nil {
		t.Error("an exchange without a refresh token was taken")
	}
}

func TestRevokeUsesBasic(t *testing.T) {
	var got *http.Request
	c := serve(t, http.StatusOK, `{}`, func(r *http.Request) { got = r })
	if err := c.Revoke(t.Context(), vault.NewSecret("rt")); err != nil {
		t.Fatal(err)
	}
	const basic = "Basic ZGVtby1jbGllbnQtaWQ6ZGZfY2xpZW50X3NlY3JldF9kZW1vXzAwNDI="
	if got.Header.Get("Authorization") != basic || got.PostForm.Encode() != "token=rt" || got.URL.Path != "/oauth/revoke" {
		t.Fatal(got.Header.Get("Authorization"), got.PostForm, got.URL.Path)
	}
}

func TestTokenInfo(t *testing.T) {
	tests := []struct{ name, body, account, scopes string }{
		{"as documented", `{"resource_owner_id":90210,"account_id":"hX9aQ2","scope":["a","b"],"expires_in":1}`, "hX9aQ2", "a b"},
		{"number and string", `{"account_id":1177,"scope":"a b"}`, "1177", "a b"},
		{"no scope", `{"account_id":"hX9aQ2","scope":null}`, "hX9aQ2", ""},
		{"no account", `{"scope":["a"]}`, "", ""},
		{"null account", `{"account_id":null}`, "", ""},
		{"an object for an account", `{"account_id":{}}`, "", ""},
		{"control characters in it", `{"account_id":"hX\u001b[2J9"}`, "", ""},
		{"a space in it", `{"account_id":"hX9 aQ2"}`, "", ""},
		{"reordering characters in it", `{"account_id":"hX\u202e9"}`, "", ""},
		{"too long", `{"account_id":"` + strings.Repeat("x", 65) + `"}`, "", ""},
		{"not JSON", `<html>`, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var bearer string
			c := serve(t, http.StatusOK, test.body, func(r *http.Request) { bearer = r.Header.Get("Authorization") })
			info, err := c.TokenInfo(t.Context(), vault.NewSecret("at"))
			if (err != nil) != (test.account == "") || info.Account != test.account || strings.Join(info.Scopes, " ") != test.scopes || bearer != "Bearer at" {
				t.Fatal(info, err, bearer)
			}
		})
	}
}

func TestErrorClasses(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		class  oauth.Class
		code   string
	}{
		{"invalid_grant", 400, `{"error":"invalid_grant","error_description":"PLANTED"}`, oauth.Revoked, "invalid_grant"},
		{"invalid_grant as 401", 401, `{"error":"invalid_grant"}`, oauth.Revoked, "invalid_grant"},
		{"invalid_client", 401, `{"error":"invalid_client"}`, oauth.Misconfigured, "invalid_client"},
		{"invalid_client as 400", 400, `{"error":"invalid_client"}`, oauth.Misconfigured, "invalid_client"},
		{"unauthorized_client", 403, `{"error":"unauthorized_client"}`, oauth.Misconfigured, "unauthorized_client"},
		{"invalid_request", 400, `{"error":"invalid_request"}`, oauth.Rejected, "invalid_request"},
		{"invented code", 400, `{"error":"PLANTED"}`, oauth.Transient, "unexpected_reply"},
		{"html", 400, `<html>PLANTED</html>`, oauth.Transient, "unexpected_reply"},
		{"invalid_grant in a 500", 500, `{"error":"invalid_grant"}`, oauth.Transient, "invalid_grant"},
		{"invalid_grant in a 200", 200, `{"error":"invalid_grant"}`, oauth.Transient, "invalid_grant"},
		{"429", 429, `{"error":"rate_limited"}`, oauth.Transient, "rate_limited"},
		{"404", 404, `PLANTED`, oauth.Transient, "unexpected_reply"},
		{"redirect", 302, `PLANTED`, oauth.Transient, "unexpected_reply"},
		{"no access token", 200, `{"refresh_token":"PLANTED"}`, oauth.Transient, "no usable reply"},
		{"not JSON", 200, `PLANTED`, oauth.Transient, "no usable reply"},
		{"too long", 200, `{"access_token":"at","pad":"` + strings.Repeat("x", 70<<10) + `"}`, oauth.Transient, "no usable reply"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			requests := 0
			c := serve(t, test.status, test.body, func(*http.Request) { requests++ })
			_, err := c.Refresh(t.Context(), vault.NewSecret("PLANTED"))
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || e.Class != test.class || e.Code != test.code || strings.Contains(err.Error(), "PLANTED") {
				t.Fatalf("%#v", err)
			}
			if e.Revoked() != (test.class == oauth.Revoked) || e.Misconfigured() != (test.class == oauth.Misconfigured) {
				t.Error("the methods and the class disagree")
			}
			if requests != 1 {
				t.Errorf("%d requests for one refresh", requests)
			}
		})
	}
}

func TestNoAnswerIsTransient(t *testing.T) {
	server := httptest.NewServer(nil)
	c := newClient(t, server.URL)
	server.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(slow.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for name, call := range map[string]func() error{
		"refused": func() error { _, err := c.Refresh(t.Context(), vault.NewSecret("PLANTED")); return err },
		"revoke":  func() error { return c.Revoke(t.Context(), vault.NewSecret("PLANTED")) },
		"timeout": func() error { _, err := newClient(t, slow.URL).TokenInfo(ctx, vault.NewSecret("PLANTED")); return err },
	} {
		e, ok := errors.AsType[*oauth.Error](call())
		if !ok || e.Class != oauth.Transient || strings.Contains(e.Error(), "PLANTED") {
			t.Errorf("%s: %v", name, e)
		}
	}
}
