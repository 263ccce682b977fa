package dashboard

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"gatehouse/apikeys"
	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
	"gatehouse/web"
)

// keyRow is a key as pages show it.
type keyRow struct {
	apikeys.Key
	Areas []area
	// Over tells that it has expired, and Own that the viewer is signed in with it.
	Over, Own bool
}

// All tells whether it may do everything.
func (k keyRow) All() bool { return slices.Contains(k.Scopes, apikeys.ScopeAdmin) }

// For says what it is held to.
func (k keyRow) For() string {
	if k.Accounts == nil && k.Identities == nil {
		return "all accounts and identities"
	}
	return limit("account", "accounts", k.Accounts) + "; " + limit("identity", "identities", k.Identities)
}

func limit(one, many string, ids []string) string {
	switch {
	case ids == nil:
		return "all " + many
	case len(ids) == 0:
		return "no " + one
	}
	return strings.Join(ids, ", ")
}

func (d *Dashboard) keyRow(c echo.Context, k apikeys.Key) keyRow {
	return keyRow{k, held(k.Scopes), !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(d.Now()), k.ID == web.KeyID(c)}
}

type keysPage struct {
	Items []keyRow
	Next  string
	First bool
}

// keys is GET /api-keys.
func (d *Dashboard) keys(c echo.Context) error {
	found, next, err := d.Keys.Page(c)
	if err != nil {
		return err
	}
	page := keysPage{Next: next, First: c.QueryParam("after") == ""}
	for _, k := range found {
		page.Items = append(page.Items, d.keyRow(c, k))
	}
	return d.show(c, "apikeys", "API keys", page)
}

// key is GET /api-keys/:id.
func (d *Dashboard) key(c echo.Context) error { return d.showKey(c, "apikey", "") }

// confirmRevoke is GET /api-keys/:id/revoke.
func (d *Dashboard) confirmRevoke(c echo.Context) error {
	return d.showKey(c, "apikey_revoke", "Revoke ")
}

func (d *Dashboard) showKey(c echo.Context, name, title string) error {
	found, err := d.Keys.Keys.Get(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return d.show(c, name, title+found.Name, d.keyRow(c, found))
}

// revokeKey is POST /api-keys/:id/revoke.
func (d *Dashboard) revokeKey(c echo.Context) error {
	if err := d.Keys.Keys.Revoke(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/api-keys?said=key-revoked")
}

// keyForm is what somebody has filled in so far.
type keyForm struct {
	Name, Preset, Days string
	// Accounts and Identities are ids with spaces or lines between, which count unless the Limit is "all".
	Accounts, Identities, AccountLimit, IdentityLimit string
	Areas                                             []area
}

// Lasting are how many days a key may be given on the page; the API takes any moment.
func (keyForm) Lasting() []string { return []string{"1", "7", "30", "90", "365"} }

// Presets are what a key is often made for.
func (keyForm) Presets() []preset { return presets }

// newKey is GET /api-keys/new.
func (d *Dashboard) newKey(c echo.Context) error {
	form := keyForm{AccountLimit: "all", IdentityLimit: "all", Areas: chosen(nil), Preset: c.QueryParam("for")}
	for _, p := range presets {
		if p.ID == form.Preset {
			form.Areas = chosen(p.Scopes)
		}
	}
	return d.show(c, "apikey_new", "Make an API key", form)
}

type keyMade struct {
	keyRow
	Secret vault.Secret
}

// createKey is POST /api-keys. Its answer is the only page that shows the key.
func (d *Dashboard) createKey(c echo.Context) error {
	sent, err := c.FormParams()
	if err != nil {
		return err
	}
	form := keyForm{
		Name: strings.TrimSpace(sent.Get("name")), Days: sent.Get("days"), Accounts: sent.Get("accounts"), Identities: sent.Get("identities"),
		AccountLimit: sent.Get("account_limit"), IdentityLimit: sent.Get("identity_limit"), Areas: chosen(sent["scope"]),
	}
	asked, err := form.request(d.Now())
	asked.Scopes = sent["scope"]
	var made apikeys.Key
	var secret vault.Secret
	if err == nil {
		made, secret, err = d.Keys.Keys.Create(c.Request().Context(), asked)
	}
	if err != nil {
		return d.again(c, err, "apikey_new", "base", "Make an API key", form)
	}
	return d.render(c, http.StatusCreated, "apikey_made", "base", made.Name, keyMade{d.keyRow(c, made), secret})
}

func (f keyForm) request(now time.Time) (apikeys.Request, error) {
	r := apikeys.Request{Name: f.Name}
	if f.AccountLimit != "all" {
		r.Accounts = listed(f.Accounts)
	}
	if f.IdentityLimit != "all" {
		r.Identities = listed(f.Identities)
	}
	if f.Days == "" {
		return r, nil
	}
	days, err := strconv.Atoi(f.Days)
	if err != nil || days < 1 || days > 3650 {
		return r, invalid.Field("expires_at", "must be a number of days, up to 3650, or nothing")
	}
	r.ExpiresAt = new(now.AddDate(0, 0, days).UTC().Format(time.RFC3339))
	return r, nil
}

// listed are the ids in a text field, with spaces, commas or lines between. It is never nil, which would mean all.
func listed(text string) []string {
	return append([]string{}, strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })...)
}
