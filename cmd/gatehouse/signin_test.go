package main_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// ask sends a request as a browser might, and follows no redirect.
func (g *gateway) browse(method, url, form string, header map[string]string) (answer, []*http.Cookie) {
	g.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(form))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := probe.Transport.RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&body); err != nil {
		g.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, []byte(body.String())}, resp.Cookies()
}

func TestSigningInAndOut(t *testing.T) {
	g := newGateway(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "debug"}).start()
	const wrong = "gh_planted-wrong-key-Jw8sLq2M"
	a, cookies := g.browse(http.MethodPost, g.url+"/sign-in", "key="+wrong+"&to=/messages", nil)
	if a.status != http.StatusUnauthorized || len(cookies) != 0 || strings.Contains(string(a.body), wrong) {
		t.Errorf("a wrong key: %d %v %s", a.status, cookies, a.body)
	}
	for to, want := range map[string]string{
		"/messages%3Faccount%3Dx": "/messages?account=x", "": "/", "https://evil.test/": "/", "//evil.test": "/", "/%5Cevil.test": "/", "/%0aSet-Cookie:x": "/", "javascript:alert(1)": "/",
	} {
		a, cookies := g.browse(http.MethodPost, g.url+"/sign-in", "key="+adminToken+"&to="+to, nil)
		if a.status != http.StatusSeeOther || a.header.Get("Location") != want || len(cookies) != 1 {
			t.Errorf("to=%s: %d to %q", to, a.status, a.header.Get("Location"))
		}
	}
	one, two := g.session(adminToken), g.session(adminToken)
	if !one.HttpOnly || one.SameSite != http.SameSiteLaxMode || one.Path != "/" || one.Domain != "" || one.Secure {
		t.Errorf("the cookie is %+v", one)
	}
	sends := func(c *http.Cookie) map[string]string { return map[string]string{"Cookie": c.Name + "=" + c.Value} }
	foreign := sends(one)
	foreign["Origin"], foreign["Sec-Fetch-Site"] = "https://evil.test", "cross-site"
	for _, path := range []string{"/sign-out", "/sign-in", "/connect", "/messages/x/replay"} {
		if a, _ := g.browse(http.MethodPost, g.url+path, "key="+adminToken, foreign); a.status != http.StatusForbidden {
			t.Errorf("%s of another site: %d", path, a.status)
		}
	}
	if a, _ := g.browse(http.MethodGet, g.url+"/v1/messages", "", sends(one)); a.status != http.StatusUnauthorized {
		t.Errorf("the API takes the cookie: %d", a.status)
	}
	if a, _ := g.browse(http.MethodGet, g.url+"/messages", "", map[string]string{"Authorization": "Bearer " + adminToken}); a.status != http.StatusSeeOther {
		t.Errorf("a page takes a key: %d", a.status)
	}
	if a := g.paged(one, http.MethodPost, "/sign-out", ""); a.status != http.StatusSeeOther || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signing out: %d %v", a.status, a.header)
	}
	if a := g.paged(one, http.MethodGet, "/messages", ""); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/?to=") {
		t.Errorf("a page without a session: %d %v", a.status, a.header)
	}
	if a := g.paged(one, http.MethodGet, "/overview/live", ""); a.status != http.StatusUnauthorized || a.header.Get("HX-Redirect") != "/" {
		t.Errorf("a piece of a page without a session: %d %v", a.status, a.header)
	}
	for path, want := range map[string]int{"/api": 200, "/api/http/audit": 200, "/api/nats/event": 200, "/api/problems": 200, "/api/http/nothing": 404} {
		if a := g.paged(one, http.MethodGet, path, ""); a.status != want || strings.Contains(string(a.body), "/sign-out") {
			t.Errorf("%s, which is open to all: %d", path, a.status)
		}
	}
	if a := g.paged(two, http.MethodPost, "/sign-out-everywhere", ""); a.status != http.StatusSeeOther {
		t.Errorf("signing out everywhere: %d", a.status)
	}
	if a := g.paged(two, http.MethodGet, "/messages", ""); a.status != http.StatusSeeOther {
		t.Errorf("a session outlives signing out everywhere: %d", a.status)
	}
	var page struct {
		Items []struct{ Action, Outcome, Actor, ActorKind string }
	}
	g.call(http.MethodGet, "/v1/audit?limit=100", "").json(t, &page)
	count := map[string]int{}
	for _, e := range page.Items {
		count[e.Action+" "+e.Outcome]++
	}
	for entry, least := range map[string]int{"session.open done": 9, "session.open refused": 1, "session.close done": 1, "session.close_all done": 1} {
		if count[entry] < least {
			t.Errorf("the audit log has %q %d times: %v", entry, count[entry], count)
		}
	}
	for _, secret := range []string{wrong, adminToken, one.Value, two.Value} {
		if strings.Contains(g.log(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

func TestGuessingKeysOnTheSignInPage(t *testing.T) {
	g := newGateway(t, nil).start()
	for i := range 20 {
		if a, _ := g.browse(http.MethodPost, g.url+"/sign-in", fmt.Sprintf("key=gh_guess%d", i), nil); a.status != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", i, a.status)
		}
	}
	a, cookies := g.browse(http.MethodPost, g.url+"/sign-in", "key="+adminToken, nil)
	if a.status != http.StatusTooManyRequests || len(cookies) != 0 || !strings.Contains(string(a.body), "too many wrong keys") && !strings.Contains(string(a.body), "Too many wrong keys") {
		t.Errorf("after 20 guesses: %d %s", a.status, a.body)
	}
}

func TestASignInLink(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil).start()
	cmd := exec.CommandContext(t.Context(), binary, "dashboard", "link")
	cmd.Env = environment(map[string]string{"GATEHOUSE_URL": g.url, "GATEHOUSE_TOKEN": adminToken})
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	link := regexp.MustCompile(regexp.QuoteMeta(g.url) + `/sign-in/[\w-]{43}`).FindString(string(out))
	for range 3 { // programs that preview links spend nothing
		if a, cookies := g.browse(http.MethodGet, link, "", nil); a.status != http.StatusOK || len(cookies) != 0 {
			t.Fatalf("opening %q: %d", link, a.status)
		}
	}
	a, cookies := g.browse(http.MethodPost, link, "", nil)
	if a.status != http.StatusSeeOther || len(cookies) != 1 || g.paged(cookies[0], http.MethodGet, "/connections", "").status != http.StatusOK {
		t.Fatalf("pressing its button: %d", a.status)
	}
	for _, m := range []string{http.MethodGet, http.MethodPost} {
		if a, cookies := g.browse(m, link, "", nil); a.status != http.StatusGone || len(cookies) != 0 {
			t.Errorf("%s again: %d", m, a.status)
		}
	}
}

// A key that is revoked ends its sessions at once, and the streams of the pages that are open.
func TestASessionEndsWithItsKey(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil).start()
	var made struct{ ID, Key string }
	g.call(http.MethodPost, "/v1/api-keys", `{"name":"short","scopes":["messages:read"]}`).json(t, &made)
	session := g.session(made.Key)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/messages/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(session)
	resp, err := probe.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	if a := g.call(http.MethodDelete, "/v1/api-keys/"+made.ID, ""); a.status != http.StatusNoContent {
		t.Fatal(a.status)
	}
	revoked := time.Now()
	if a := g.paged(session, http.MethodGet, "/messages", ""); a.status != http.StatusSeeOther {
		t.Errorf("a session outlives its key: %d", a.status)
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
	}
	if took := time.Since(revoked); ctx.Err() != nil || took > 6*time.Second {
		t.Errorf("the stream ended after %v", took)
	}
}

// With an admin listener the dashboard is there and nowhere else.
func TestTheDashboardKeepsToTheAdminListener(t *testing.T) {
	private := freeAddr(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_ADMIN_ADDR": private}).start()
	for _, path := range []string{"/", "/sign-in/x", "/static/app.css", "/messages"} {
		if a, _ := g.browse(http.MethodGet, g.url+path, "", nil); a.status != http.StatusNotFound {
			t.Errorf("%s on the public listener: %d", path, a.status)
		}
	}
	a, _ := g.browse(http.MethodPost, "http://"+private+"/v1/sign-in-links", "", map[string]string{"Authorization": "Bearer " + adminToken})
	var link struct{ URL string }
	if a.json(t, &link); !strings.HasPrefix(link.URL, "http://"+private+"/sign-in/") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a, cookies := g.browse(http.MethodPost, link.URL, "", nil); a.status != http.StatusSeeOther || len(cookies) != 1 {
		t.Errorf("%d %v", a.status, cookies)
	}
	if a, _ := g.browse(http.MethodGet, "http://"+private+"/static/app.css", "", nil); a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/css") {
		t.Errorf("the stylesheet: %d %v", a.status, a.header)
	}
}

// Where browsers come by https, the cookie is one that no other host and no plain connection can set.
func TestTheCookieBehindAProxy(t *testing.T) {
	t.Parallel()
	g := newGateway(t, map[string]string{"GATEHOUSE_PUBLIC_URL": "https://gatehouse.example.test"}).start()
	own := map[string]string{"Origin": "https://gatehouse.example.test"}
	a, cookies := g.browse(http.MethodPost, g.url+"/sign-in", "key="+adminToken, own)
	if a.status != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if c := cookies[0]; c.Name != "__Host-gatehouse-session" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" {
		t.Errorf("the cookie is %+v", c)
	}
	if a := g.paged(cookies[0], http.MethodGet, "/messages", ""); a.status != http.StatusOK || a.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	plain := *cookies[0]
	plain.Name = "gatehouse-session"
	if a := g.paged(&plain, http.MethodGet, "/messages", ""); a.status != http.StatusSeeOther {
		t.Errorf("a cookie of another name works: %d", a.status)
	}
}

// A session counts as its key does, and a cookie that is nobody's as no cookie: before anything is looked up.
func TestWhatASessionCountsAs(t *testing.T) {
	private := freeAddr(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_ADMIN_ADDR": private, "GATEHOUSE_TRUSTED_PROXIES": "127.0.0.0/8"}).start()
	base := "http://" + private
	proxied := func(more map[string]string) map[string]string {
		header := map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
		maps.Copy(header, more)
		return header
	}
	signIn := func(more map[string]string) *http.Cookie {
		t.Helper()
		a, cookies := g.browse(http.MethodPost, base+"/sign-in", "key="+adminToken, proxied(more))
		if a.status != http.StatusSeeOther || len(cookies) != 1 {
			t.Fatalf("signing in: %d %s", a.status, a.body)
		}
		return cookies[0]
	}
	with := func(c *http.Cookie) map[string]string {
		return proxied(map[string]string{"Cookie": c.Name + "=" + c.Value})
	}
	first := signIn(nil)
	if !first.Secure || first.Name != "__Host-gatehouse-session" {
		t.Errorf("behind a proxy that speaks https the cookie is %+v", first)
	}
	session := signIn(with(first))
	if a, _ := g.browse(http.MethodGet, base+"/messages", "", with(first)); a.status != http.StatusSeeOther {
		t.Errorf("the session that the browser had before: %d", a.status)
	}
	if a, _ := g.browse(http.MethodGet, base+"/messages", "", with(session)); a.status != http.StatusOK {
		t.Fatalf("the session: %d", a.status)
	}
	// asked sends a number of requests at once and counts the statuses of their answers.
	asked := func(n int, header map[string]string) map[int]int {
		var mu sync.Mutex
		var all sync.WaitGroup
		statuses := map[int]int{}
		for range n {
			all.Go(func() {
				a, _ := g.browse(http.MethodGet, base+"/connect/x", "", header)
				mu.Lock()
				defer mu.Unlock()
				statuses[a.status]++
			})
		}
		all.Wait()
		return statuses
	}
	eventually(t, 20*time.Second, func() string {
		asked(40, with(session))
		a, _ := g.browse(http.MethodGet, base+"/v1/audit?limit=1", "", map[string]string{"Authorization": "Bearer " + adminToken})
		var left, full int
		if _, err := fmt.Sscanf(a.header.Get("RateLimit"), `"key";r=%d;t=%d`, &left, &full); err != nil || left > 95 {
			return fmt.Sprintf("after 40 requests of its session the key has %q left", a.header.Get("RateLimit"))
		}
		return ""
	})
	foreign := *session
	foreign.Value = strings.Repeat("A", 43)
	eventually(t, 20*time.Second, func() string {
		if got := asked(150, with(&foreign)); got[http.StatusTooManyRequests] == 0 {
			return fmt.Sprintf("a cookie that is nobody's is answered %v", got)
		}
		return ""
	})
	if a, _ := g.browse(http.MethodGet, base+"/messages", "", with(session)); a.status != http.StatusOK {
		t.Errorf("who is signed in at the same address: %d", a.status)
	}
}
