package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/oauth"
	"gatehouse/tokens"
)

type connectionsPage struct {
	Items []tokens.Connection
	Next  string
	First bool
}

// connections is GET /connections.
func (d *Dashboard) connections(c echo.Context) error {
	items, next, err := d.Connections.Page(c)
	if err != nil {
		return err
	}
	return d.show(c, "connections", "Connections", connectionsPage{items, next, c.QueryParam("after") == ""})
}

// scope is one of DoorFlow's, with what it allows in plain words.
type scope struct {
	Name, Means     string
	Wanted, Granted bool
}

type connectionPage struct {
	tokens.Connection
	Wants []scope
}

// connection is GET /connections/:account.
func (d *Dashboard) connection(c echo.Context) error {
	found, err := d.Connections.Find(c)
	if err != nil {
		return err
	}
	return d.show(c, "connection", found.Account, connectionPage{found, d.scopes(found)})
}

// scopes are those that were wanted, and then what was granted beyond. A write scope covers its reading twin.
func (d *Dashboard) scopes(c tokens.Connection) []scope {
	var all []scope
	for _, name := range d.WantedScopes {
		all = append(all, scope{name, oauth.Describe(name), true, c.Status != tokens.StatusDisconnected && len(tokens.Missing(c.Scopes, []string{name})) == 0})
	}
	for _, name := range c.Scopes {
		if !slices.Contains(d.WantedScopes, name) {
			all = append(all, scope{name, oauth.Describe(name), false, true})
		}
	}
	return all
}

// confirmDisconnect is GET /connections/:account/disconnect.
func (d *Dashboard) confirmDisconnect(c echo.Context) error {
	found, err := d.Connections.Find(c)
	if err != nil {
		return err
	}
	return d.show(c, "disconnect", "Disconnect "+found.Account, found)
}

// disconnect is POST /connections/:account/disconnect.
func (d *Dashboard) disconnect(c echo.Context) error {
	account, revoked, err := d.Connections.Disconnect(c)
	if err != nil {
		return err
	}
	said := "disconnected"
	if !revoked {
		said = "disconnected-not-yet"
	}
	return c.Redirect(http.StatusSeeOther, "/connections/"+url.PathEscape(account)+"?said="+said)
}

type connectPage struct{ Account, Reference string }

// connectForm is GET /connect.
func (d *Dashboard) connectForm(c echo.Context) error {
	return d.show(c, "connect", connectTitle(c.QueryParam("account")), connectPage{Account: c.QueryParam("account")})
}

func connectTitle(account string) string {
	if account == "" {
		return "Connect an account"
	}
	return "Reauthorize " + account
}

// connect is POST /connect: it makes a link.
func (d *Dashboard) connect(c echo.Context) error {
	typed := connectPage{strings.TrimSpace(c.FormValue("account")), strings.TrimSpace(c.FormValue("reference"))}
	link, err := d.Connect.CreateFor(c, oauth.LinkRequest{Account: typed.Account, Reference: typed.Reference})
	if err != nil {
		return d.again(c, err, "connect", "base", connectTitle(""), typed)
	}
	return c.Redirect(http.StatusSeeOther, "/connect/"+link.ID)
}

// connectLink is GET /connect/:link: where somebody waits for a link to be used.
func (d *Dashboard) connectLink(c echo.Context) error {
	link, err := d.Connect.FindLink(c)
	if err != nil {
		return err
	}
	return d.show(c, "link", "Connect link", link)
}

func (d *Dashboard) connectLinkLive(c echo.Context) error {
	link, err := d.Connect.FindLink(c)
	if err != nil {
		return err
	}
	return d.part(c, "link", "live", link)
}
