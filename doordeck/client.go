package doordeck

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// UserAgent is sent with every request.
const UserAgent = "gatehouse"

const (
	// callTimeout bounds a call from dialling to the last byte of the answer. Doordeck's Kotlin SDK gives it
	// as long.
	callTimeout = 60 * time.Second
	// maxAnswer bounds what is read of an answer, and maxListing of a list of locks or users: some thousands,
	// whose public keys are 400 bytes each.
	maxAnswer  = 1 << 20
	maxListing = 8 << 20
	// maxFailure bounds what is read of an answer that is not a success.
	maxFailure = 64 << 10
)

// The kinds of answer that are asked for, which is how Doordeck tells its versions apart
// (https://portal.sentryinteractive.com/docs/cloud-api/encoding/versioning).
const (
	version1 = "application/json"
	version2 = "application/vnd.doordeck.api-v2+json"
	version3 = "application/vnd.doordeck.api-v3+json"
)

// Config says where the API is.
type Config struct {
	// URL is the API's base, such as https://api.doordeck.com. Tokens are sent to this origin and to no other.
	// Whether http may be used, which it should only on the same machine, is for the caller to judge.
	URL string
	// Transport is what requests go through; nil means one of the client's own, with limits.
	Transport http.RoundTripper
}

// Client calls the API. It holds no token: each call is given the one of whom it is made for. It may be used
// by many goroutines at once. A call ends with its context, or after a minute.
type Client struct {
	base *url.URL
	http *http.Client
}

// NewClient checks the URL; it does not call anybody.
func NewClient(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	if err != nil || (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" ||
		base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the Doordeck API URL must be like https://api.doordeck.com: no user, query or fragment")
	}
	if c.Transport == nil {
		c.Transport = NewTransport()
	}
	return &Client{base: base, http: &http.Client{
		Transport: c.Transport,
		// A redirect would carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// NewTransport is what a Client uses that is given none, for whoever wants to wrap it.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second}, // finds dead connections
		TLSHandshakeTimeout:    10 * time.Second,
		MaxConnsPerHost:        128,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// request is one call.
type request struct {
	method, path string // the path below the base; ids in it have been checked
	query        url.Values
	token        Token  // none for /time
	accept       string // one of the versions
	contentType  string // of the body
	body         []byte
	secrets      []string // what besides the token must appear in no error
	limit        int64    // of the answer, in bytes; 0 means maxAnswer
	mayBeEmpty   bool     // the answer's body
	door         bool     // a door answers, not only the cloud: 503 and 504 speak of it
	// connectWithin is how long a connection may take to come about; 0 means as long as the call.
	connectWithin time.Duration
}

// visible is what a token may be made of in a header.
var visible = regexp.MustCompile(`^[!-~]+$`)

// send makes the call and returns a success, whose body is the caller's to read and close.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	u := *c.base
	u.Path = strings.TrimSuffix(u.Path, "/") + r.path
	u.RawQuery = r.query.Encode()
	ctx, reaching := reach(ctx, r.connectWithin)
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, errors.New("doordeck: the request cannot be made")
	}
	req.Header.Set("Accept", r.accept)
	req.Header.Set("User-Agent", UserAgent)
	if len(r.body) > 0 {
		req.Header.Set("Content-Type", r.contentType)
	}
	secrets := append(r.secrets, r.token.Reveal())
	if r.token != (Token{}) {
		if !visible.MatchString(r.token.Reveal()) {
			return nil, errors.New("doordeck: the auth token holds signs that no token has")
		}
		req.Header.Set("Authorization", "Bearer "+r.token.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		e := unreached(ctx, err, secrets)
		e.Unsent = e.Unsent || reaching.inVain()
		return nil, e
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return resp, nil
	}
	defer resp.Body.Close()
	// What can be read of a broken answer is better than nothing: its status is known.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxFailure))
	return nil, newError(resp.StatusCode, resp.Header, body, r.door, secrets)
}

// ask makes a call and reads the JSON that answers it into a value.
func (c *Client) ask(ctx context.Context, r request, into any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
	defer cancel()
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	limit := cmp.Or(r.limit, maxAnswer)
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		e := unreached(ctx, err, append(r.secrets, r.token.Reveal()))
		e.Status = resp.StatusCode
		return e
	case int64(len(body)) > limit:
		return misread(resp.StatusCode, "the answer is too large")
	case r.mayBeEmpty && len(bytes.TrimSpace(body)) == 0:
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return misread(resp.StatusCode, "the answer is not what it should be")
	}
	return nil
}

// get asks for one thing.
func (c *Client) get(ctx context.Context, token Token, path, accept string, into any) error {
	return c.ask(ctx, request{method: http.MethodGet, path: path, token: token, accept: accept}, into)
}

// list asks for a list, in the only version there is of them.
func (c *Client) list(ctx context.Context, token Token, path string, into any) error {
	return c.ask(ctx, request{method: http.MethodGet, path: path, token: token, accept: version1, limit: maxListing}, into)
}

// post asks with a JSON body.
func (c *Client) post(ctx context.Context, token Token, path, accept string, body, into any, secrets ...string) error {
	return c.ask(ctx, request{
		method: http.MethodPost, path: path, token: token, accept: accept,
		contentType: "application/json", body: encode(body), secrets: secrets,
	}, into)
}
