package doorflowsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/doorflow/doorflowsim"
)

const (
	clientID      = "demo-client-id"
	clientSecret  = "df_client_secret_demo_0042"
	webhookSecret = "whsec_demo_5f1c2a7e9b"
	redirectURI   = "https://gate.example.test/oauth/callback"
	// A verifier and its S256 challenge, computed elsewhere.
	verifier  = "Xq3v9LrT0mKc7WbYz1HdNfUeJ5pGsAo2iR8tVx4yQ6E"
	challenge = "Iaj5Xv3_8q7Uh94qJskPCA-GXIGk5peg9h-snKqFlfE"
	events    = "account.event.access.readonly"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud is a simulation behind a real HTTP server.
type cloud struct {
	*doorflowsim.Sim
	t   *testing.T
	url string
	// client neither follows redirects nor keeps connections.
	client *http.Client
}

func newCloud(t *testing.T, change ...func(*doorflowsim.Options)) *cloud {
	t.Helper()
	o := doorflowsim.Options{
		ClientID: clientID, ClientSecret: clientSecret, WebhookSecret: webhookSecret, RedirectURIs: []string{redirectURI},
	}
	for _, f := range change {
		f(&o)
	}
	sim := doorflowsim.New(o)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	sim.SetPublicURL(server.URL)
	return &cloud{Sim: sim, t: t, url: server.URL, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("decoding %q: %v", a.body, err)
	}
	return v
}

func (a answer) list(t *testing.T) []map[string]any {
	t.Helper()
	var v []map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("decoding %q: %v", a.body, err)
	}
	return v
}

func (c *cloud) send(req *http.Request) (answer, error) {
	resp, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

func (c *cloud) must(req *http.Request) answer {
	c.t.Helper()
	a, err := c.send(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *cloud) request(method, path, body string) *http.Request {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	return req
}

// api calls the API with a token; a body is JSON.
func (c *cloud) api(token, method, path, body string) answer {
	c.t.Helper()
	req := c.request(method, path, body)
	req.Header.Set("Authorization", "Bearer "+token)
	return c.must(req)
}

func (c *cloud) formRequest(path string, form url.Values) *http.Request {
	c.t.Helper()
	req := c.request(http.MethodPost, path, form.Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// tokenForm is a token request with the right credentials; pairs of name and value follow.
func tokenForm(pairs ...string) url.Values {
	form := url.Values{"client_id": {clientID}, "client_secret": {clientSecret}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

func (c *cloud) refresh(token string) answer {
	c.t.Helper()
	return c.must(c.formRequest("/oauth/token", tokenForm("grant_type", "refresh_token", "refresh_token", token)))
}

// run starts Run for the length of the test.
func (c *cloud) run() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("Run: %v", err)
		}
	})
}

func (c *cloud) flush() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		c.t.Fatalf("Flush: %v", err)
	}
}

func (c *cloud) settle() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Settle(ctx); err != nil {
		c.t.Fatalf("Settle: %v", err)
	}
}

func wantStatus(t *testing.T, a answer, want int) {
	t.Helper()
	if a.status != want {
		t.Fatalf("status = %d, want %d; body %s", a.status, want, bytes.TrimSpace(a.body))
	}
}
