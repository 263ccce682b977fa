package tokens_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/tokens"
)

// answers is a base transport that records the bearers and answers with the statuses in turn.
type answers struct {
	statuses []int
	seen     []string
	bodies   []string
}

func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	a.seen = append(a.seen, strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	if req.Body != nil {
		b, _ := io.ReadAll(req.Body)
		a.bodies = append(a.bodies, string(b))
	}
	status := a.statuses[0]
	a.statuses = a.statuses[1:]
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://evil.test/"}}, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

func TestClient(t *testing.T) {
	const api = "https://api.doorflow.test"
	stream := io.MultiReader(strings.NewReader("body")) // net/http makes no GetBody for it
	tests := []struct {
		name, url string
		host      string
		body      io.Reader
		answers   []int
		status    int
		seen      string
		bodies    string
		err       error
	}{
		{name: "token added", url: api + "/api/3/people", answers: []int{200}, status: 200, seen: "access-1"},
		{name: "401 is answered once", url: api + "/x", answers: []int{401, 200}, status: 200, seen: "access-1 access-2"},
		{name: "a second 401 is passed on", url: api + "/x", answers: []int{401, 401}, status: 401, seen: "access-1 access-2"},
		{name: "body sent again", url: api + "/x", body: strings.NewReader("body"), answers: []int{401, 201}, status: 201, seen: "access-1 access-2", bodies: "body body"},
		{name: "body that cannot be sent again", url: api + "/x", body: stream, answers: []int{401}, status: 401, seen: "access-1", bodies: "body"},
		{name: "redirect not followed", url: api + "/x", answers: []int{302}, status: 302, seen: "access-1"},
		{name: "403 is not 401", url: api + "/x", answers: []int{403}, status: 403, seen: "access-1"},
		{name: "other host", url: "https://api.doorflow.test.evil.test/x", err: tokens.ErrForeignOrigin},
		{name: "other port", url: api + ":8443/x", err: tokens.ErrForeignOrigin},
		{name: "other scheme", url: "http://api.doorflow.test/x", err: tokens.ErrForeignOrigin},
		{name: "credentials in the URL", url: "https://api.doorflow.test@evil.test/x", err: tokens.ErrForeignOrigin},
		{name: "other host, ours in the Host header", url: "https://evil.test/x", host: "api.doorflow.test", err: tokens.ErrForeignOrigin},
		{name: "other Host header", url: api + "/x", host: "evil.test", err: tokens.ErrForeignOrigin},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			p := newProcess(t, sqldbtest.SQLite(t), s, "")
			s.on(func(context.Context, string) (tokens.Pair, error) { return pair("2", p.now().Add(time.Hour)), nil })
			p.connect(t, "access-1", "refresh-1", time.Hour)
			method := http.MethodGet
			if test.body != nil {
				method = http.MethodPost
			}
			req, err := http.NewRequestWithContext(t.Context(), method, test.url, test.body)
			if err != nil {
				t.Fatal(err)
			}
			if test.host != "" {
				req.Host = test.host
			}
			base := &answers{statuses: test.answers}
			resp, err := p.Client(account, base).Do(req)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode != test.status {
					t.Errorf("status %d, want %d", resp.StatusCode, test.status)
				}
			}
			if got := strings.Join(base.seen, " "); got != test.seen {
				t.Errorf("sent tokens %q, want %q", got, test.seen)
			}
			if got := strings.Join(base.bodies, " "); got != test.bodies {
				t.Errorf("sent bodies %q, want %q", got, test.bodies)
			}
		})
	}
}
