package main_test

import (
	"context"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
)

// cloud is a simulated DoorFlow in this process. It remembers every token and code it hands out.
type cloud struct {
	*doorflowsim.Sim
	t   testing.TB
	url string

	mu      sync.Mutex
	answers []string // of the token endpoint, and where the consent page sent browsers
}

func newCloud(t testing.TB, g *gateway) *cloud {
	t.Helper()
	c := &cloud{t: t}
	c.Sim = doorflowsim.New(doorflowsim.Options{
		ClientID: clientID, ClientSecret: clientSecret, WebhookSecret: webhookSecret,
		WebhookURL: g.url + "/webhooks/doorflow", RedirectURIs: []string{g.url + "/oauth/callback"},
		Retries: retries(), WebhookTimeout: 5 * time.Second,
	})
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	c.url = server.URL
	c.SetPublicURL(c.url)
	g.env["GATEHOUSE_DOORFLOW_API_URL"] = c.url
	g.env["GATEHOUSE_DOORFLOW_AUTHORIZE_URL"] = c.url + "/oauth/authorize"
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the simulator: %v", err)
		}
	})
	return c
}

// retries are short, because a gateway is away for moments only, and enough of them for the slowest start.
func retries() []time.Duration {
	waits := make([]time.Duration, 3000)
	for i := range waits {
		waits[i] = 100 * time.Millisecond
	}
	return waits
}

// serve hands a request on and notes what an eavesdropper would like to have.
func (c *cloud) serve(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	c.ServeHTTP(rec, r)
	if strings.HasPrefix(r.URL.Path, "/oauth/") {
		c.mu.Lock()
		c.answers = append(c.answers, rec.Header().Get("Location")+" "+rec.Body.String())
		c.mu.Unlock()
	}
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

var handedOut = regexp.MustCompile(`\b(?:at_|rt_)[A-Z2-7]+|[?&]code=([^&\s"]+)`)

// secrets are the tokens and codes that were handed out so far.
func (c *cloud) secrets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, m := range handedOut.FindAllStringSubmatch(strings.Join(c.answers, "\n"), -1) {
		if all = append(all, m[0]); m[1] != "" {
			all[len(all)-1] = m[1]
		}
	}
	return all
}

// connect makes a connect link and goes through it as a customer's browser does. decision is allow or deny.
// It returns the link as it stands afterwards.
func (c *cloud) connect(g *gateway, decision string) (status string) {
	c.t.Helper()
	var link struct{ ID, URL, Status string }
	made := g.call(http.MethodPost, "/v1/connect-links", `{"reference":"Black box"}`)
	if made.status != http.StatusCreated {
		c.t.Fatalf("making a link: %d %s", made.status, made.body)
	}
	made.json(c.t, &link)
	walk(c.t, link.URL, decision)
	g.call(http.MethodGet, "/v1/connect-links/"+link.ID, "").json(c.t, &link)
	return link.Status
}

// walk opens a connect link, presses its button, and then allow or deny on DoorFlow's page.
func walk(t testing.TB, link, decision string) page {
	t.Helper()
	return walkWith(t, link, url.Values{"decision": {decision}})
}

// walkWith is walk with a whole answer, such as another account than the one proposed.
func walkWith(t testing.TB, link string, answer url.Values) page {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := browser{t, &http.Client{Jar: jar, Timeout: time.Minute, Transport: probe.Transport}}
	return b.press(b.press(b.open(link), nil), answer)
}

// connected connects the account and wants it to work.
func (c *cloud) connected(g *gateway) {
	c.t.Helper()
	if status := c.connect(g, "allow"); status != "connected" {
		c.t.Fatalf("the link is %q", status)
	}
}

// browser shows nothing, but keeps cookies and presses buttons.
type browser struct {
	t    testing.TB
	http *http.Client
}

type page struct {
	at     *url.URL
	status int
	html   string
}

func (b browser) open(target string) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b browser) do(req *http.Request) page {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{resp.Request.URL, resp.StatusCode, string(body)}
}

var (
	formTag  = regexp.MustCompile(`<form[^>]*>`)
	inputTag = regexp.MustCompile(`<input[^>]*>`)
	attrs    = regexp.MustCompile(`([a-z]+)(?:="([^"]*)")?`)
)

func attributes(tag string) map[string]string {
	found := map[string]string{}
	for _, m := range attrs.FindAllStringSubmatch(tag, -1) {
		found[m[1]] = html.UnescapeString(m[2])
	}
	return found
}

// press submits the page's form with an answer, which wins over what the page proposes.
func (b browser) press(p page, answer url.Values) page {
	b.t.Helper()
	form := formTag.FindString(p.html)
	if form == "" {
		b.t.Fatalf("no form on %s (%d):\n%s", p.at.Path, p.status, p.html)
	}
	values := url.Values{}
	for _, tag := range inputTag.FindAllString(p.html, -1) {
		a := attributes(tag)
		if _, checked := a["checked"]; a["name"] != "" && (a["type"] != "radio" || checked) {
			values.Set(a["name"], a["value"])
		}
	}
	maps.Copy(values, answer)
	action, err := p.at.Parse(attributes(form)["action"])
	if err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", p.at.Scheme+"://"+p.at.Host)
	return b.do(req)
}
