package oauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// Grant is what a person has authorised. An alias of a plain struct, like Pair.
type Grant = struct {
	Account         string
	Access, Refresh vault.Secret
	ExpiresAt       time.Time
	Scopes          []string
}

// Connector keeps the connections. What is passed as also is made in the same commit, or not at all.
type Connector interface {
	// Put makes a connection active. Its error says FewerScopes() when it refuses to replace an active
	// connection by less.
	Put(ctx context.Context, g Grant, also ...func(context.Context, *events.Tx) error) error
	// Pending notes an account whose connection an app is to complete.
	Pending(ctx context.Context, account string, also ...func(context.Context, *events.Tx) error) error
}

// ConnectConfig is what a Connect needs.
type ConnectConfig struct {
	Client      *Client
	Connections Connector
	DB          *sqldb.DB
	Events      *events.Log
	Vault       *vault.Vault
	PublicURL   string   // as browsers see this gateway; the client's redirect URL is below it
	ReturnURLs  []string // the origins that return_url may have
	Scopes      []string // what is asked for
	// Accounts returns the accounts that an API caller is held to, nil for all; nil means all.
	Accounts func(echo.Context) []string
	Log      *slog.Logger
	Now      func() time.Time // nil means time.Now
}

// Connect is the browser's way through a connect link, and the API that makes and completes them.
type Connect struct {
	client      *Client
	connections Connector
	db          *sqldb.DB
	events      *events.Log
	vault       *vault.Vault
	public      string
	origins     []string
	scopes      []string
	accounts    func(echo.Context) []string
	log         *slog.Logger
	now         func() time.Time
	crossOrigin *http.CrossOriginProtection
	tries       map[string]attempts
}

// NewConnect checks the URLs.
func NewConnect(cfg ConnectConfig) (*Connect, error) {
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Host == "" {
		return nil, errors.New("the public URL is not an absolute URL")
	}
	c := &Connect{
		client: cfg.Client, connections: cfg.Connections, db: cfg.DB, events: cfg.Events, vault: cfg.Vault,
		public: strings.TrimSuffix(cfg.PublicURL, "/"), scopes: cfg.Scopes, accounts: cfg.Accounts,
		log: cfg.Log, now: cfg.Now, crossOrigin: http.NewCrossOriginProtection(), tries: map[string]attempts{},
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.accounts == nil {
		c.accounts = func(echo.Context) []string { return nil }
	}
	// A proxy may change the Host header, which a browser's Origin would otherwise be compared with.
	if err := c.crossOrigin.AddTrustedOrigin(origin(public)); err != nil {
		return nil, fmt.Errorf("the public URL has no usable origin: %w", err)
	}
	for _, raw := range cfg.ReturnURLs {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" ||
			(u.Scheme != "https" && u.Scheme != "http") {
			return nil, errors.New("GATEHOUSE_RETURN_URLS must be origins, such as https://app.example.com")
		}
		c.origins = append(c.origins, origin(u))
	}
	return c, nil
}

// StartPage is GET /oauth/start/:link. It changes nothing, so that mail scanners may open it.
func (c *Connect) StartPage(e echo.Context) error {
	r, err := c.read(e.Request().Context(), e.Param("link"))
	if err == nil {
		err = r.usable(c.now())
	}
	if err != nil {
		return c.problemPage(e, err)
	}
	return c.page(e, http.StatusOK, view{
		Title: "Connect DoorFlow", Reference: r.Reference, Account: r.Account, Scopes: describe(c.scopes),
		Button: true, Retry: r.Status != StatusOpen,
	}, c.formTargets(r))
}

// Start is POST /oauth/start/:link: the button. It binds a new state to the browser and leads to DoorFlow.
func (c *Connect) Start(e echo.Context) error {
	if err := c.crossOrigin.Check(e.Request()); err != nil {
		return c.page(e, http.StatusForbidden, view{
			Title: "Open the link itself",
			Text:  "This button was pressed from another site. Please open the connect link you were given and press it there.",
		}, "")
	}
	ctx := e.Request().Context()
	r, err := c.read(ctx, e.Param("link"))
	if err == nil {
		err = r.usable(c.now())
	}
	if err != nil {
		return c.problemPage(e, err)
	}
	browser := c.browser(e)
	if browser.IsZero() {
		browser = random()
	}
	state, verifier, err := c.newState(ctx, r.ID, browser)
	if err != nil {
		return c.problemPage(e, err)
	}
	e.SetCookie(c.cookie(browser))
	secureHeaders(e, "", c.formTargets(r))
	return e.Redirect(http.StatusFound, c.client.AuthCodeURL(state.Reveal(), verifier.Reveal(), c.scopes))
}

// formTargets are the origins that the form's answer may lead to: DoorFlow's, ours when DoorFlow needs to
// ask nothing, and from there the app's. Browsers apply form-action to every hop, and where DoorFlow sends
// people to sign in (a customer's own identity provider, perhaps) is not known here: so any over https.
func (c *Connect) formTargets(r linkRow) string {
	targets := "'self' https:"
	for _, raw := range []string{c.client.config.Endpoint.AuthURL, c.client.api, r.ReturnURL} {
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			targets += " " + origin(u)
		}
	}
	return targets
}

func (c *Connect) secure() bool { return strings.HasPrefix(c.public, "https://") }

// cookieName has the prefix that keeps other hosts and plain connections from setting the cookie, where
// browsers accept that.
func (c *Connect) cookieName() string {
	if c.secure() {
		return "__Host-gatehouse-oauth"
	}
	return "gatehouse-oauth"
}

// cookie is Lax, because DoorFlow's redirect back is a navigation from another site.
func (c *Connect) cookie(browser vault.Secret) *http.Cookie {
	return &http.Cookie{
		Name: c.cookieName(), Value: browser.Reveal(), Path: "/", MaxAge: int(stateFor.Seconds()),
		Secure: c.secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// browser returns what the cookie says, if it is one of ours. It is kept from tab to tab, so that two
// links may be open at once.
func (c *Connect) browser(e echo.Context) vault.Secret {
	cookie, err := e.Cookie(c.cookieName())
	if err != nil || len(cookie.Value) != len(random().Reveal()) {
		return vault.Secret{}
	}
	return vault.NewSecret(cookie.Value)
}
