package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/audit"
	"gatehouse/internal/vault"
)

var (
	errUnauthorized = errors.New("web: no valid key")
	errForbidden    = errors.New("web: the key lacks the scope")
	errWrongKey     = errors.New("web: somebody signed in with a wrong key")
)

// scopeAdmin is the scope that stands for all.
const scopeAdmin = "admin"

// Caller is who asks, as far as a key tells.
type Caller struct {
	// ID is the key's, Name what its maker called it.
	ID, Name string
	// Scopes are `area:verb` as the route table names them, or `admin`, which stands for all.
	Scopes []string
	// Accounts and Identities are what the caller is held to; nil means all, an empty list none.
	Accounts, Identities []string
}

// May tells whether the caller has a scope.
func (c Caller) May(scope string) bool {
	return slices.Contains(c.Scopes, scope) || slices.Contains(c.Scopes, scopeAdmin)
}

// Authenticator finds the caller behind a key; ok is false when there is none. An error says that it
// could not be found out.
type Authenticator func(ctx context.Context, key vault.Secret) (caller Caller, ok bool, err error)

type callerKey struct{}

// pass tells whether what a caller came with, a key or a session, still works.
type pass func(context.Context) (bool, error)

type passKey struct{}

// CallerFrom returns who makes the request that a context belongs to.
func CallerFrom(ctx context.Context) (Caller, bool) {
	caller, ok := ctx.Value(callerKey{}).(Caller)
	return caller, ok
}

// KeyID returns the id of the key that a request came with, "" without a caller.
func KeyID(c echo.Context) string {
	caller, _ := CallerFrom(c.Request().Context())
	return caller.ID
}

// Accounts returns the accounts that a request's caller is held to, nil for all. A request without a caller
// is held to none.
func Accounts(c echo.Context) []string {
	caller, ok := CallerFrom(c.Request().Context())
	if !ok {
		return []string{}
	}
	return caller.Accounts
}

// Identities is Accounts for identities.
func Identities(c echo.Context) []string {
	caller, ok := CallerFrom(c.Request().Context())
	if !ok {
		return []string{}
	}
	return caller.Identities
}

// requires lets only callers with the scope pass. The key is read from the Authorization header and from
// nowhere else: cookies come along without anybody's will, and query parameters end up in logs.
func (s *Server) requires(scope string) echo.MiddlewareFunc {
	return s.requiresThat(hasScope(scope))
}

// hasScope has no objection to callers with the scope.
func hasScope(scope string) func(Caller, *http.Request) error {
	return func(c Caller, _ *http.Request) error {
		if !c.May(scope) {
			return lacksScope(scope)
		}
		return nil
	}
}

// lacksScope is errForbidden, with the scope that would do.
type lacksScope string

func (s lacksScope) Error() string { return errForbidden.Error() + " " + string(s) }

func (s lacksScope) Is(target error) bool { return target == errForbidden }

// requiresOneOf lets callers with any of the scopes pass, for handlers that decide by more than the route.
func (s *Server) requiresOneOf(scopes ...string) echo.MiddlewareFunc {
	return s.requiresThat(hasOneOf(scopes...))
}

// hasOneOf has no objection to callers with any of the scopes.
func hasOneOf(scopes ...string) func(Caller, *http.Request) error {
	return func(c Caller, _ *http.Request) error {
		if !slices.ContainsFunc(scopes, c.May) {
			return errForbidden
		}
		return nil
	}
}

// requiresFor is requires where the scope depends on the request. An error of scopeOf is answered to callers
// with a valid key.
func (s *Server) requiresFor(scopeOf func(*http.Request) (string, error)) echo.MiddlewareFunc {
	return s.requiresThat(func(c Caller, r *http.Request) error {
		if scope, err := scopeOf(r); err != nil {
			return err
		} else if !c.May(scope) {
			return lacksScope(scope)
		}
		return nil
	})
}

// requiresThat lets callers with a valid key pass to whom allowed has no objection.
func (s *Server) requiresThat(allowed func(Caller, *http.Request) error) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			key, ok := bearer(r.Header.Values(echo.HeaderAuthorization))
			if !ok {
				return s.nobody(c)
			}
			caller, ok, err := s.identify(c, key)
			switch {
			case err != nil:
				return err
			case !ok:
				return s.nobody(c)
			}
			return s.admit(c, caller, func(ctx context.Context) (bool, error) {
				_, ok, err := s.config.Authenticate(ctx, key)
				return ok, err
			}, allowed, next)
		}
	}
}

// admit decides whether a caller may do what a request asks for, and if so has it done in the caller's name.
func (s *Server) admit(c echo.Context, caller Caller, p pass, allowed func(Caller, *http.Request) error, next echo.HandlerFunc) error {
	r := c.Request()
	if err := allowed(caller, r); err != nil {
		return err
	}
	ctx := context.WithValue(context.WithValue(r.Context(), callerKey{}, caller), passKey{}, p)
	c.SetRequest(r.WithContext(acting(ctx, c, audit.Actor{Kind: audit.KindKey, Name: caller.Name, KeyID: caller.ID})))
	return s.whileBodyComes(c, p, next)
}

// acting notes who makes a request, and from where, for what is recorded of it.
func acting(ctx context.Context, c echo.Context, a audit.Actor) context.Context {
	a.Remote, a.RequestID = c.RealIP(), RequestID(ctx)
	return audit.WithActor(ctx, a)
}

// fromBrowser is for routes that anybody's browser may come to, and that change something.
func fromBrowser(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		c.SetRequest(r.WithContext(acting(r.Context(), c, audit.Actor{Kind: audit.KindBrowser})))
		return next(c)
	}
}

func bearer(headers []string) (vault.Secret, bool) {
	if len(headers) != 1 {
		return vault.Secret{}, false
	}
	scheme, key, found := strings.Cut(headers[0], " ")
	return vault.NewSecret(key), found && strings.EqualFold(scheme, "Bearer") && key != ""
}
