package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/vault"
)

// callbackFor bounds the work of a callback: two calls to DoorFlow and a commit.
const callbackFor = 45 * time.Second

// failure is why a link could not connect: a short code for the app and the log.
type failure struct {
	status string // denied or failed
	code   string
	cause  error
}

func (f *failure) Error() string {
	if f.cause != nil {
		return f.code + ": " + f.cause.Error()
	}
	return f.code
}

func (f *failure) Unwrap() error { return f.cause }

// Callback is GET /oauth/callback, where DoorFlow sends the browser with its answer.
func (c *Connect) Callback(e echo.Context) error {
	// State and code work once, so what they start is finished although the browser may leave.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.Request().Context()), callbackFor)
	defer cancel()
	// It may take longer than the server gives answers in general. What cannot set this has no such limit.
	_ = http.NewResponseController(e.Response()).SetWriteDeadline(time.Now().Add(callbackFor + 5*time.Second))
	query := e.Request().URL.Query()
	link, verifier, err := c.takeState(ctx, vault.NewSecret(query.Get("state")), c.browser(e))
	if err != nil {
		return c.problemPage(e, err)
	}
	r, err := c.read(ctx, link)
	if err == nil {
		err = r.usable(c.now())
	}
	if err != nil {
		return c.problemPage(e, err)
	}
	granted, code, err := c.receive(ctx, r, query, verifier)
	if failed, ok := errors.AsType[*failure](err); ok {
		return c.failed(ctx, e, r, failed)
	}
	if err != nil {
		return c.problemPage(e, err)
	}
	if r.ReturnURL != "" {
		return c.goBack(e, r, url.Values{"code": {code.Reveal()}})
	}
	return c.page(e, http.StatusOK, view{
		Title: "Connected", Text: "DoorFlow is connected. You can close this page.",
		Account: granted.Account, Reference: r.Reference, Missing: describe(missing(granted.Scopes, c.scopes)),
	}, "")
}

// receive turns DoorFlow's answer into a connection, or into a pending link with its code.
func (c *Connect) receive(ctx context.Context, r linkRow, query url.Values, verifier vault.Secret) (g Grant, code vault.Secret, err error) {
	if refused := query.Get("error"); refused == "access_denied" {
		return g, code, &failure{status: StatusDenied, code: "access_denied"}
	} else if refused != "" {
		return g, code, &failure{status: StatusFailed, code: known(refused)}
	}
	if query.Get("code") == "" {
		return g, code, &failure{status: StatusFailed, code: "invalid_request"}
	}
	pair, err := c.client.Exchange(ctx, vault.NewSecret(query.Get("code")), verifier)
	if err != nil {
		return g, code, c.doorflowFailed(err)
	}
	info, err := c.client.TokenInfo(ctx, pair.Access)
	if err != nil {
		c.abandon(ctx, r.ID, pair.Refresh)
		return g, code, c.doorflowFailed(err)
	}
	if len(info.Scopes) > 0 {
		pair.Scopes = info.Scopes
	}
	if r.Account != "" && r.Account != info.Account {
		c.abandon(ctx, r.ID, pair.Refresh)
		return g, code, &failure{status: StatusFailed, code: "account_mismatch"}
	}
	g = Grant{Account: info.Account, Access: pair.Access, Refresh: pair.Refresh, ExpiresAt: pair.ExpiresAt, Scopes: pair.Scopes}
	if r.ReturnURL == "" {
		err = c.connections.Put(ctx, g, c.spend(ctx, r.ID, g.Account, g.Scopes))
	} else {
		code = random()
		err = c.wait(ctx, r.ID, g.Account, pair, code)
	}
	if f, refused := fewer(err); refused || errors.Is(err, ErrLinkSpent) {
		// Known not to have been stored; after any other error the tokens may be in use.
		c.abandon(ctx, r.ID, pair.Refresh)
		if refused {
			return g, code, f
		}
	}
	return g, code, err
}

// wait keeps the tokens with the link until the app completes it.
func (c *Connect) wait(ctx context.Context, link, account string, pair Pair, code vault.Secret) error {
	pend, err := c.pend(link, account, pair, code)
	if err != nil {
		return err
	}
	return c.connections.Pending(ctx, account, pend)
}

// fewer recognises the refusal to replace a connection by one with fewer scopes.
func fewer(err error) (*failure, bool) {
	e, ok := errors.AsType[interface {
		error
		FewerScopes() bool
	}](err)
	if !ok || !e.FewerScopes() {
		return nil, false
	}
	return &failure{status: StatusFailed, code: "insufficient_scope"}, true
}

// known keeps foreign text out of our tables, pages and URLs.
func known(code string) string {
	switch code {
	case "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "server_error", "temporarily_unavailable":
		return code
	}
	return "authorization_failed"
}

func (c *Connect) doorflowFailed(err error) *failure {
	f := &failure{status: StatusFailed, code: "doorflow_unavailable", cause: err}
	if e, ok := errors.AsType[*Error](err); ok {
		switch e.Class {
		case Revoked:
			f.code = "invalid_grant"
		case Misconfigured:
			f.code = "misconfigured"
			c.log.Error("DoorFlow refuses this gateway's client id or secret: nobody can connect; check GATEHOUSE_DOORFLOW_CLIENT_ID and _CLIENT_SECRET",
				"error", err)
		case Rejected:
			f.code = "authorization_failed"
		}
	}
	return f
}

// failed notes how it ended and tells the person, or the app by way of the browser.
func (c *Connect) failed(ctx context.Context, e echo.Context, r linkRow, f *failure) error {
	c.log.Info("a connect link did not connect", "status", f.status, "error", f.code, "cause", f.cause)
	if err := c.settle(ctx, r.ID, f.status, f.code); err != nil {
		return c.problemPage(e, err)
	}
	if r.ReturnURL != "" {
		answer := url.Values{"status": {f.status}}
		if f.status == StatusFailed {
			answer.Set("error", f.code)
		}
		return c.goBack(e, r, answer)
	}
	return c.failurePage(e, r, f)
}

// goBack sends the browser to the app. What its return_url had in the query stays as it was.
func (c *Connect) goBack(e echo.Context, r linkRow, answer url.Values) error {
	answer.Set("link", r.ID)
	target := r.ReturnURL
	switch {
	case strings.HasSuffix(target, "?"), strings.HasSuffix(target, "&"):
	case strings.Contains(target, "?"):
		target += "&"
	default:
		target += "?"
	}
	secureHeaders(e, "", "")
	return e.Redirect(http.StatusFound, target+answer.Encode())
}
