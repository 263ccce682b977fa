package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gatehouse/internal/vault"
)

// client calls a running gateway. It is embedded in the commands that do.
type client struct {
	URL   *url.URL     `group:"Which gateway:" default:"http://localhost:8080" placeholder:"URL" help:"The gateway to talk to."`
	Token vault.Secret `group:"Which gateway:" placeholder:"KEY" help:"API key. Default: the admin-token file in ./data, where there is one."`

	adminToken string // the file instead of data/admin-token
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// problem is an RFC 9457 answer.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Field  string `json:"field"`
	Status int    `json:"status"`

	retryAfter string // seconds
	scope      string // that the key lacks
	foreign    bool   // it is not a gateway's
}

func (p problem) Error() string {
	s := p.Title
	if p.Detail != "" {
		s = p.Detail
	}
	if p.Field != "" {
		s = p.Field + ": " + s
	}
	switch p.Status {
	case http.StatusUnauthorized:
		if !p.foreign {
			s = "the gateway does not take the key, which is wrong, revoked or expired: set GATEHOUSE_TOKEN to another"
		}
	case http.StatusForbidden:
		if p.scope != "" {
			s += ": " + p.scope
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if p.retryAfter != "" {
			s += "; try again in " + p.retryAfter + " s"
		}
	}
	return s
}

// refusal reads an answer that is an error. Only a gateway answers with problems.
func (c *client) refusal(resp *http.Response) error {
	p := problem{Title: resp.Status}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "application/problem+json" {
		_ = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p)
	} else {
		p.foreign = true
		p.Detail = fmt.Sprintf("%s answers %s, and not as a gateway does: check GATEHOUSE_URL, and the proxy in front", c.URL.Redacted(), resp.Status)
	}
	p.Status, p.retryAfter = resp.StatusCode, resp.Header.Get("Retry-After")
	if _, scope, found := strings.Cut(resp.Header.Get("WWW-Authenticate"), `scope="`); found {
		p.scope, _, _ = strings.Cut(scope, `"`)
	}
	return p
}

// do sends a request and decodes the answer into out, unless that is nil.
func (c *client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	resp, err := c.send(ctx, method, path, query, body, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("what %s answers cannot be read; is it a gateway? check GATEHOUSE_URL: %w", c.URL.Redacted(), err)
	}
	return nil
}

// apiClient is for all requests. It follows no redirects: the gateway has none, and one that came
// from elsewhere could lead the key away.
var apiClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// send returns the answer to a request that succeeded.
func (c *client) send(ctx context.Context, method, path string, query url.Values, body io.Reader, header http.Header) (*http.Response, error) {
	u := c.URL.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := askWithin(req, silence+preferred(header))
	if err != nil {
		return nil, c.unreached(err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp)
}

// unreached says why no gateway was reached, and what to do.
func (c *client) unreached(err error) error {
	where := "reaching the gateway at " + c.URL.Redacted()
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // which does not repeat the URL
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: %w; start one there with gatehouse serve, or set GATEHOUSE_URL to where it runs", where, syscall.ECONNREFUSED)
	case errors.As(err, new(*net.DNSError)):
		return fmt.Errorf("%s: %w; correct GATEHOUSE_URL", where, err)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// token is the key given, or on the gateway's own machine the first admin token.
func (c *client) token() (vault.Secret, error) {
	if c.URL.Host == "" || (c.URL.Scheme != "https" && c.URL.Scheme != "http") {
		return vault.Secret{}, usageError("GATEHOUSE_URL: want a URL such as https://gatehouse.example.com")
	}
	if c.URL.Scheme != "https" && !isLoopback(c.URL.Hostname()) {
		return vault.Secret{}, usageError("GATEHOUSE_URL: want https; a key is not sent in clear over a network")
	}
	if !c.Token.IsZero() {
		return c.Token, nil
	}
	path := c.adminToken
	if path == "" {
		path = filepath.Join("data", "admin-token")
	}
	data, err := os.ReadFile(path)
	if !isLoopback(c.URL.Hostname()) {
		return vault.Secret{}, errors.New("GATEHOUSE_TOKEN: want an API key")
	}
	if err != nil {
		return vault.Secret{}, fmt.Errorf("GATEHOUSE_TOKEN: want an API key; the first start leaves one in the data directory, and %s is not there", path)
	}
	return vault.NewSecret(strings.TrimSpace(string(data))), nil
}

// page is one page of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// list reads pages until there are limit items, or no more.
func list[T any](ctx context.Context, c *client, path string, query url.Values, limit int) ([]T, error) {
	return listBy[T](ctx, c, path, query, limit, 500)
}

// listBy is list with pages of another size.
func listBy[T any](ctx context.Context, c *client, path string, query url.Values, limit, size int) ([]T, error) {
	if limit < 1 {
		return nil, usageError("--limit: want at least 1")
	}
	items := []T{}
	for len(items) < limit {
		query.Set("limit", fmt.Sprint(min(limit-len(items), size)))
		var p page[T]
		if err := c.do(ctx, http.MethodGet, path, query, nil, &p); err != nil {
			return nil, err
		}
		items = append(items, p.Items...)
		if p.Next == "" {
			break
		}
		query.Set("after", p.Next)
	}
	return items, nil
}

// writeJSON prints a value for programs.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// writeJSONLine prints a value on one line, for programs that read as it comes.
func writeJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// local shows a time for people, in their own zone.
func local(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
