package oauth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/tokens"
)

func (g *gateway) status(t *testing.T, account string) string {
	t.Helper()
	c, err := g.keeper.Get(t.Context(), account)
	if err != nil {
		return err.Error()
	}
	return c.Status
}

func TestConnectingInTheBrowser(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		link := g.link(`{"reference":"Harbour <Makers>"}`)
		b := g.browser()
		p := b.get(g.URL + "/oauth/start/" + link)
		for _, part := range []string{"Harbour &lt;Makers&gt;", "see who went through which door", `<form method="post">`, `<button type="submit">`} {
			if !strings.Contains(p.body, part) {
				t.Errorf("the page lacks %q", part)
			}
		}
		csp := p.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "form-action 'self' https: "+g.doorflow.URL) ||
			!strings.Contains(csp, "frame-ancestors 'none'") || p.header.Get("Referrer-Policy") != "same-origin" || p.header.Get("Cache-Control") != "no-store" {
			t.Error(p.header)
		}
		_, style, _ := strings.Cut(p.body, "<style>")
		style, _, _ = strings.Cut(style, "</style>")
		if sum := sha256.Sum256([]byte(style)); !strings.Contains(csp, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Error("the policy does not allow the page's own style")
		}
		p = b.walk(link, "allow", account)
		if got := p.header.Get("Referrer-Policy"); got != "no-referrer" {
			t.Errorf("the callback's page, whose URL holds state and code, has Referrer-Policy %q", got)
		}
		if p.status != http.StatusOK || !strings.Contains(p.body, "Connected") || !strings.Contains(p.body, account) {
			t.Fatal(p.status, p.body)
		}
		if g.state(link) != "connected" || g.status(t, account) != tokens.StatusActive {
			t.Fatal(g.state(link), g.status(t, account))
		}
		if _, err := g.keeper.Token(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		if p := b.get(g.URL + "/oauth/start/" + link); p.status != http.StatusGone {
			t.Error("a spent link opens again:", p.status)
		}
		if p := b.post(g.URL+"/oauth/start/"+link, nil); p.status != http.StatusGone {
			t.Error("a spent link starts again:", p.status)
		}
	})
}

func TestCookie(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	p := g.browser().post(g.URL+"/oauth/start/"+g.link(`{}`), nil)
	cookie := p.header.Get("Set-Cookie")
	for _, part := range []string{"gatehouse-oauth=", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("%q lacks %q", cookie, part)
		}
	}
}

// deadlines notes how long an answer may take.
type deadlines struct {
	http.ResponseWriter
	write time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// The callback may wait for DoorFlow and the database for longer than the server's usual 30 seconds.
func TestTheCallbackMayTakeItsTime(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	w := &deadlines{ResponseWriter: httptest.NewRecorder()}
	began := time.Now()
	g.Config.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/oauth/callback?state=x", nil))
	if given := w.write.Sub(began); given < 45*time.Second || given > time.Minute {
		t.Errorf("%s", given)
	}
}

// Anybody can send made-up states. They must not cost a commit each.
func TestAnUnknownStateIsNotWritten(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		commits := func() (n int) {
			t.Helper()
			must(t, db.Get(t.Context(), &n, `SELECT SUM(commits) FROM writers`))
			return n
		}
		before := commits()
		for name, query := range map[string]string{"none": "", "empty": "?state=&code=x", "made up": "?state=made-up&code=x"} {
			if p := g.browser().get(g.URL + "/oauth/callback" + query); p.status != http.StatusBadRequest {
				t.Errorf("%s: %d", name, p.status)
			}
		}
		if after := commits(); after != before {
			t.Errorf("%d commits", after-before)
		}
	})
}

func TestDenialCanBeReconsidered(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{}`), g.browser()
	if p := b.walk(link, "deny", account); !strings.Contains(p.body, "You chose not to give access") || g.state(link) != "denied access_denied" {
		t.Fatal(p.body, g.state(link))
	}
	if p := b.walk(link, "allow", account); p.status != http.StatusOK || g.state(link) != "connected" {
		t.Fatal(p.body, g.state(link))
	}
}

func TestStateBelongsToOneBrowserAndWorksOnce(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{}`), g.browser()
	back := b.consent(b.press(link), "allow", account)
	for _, test := range []struct {
		name string
		*browser
	}{{"no cookie", g.browser()}, {"spent by the attempt before", b}} {
		if p := test.get(back); p.status != http.StatusBadRequest || !strings.Contains(p.body, "Nothing was connected") {
			t.Fatal(test.name, p.status, p.body)
		}
	}
	other := g.browser()
	_ = other.press(g.link(`{}`)) // it has a cookie of its own
	if p := other.get(b.consent(b.press(link), "allow", account)); p.status != http.StatusBadRequest {
		t.Fatal("another browser's cookie was accepted", p.status)
	}
	back = b.consent(b.press(link), "allow", account)
	g.advance(11 * time.Minute)
	if p := b.get(back); p.status != http.StatusBadRequest {
		t.Fatal("a state of eleven minutes was accepted", p.status)
	}
	for _, query := range []string{"", "?state=", "?state=x&code=y", "?error=access_denied"} {
		if p := b.get(g.URL + "/oauth/callback" + query); p.status != http.StatusBadRequest {
			t.Fatal(query, p.status)
		}
	}
	if got := g.sim.Stats().Exchanges; got != 0 || g.state(link) != "open" {
		t.Fatal(got, g.state(link))
	}
}

func TestParallelCallbacksExchangeOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := newGateway(t, db)
		link, b := g.link(`{}`), g.browser()
		back := b.consent(b.press(link), "allow", account)
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[int]int{}
		for range 20 {
			wg.Go(func() {
				p := b.get(back)
				mu.Lock()
				defer mu.Unlock()
				got[p.status]++
			})
		}
		wg.Wait()
		if got[200] != 1 || got[400] != 19 || g.sim.Stats().TokenRequests != 1 {
			t.Fatal(got, g.sim.Stats().TokenRequests)
		}
	})
}

func TestTwoTabsSpendALinkOnce(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{}`), g.browser()
	first, second := b.consent(b.press(link), "allow", account), b.consent(b.press(link), "allow", doorflowsim.AccountB)
	if p := b.get(first); p.status != http.StatusOK {
		t.Fatal(p.status, p.body)
	}
	if p := b.get(second); p.status != http.StatusGone || g.status(t, doorflowsim.AccountB) != tokens.ErrNotFound.Error() {
		t.Fatal(p.status, g.status(t, doorflowsim.AccountB))
	}
}

func TestLinksExpire(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{}`), g.browser()
	g.advance(24*time.Hour - 5*time.Minute)
	fresh := b.consent(b.press(link), "allow", account)
	g.advance(6 * time.Minute)
	if g.state(link) != "expired" {
		t.Fatal(g.state(link))
	}
	for _, p := range []page{b.get(g.URL + "/oauth/start/" + link), b.post(g.URL+"/oauth/start/"+link, nil), b.get(fresh)} {
		if p.status != http.StatusGone || !strings.Contains(p.body, "expired") {
			t.Fatal(p.status, p.body)
		}
	}
	if p := b.get(g.URL + "/oauth/start/nosuchlink"); p.status != http.StatusNotFound {
		t.Fatal(p.status)
	}
}

func TestAccountMustMatch(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{"account":"`+account+`"}`), g.browser()
	p := b.walk(link, "allow", doorflowsim.AccountB)
	if p.status != http.StatusConflict || g.state(link) != "failed account_mismatch" || g.sim.LiveRefreshToken(doorflowsim.AccountB) != "" {
		t.Fatal(p.status, g.state(link), "or the tokens were not revoked")
	}
	if p = b.walk(link, "allow", account); p.status != http.StatusOK || g.state(link) != "connected" {
		t.Fatal(p.status, g.state(link))
	}
}

func TestFewerScopesLeaveTheConnection(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	access, refresh := g.sim.Grant(account, append([]string{"account.sync"}, scopes...)...)
	must(t, g.keeper.Put(t.Context(), tokens.Grant{
		Account: account, Access: vault.NewSecret(access), Refresh: vault.NewSecret(refresh),
		ExpiresAt: g.now().Add(time.Hour), Scopes: append([]string{"account.sync"}, scopes...),
	}))
	link, b := g.link(`{}`), g.browser()
	if p := b.walk(link, "allow", account); p.status != http.StatusConflict || g.state(link) != "failed insufficient_scope" {
		t.Fatal(p.status, g.state(link))
	}
	pending := g.link(`{"return_url":"` + returnURL + `"}`)
	back, err := url.Parse(b.walk(pending, "allow", account).to)
	must(t, err)
	status, reply := g.api(http.MethodPost, "/v1/connect-links/"+pending+"/complete", `{"code":"`+back.Query().Get("code")+`"}`)
	if status != http.StatusTeapot || !strings.Contains(reply["error"].(string), "more scopes") || g.state(pending) != "failed insufficient_scope" {
		t.Fatal(status, reply, g.state(pending))
	}
	if token, err := g.keeper.Token(t.Context(), account); err != nil || token.Reveal() != access || g.sim.LiveRefreshToken(account) != refresh {
		t.Fatal("the connection was touched, or the new tokens were not revoked", err)
	}
}

func TestMissingScopesAreShown(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{}`), g.browser()
	to := b.press(link)
	to = strings.Replace(to, url.QueryEscape(strings.Join(scopes, " ")), "account.person", 1)
	p := b.get(b.consent(to, "allow", account))
	if p.status != http.StatusOK || !strings.Contains(p.body, "Not granted") || !strings.Contains(p.body, "account.event.access.readonly") {
		t.Fatal(p.status, p.body)
	}
	if c, _ := g.keeper.Get(t.Context(), account); len(c.MissingScopes) != 1 {
		t.Fatal(c)
	}
}

func TestDoorFlowsErrorsAreShown(t *testing.T) {
	tests := []struct {
		name   string
		fault  func(*doorflowsim.Faults)
		query  string // instead of DoorFlow's code
		status int
		state  string
	}{
		{"DoorFlow is down", func(f *doorflowsim.Faults) { f.FailToken(1, 503, "down") }, "", 502, "failed doorflow_unavailable"},
		{"wrong client secret", func(f *doorflowsim.Faults) { f.FailToken(1, 401, `{"error":"invalid_client"}`) }, "", 502, "failed misconfigured"},
		{"code is too old", func(f *doorflowsim.Faults) { f.FailToken(1, 400, `{"error":"invalid_grant"}`) }, "", 400, "failed invalid_grant"},
		{"scope refused", nil, "error=invalid_scope&error_description=PLANTED", 502, "failed invalid_scope"},
		{"an error we do not know", nil, "error=PLANTED", 400, "failed authorization_failed"},
		{"neither code nor error", nil, "", 400, "failed invalid_request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, sqldbtest.SQLite(t))
			link, b := g.link(`{}`), g.browser()
			back := b.consent(b.press(link), "allow", account)
			if test.fault != nil {
				test.fault(g.sim.Faults())
			} else {
				u, err := url.Parse(back)
				must(t, err)
				back = g.URL + "/oauth/callback?state=" + url.QueryEscape(u.Query().Get("state")) + "&" + test.query
			}
			p := b.get(back)
			if p.status != test.status || g.state(link) != test.state || strings.Contains(g.seen.String(), "PLANTED") {
				t.Fatal(p.status, g.state(link), p.body)
			}
			if !strings.Contains(p.body, "/oauth/start/"+link) {
				t.Error("the page offers no way to try again")
			}
		})
	}
}

func TestStartIsGuarded(t *testing.T) {
	g := newGateway(t, sqldbtest.SQLite(t))
	link, b := g.link(`{}`), g.browser()
	for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"} {
		req, err := http.NewRequest(http.MethodPost, g.URL+"/oauth/start/"+link, nil)
		must(t, err)
		req.Header.Set(header, value)
		if p := b.do(req); p.status != http.StatusForbidden {
			t.Errorf("%s: %s got %d", header, value, p.status)
		}
	}
	for range 20 {
		b.press(link)
	}
	if p := b.post(g.URL+"/oauth/start/"+link, nil); p.status != http.StatusTooManyRequests {
		t.Error(p.status)
	}
	g.advance(11 * time.Minute)
	b.press(link)
}
