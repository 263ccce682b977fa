package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/apikeys"
	"gatehouse/internal/audit"
	"gatehouse/internal/vault"
	"gatehouse/sessions"
)

// CallerOf is who comes with a key.
func CallerOf(key apikeys.Key) Caller {
	return Caller{ID: key.ID, Name: key.Name, Scopes: key.Scopes, Accounts: key.Accounts, Identities: key.Identities}
}

// signIn is how browsers of one listener get their sessions, show them and end them.
type signIn struct {
	*Server
	secure bool
}

// cookieName has the prefix that keeps other hosts and plain connections from setting the cookie, where browsers
// accept that.
func (s signIn) cookieName(c echo.Context) string {
	if s.overTLS(c) {
		return "__Host-gatehouse-session"
	}
	return "gatehouse-session"
}

func (s signIn) overTLS(c echo.Context) bool { return s.secure || c.Scheme() == "https" }

// cookie is Lax: a link to a message, in a mail perhaps, leads to it. What changes something is checked by its origin.
func (s signIn) cookie(c echo.Context, token vault.Secret) *http.Cookie {
	cookie := &http.Cookie{
		Name: s.cookieName(c), Value: token.Reveal(), Path: "/", MaxAge: int(sessions.Lasts.Seconds()),
		Secure: s.overTLS(c), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if token.IsZero() {
		cookie.MaxAge = -1
	}
	return cookie
}

func (s signIn) token(c echo.Context) vault.Secret {
	cookie, err := c.Cookie(s.cookieName(c))
	if err != nil {
		return vault.Secret{}
	}
	return vault.NewSecret(cookie.Value)
}

const sessionKey = "session"

// SessionID names the session that a page was asked for with; see sessions.ID.
func SessionID(c echo.Context) string {
	id, _ := c.Get(sessionKey).(string)
	return id
}

// browser is who asks for a session.
func (s signIn) browser(c echo.Context) sessions.Browser {
	return sessions.Browser{Says: c.Request().UserAgent(), Had: s.token(c)}
}

// signedIn lets those pass who have a session whose key may do what the page needs, exactly as requires does for
// programs. The key is looked up anew with every request.
func (s signIn) signedIn(p Page) echo.MiddlewareFunc {
	allowed := func(Caller, *http.Request) error { return nil }
	switch {
	case p.Or != "":
		allowed = hasOneOf(p.Scope, p.Or)
	case p.Scope != "":
		allowed = hasScope(p.Scope)
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			token, now := s.token(c), time.Now()
			// A cookie that has worked from there is looked up; any other counts first, like who has none.
			k := knownKey{s.address(c), sha256.Sum256([]byte(token.Reveal()))}
			if token.IsZero() || !s.guard.knows(k, now) {
				if err := s.countAddress(c); err != nil {
					return err
				}
			}
			key, ok, err := s.find(c.Request().Context(), token, !p.Background)
			if err != nil {
				return err
			}
			if !ok {
				return s.stranger(c, p, next)
			}
			s.guard.right(k, now)
			if err := s.countKey(c, key.ID); err != nil {
				return err
			}
			c.Set(sessionKey, sessions.ID(token))
			return s.admit(c, CallerOf(key), func(ctx context.Context) (bool, error) {
				_, ok, err := s.config.Sessions.Find(ctx, token, false)
				return ok, err
			}, allowed, next)
		}
	}
}

// find looks a session up.
func (s signIn) find(ctx context.Context, token vault.Secret, used bool) (apikeys.Key, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpWithin)
	defer cancel()
	return s.config.Sessions.Find(ctx, token, used)
}

// stranger shows who is not signed in where to do that, or what is open to all.
func (s signIn) stranger(c echo.Context, p Page, open echo.HandlerFunc) error {
	switch {
	case p.Open:
		return open(c)
	case c.Request().Header.Get("HX-Request") != "" && c.Request().Method != http.MethodGet && p.Path != "":
		// A part of a form that is being filled in: to lead elsewhere would lose what was typed.
		return s.config.Dashboard.Problem(c, newProblem(http.StatusUnauthorized, "signed-out", "you are signed out, and nothing was done: reload the page to sign in again", 0))
	case p.Background || p.Stream || c.Request().Header.Get("HX-Request") != "":
		c.Response().Header().Set("HX-Redirect", "/") // a page that was left open, and its session has ended
		return c.NoContent(http.StatusUnauthorized)
	case c.Request().Method != http.MethodGet && p.Path != "":
		// What was typed is in the browser's request and nowhere else. To reload this answer sends it again.
		unsent := newProblem(http.StatusUnauthorized, "signed-out", "you were signed out, and nothing was done; "+
			"to send it after all, sign in here, which opens a new tab, and then reload this one", 0)
		return s.config.Dashboard.SignIn(c, unsent.Status, "", &unsent)
	case c.Request().Method != http.MethodGet:
		return c.Redirect(http.StatusSeeOther, "/")
	case c.Path() == "/":
		var why *Problem
		if !s.token(c).IsZero() {
			ended := newProblem(http.StatusOK, "signed-out", "you are signed out: the session has ended, or its key does not work any more", 0)
			why = &ended
		}
		return s.config.Dashboard.SignIn(c, http.StatusOK, local(c.QueryParam("to")), why)
	}
	return c.Redirect(http.StatusSeeOther, "/?"+url.Values{"to": {c.Request().URL.RequestURI()}}.Encode())
}

// local is a path on this server, "/" for everything else: nobody is sent elsewhere after signing in.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || len(to) > 2048 || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") ||
		strings.ContainsFunc(to, func(r rune) bool { return r == '\\' || r < ' ' }) {
		return "/"
	}
	return to
}

// withKey is POST /sign-in: a person has typed a key.
func (s signIn) withKey(c echo.Context) error {
	key, to := vault.NewSecret(strings.TrimSpace(c.FormValue("key"))), local(c.FormValue("to"))
	caller, ok, err := s.identify(c, key)
	if err == nil && !ok {
		err = errWrongKey
		if refused := s.refused(c, "with a key"); refused != nil {
			return refused
		}
	}
	if err != nil {
		p, expected := problemOf(err)
		if !expected {
			return err
		}
		return s.config.Dashboard.SignIn(c, p.Status, to, &p)
	}
	ctx := acting(c.Request().Context(), c, audit.Actor{Kind: audit.KindKey, Name: caller.Name, KeyID: caller.ID})
	token, err := s.config.Sessions.Open(ctx, caller.ID, s.browser(c))
	if err != nil {
		return err
	}
	c.SetCookie(s.cookie(c, token))
	return c.Redirect(http.StatusSeeOther, to)
}

// refused records a sign-in that failed. Nothing is said of the key or link that was tried but which it was.
func (s signIn) refused(c echo.Context, with string) error {
	s.metrics.refused.WithLabelValues("sign_in").Inc()
	if !s.refusals.Allow() {
		return nil
	}
	ctx := c.Request().Context()
	return s.config.Record(ctx, audit.Entry{Actor: audit.ActorFrom(ctx), Action: "session.open", Target: with, Outcome: audit.Refused})
}

// linkPage is GET /sign-in/:token. It spends nothing: programs that preview links open them too.
func (s signIn) linkPage(c echo.Context) error {
	if err := s.config.Sessions.Usable(c.Request().Context(), vault.NewSecret(c.Param("token"))); err != nil {
		return err
	}
	return s.config.Dashboard.LinkPage(c)
}

// withLink is POST /sign-in/:token: the button.
func (s signIn) withLink(c echo.Context) error {
	token, err := s.config.Sessions.Redeem(c.Request().Context(), vault.NewSecret(c.Param("token")), s.browser(c))
	if errors.Is(err, sessions.ErrLink) {
		return errors.Join(err, s.refused(c, "with a link"))
	}
	if err != nil {
		return err
	}
	c.SetCookie(s.cookie(c, token))
	return c.Redirect(http.StatusSeeOther, "/")
}

// out is POST /sign-out.
func (s signIn) out(c echo.Context) error {
	if err := s.config.Sessions.End(c.Request().Context(), s.token(c)); err != nil {
		return err
	}
	c.SetCookie(s.cookie(c, vault.Secret{}))
	return c.Redirect(http.StatusSeeOther, "/")
}

// outEverywhere is POST /sign-out-everywhere: it ends all sessions of the key.
func (s signIn) outEverywhere(c echo.Context) error {
	caller, _ := CallerFrom(c.Request().Context())
	if err := s.config.Sessions.EndAll(c.Request().Context(), caller.ID); err != nil {
		return err
	}
	c.SetCookie(s.cookie(c, vault.Secret{}))
	return c.Redirect(http.StatusSeeOther, "/")
}
