package tokens

import (
	"io"
	"net/http"
	"net/url"

	"gatehouse/internal/vault"
)

// Client returns a client that adds the account's token to requests for the configured API and for
// nothing else. A 401 is answered once with another token, if the request can be sent again (no body, or
// GetBody). It follows no redirects: one could lead the token away. nil as base is
// http.DefaultTransport. The caller sets timeouts through its contexts, and takes care not to show the
// errors of http.Client whole: *url.Error quotes the URL with its query.
func (k *Keeper) Client(account string, base http.RoundTripper) *http.Client {
	if base == nil {
		base = http.DefaultTransport
	}
	return &http.Client{
		Transport:     &transport{keeper: k, account: account, base: base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type transport struct {
	keeper  *Keeper
	account string
	base    http.RoundTripper
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.keeper.isAPI(req) {
		closeBody(req)
		return nil, ErrForeignOrigin
	}
	token, err := t.keeper.Token(req.Context(), t.account)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base.RoundTrip(bearing(req, token))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusUnauthorized {
		t.keeper.pace.worked(t.account)
		return resp, nil
	}
	other, err := t.keeper.Rejected(req.Context(), t.account, token)
	again, ok := resendable(req)
	if err == nil && !ok {
		return resp, nil // the caller sees the 401, and its next request has the other token
	}
	drain(resp)
	if err != nil {
		return nil, err
	}
	if resp, err = t.base.RoundTrip(bearing(again, other)); err == nil && resp.StatusCode != http.StatusUnauthorized {
		t.keeper.pace.worked(t.account)
	}
	return resp, err
}

// isAPI compares the origin exactly, and the Host header with it.
func (k *Keeper) isAPI(req *http.Request) bool {
	api, err := url.Parse(k.apiURL)
	return err == nil && api.Host != "" && req.URL.Scheme == api.Scheme && req.URL.Host == api.Host &&
		req.URL.User == nil && (req.Host == "" || req.Host == api.Host)
}

func bearing(req *http.Request, token vault.Secret) *http.Request {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token.Reveal())
	return req
}

// resendable returns a copy of the request with its body from the start.
func resendable(req *http.Request) (*http.Request, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, true
}

// drain lets the connection be used again, within limits.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
