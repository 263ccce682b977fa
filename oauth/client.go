package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/internal/vault"
)

const (
	// callTimeout is under half of the lease that a refresh holds.
	callTimeout = 12 * time.Second
	// maxReply bounds every reply of the token endpoints.
	maxReply = 64 << 10
	// assumedLifetime is that of a token which comes without expires_in. DoorFlow documents one hour:
	// https://developer.doorflow.com/guides/authentication/token-refresh
	assumedLifetime = time.Hour
)

// Pair is what DoorFlow gives for a code or a refresh token. An alias of a plain struct, so that another
// package can have the same type without importing this one.
type Pair = struct {
	Access, Refresh vault.Secret
	ExpiresAt       time.Time
	Scopes          []string
}

// Config describes the OAuth application.
type Config struct {
	ClientID     string
	ClientSecret vault.Secret
	AuthorizeURL string // the page in the browser, usually on another host than the rest
	APIURL       string // /oauth/token, /oauth/revoke and /oauth/token/info are below it
	RedirectURL  string // exactly as registered with DoorFlow
	// Transport is what requests go through; nil means http.DefaultTransport.
	Transport http.RoundTripper
	Now       func() time.Time // nil means time.Now
}

// Client calls DoorFlow's OAuth endpoints. Its errors are *Error.
type Client struct {
	config oauth2.Config
	api    string
	secret vault.Secret
	http   *http.Client
	now    func() time.Time
}

// NewClient checks the URLs; it does not call anybody.
func NewClient(c Config) (*Client, error) {
	for name, raw := range map[string]string{"authorize": c.AuthorizeURL, "API": c.APIURL, "redirect": c.RedirectURL} {
		if u, err := url.Parse(raw); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
			return nil, fmt.Errorf("the DoorFlow %s URL is not an http(s) URL", name)
		}
	}
	if c.ClientID == "" || c.ClientSecret.IsZero() {
		return nil, errors.New("the DoorFlow client id and client secret are both needed")
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	api := strings.TrimSuffix(c.APIURL, "/")
	return &Client{
		// The secret goes into the form body, as DoorFlow documents. Left to guess, x/oauth2 would send a
		// refresh token twice when the first answer is an error.
		config: oauth2.Config{
			ClientID: c.ClientID, RedirectURL: c.RedirectURL,
			Endpoint: oauth2.Endpoint{AuthURL: c.AuthorizeURL, TokenURL: api + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams},
		},
		api: api, secret: c.ClientSecret, now: c.Now,
		http: &http.Client{
			Transport: bounded{c.Transport}, Timeout: callTimeout,
			// A redirect would carry the form, and with it the secrets, elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// AuthCodeURL is where the browser goes to be asked.
func (c *Client) AuthCodeURL(state, verifier string, scopes []string) string {
	config := c.config
	config.Scopes = scopes
	return config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))
}

// Exchange redeems a code.
func (c *Client) Exchange(ctx context.Context, code, verifier vault.Secret) (Pair, error) {
	ctx, config := c.call(ctx)
	token, err := config.Exchange(ctx, code.Reveal(), oauth2.VerifierOption(verifier.Reveal()))
	if err != nil {
		return Pair{}, fromFailure("exchanging the code", err)
	}
	if token.RefreshToken == "" {
		return Pair{}, &Error{Class: Rejected, Op: "exchanging the code", Code: "no refresh token in the reply", Status: http.StatusOK}
	}
	return c.pair(token), nil
}

// Refresh asks for a new pair, once: a failed call may have rotated the token, so whether and when to
// try again is for the caller to decide.
func (c *Client) Refresh(ctx context.Context, refresh vault.Secret) (Pair, error) {
	ctx, config := c.call(ctx)
	// A TokenSource for one use: one that lives on would keep a rotated token to itself.
	token, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh.Reveal()}).Token()
	if err != nil {
		return Pair{}, fromFailure("refreshing", err)
	}
	return c.pair(token), nil
}

func (c *Client) call(ctx context.Context) (context.Context, oauth2.Config) {
	config := c.config
	config.ClientSecret = c.secret.Reveal()
	return context.WithValue(ctx, oauth2.HTTPClient, c.http), config
}

// pair counts the lifetime from now, by our own clock: created_at is by DoorFlow's.
func (c *Client) pair(t *oauth2.Token) Pair {
	lifetime := assumedLifetime
	if t.ExpiresIn > 0 {
		lifetime = time.Duration(min(t.ExpiresIn, 365*24*3600)) * time.Second
	}
	scope, _ := t.Extra("scope").(string)
	return Pair{
		Access: vault.NewSecret(t.AccessToken), Refresh: vault.NewSecret(t.RefreshToken),
		ExpiresAt: c.now().Add(lifetime), Scopes: strings.Fields(scope),
	}
}

// bounded cuts replies off, so that a hostile or broken server cannot fill the memory.
type bounded struct{ base http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxReply), resp.Body}
	return resp, nil
}
