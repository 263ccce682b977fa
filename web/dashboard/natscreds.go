package dashboard

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/vault"
)

type credsPage struct {
	Items []natsauth.Credential
	Next  string
	First bool
}

// creds is GET /nats-credentials.
func (d *Dashboard) creds(c echo.Context) error {
	items, next, err := d.NATS.Page(c)
	if err != nil {
		return err
	}
	return d.show(c, "creds", "NATS credentials", credsPage{items, next, c.QueryParam("after") == ""})
}

// cred is GET /nats-credentials/:name, and confirmRevokeCred GET /nats-credentials/:name/revoke.
func (d *Dashboard) cred(c echo.Context) error { return d.showCred(c, "cred", "") }

func (d *Dashboard) confirmRevokeCred(c echo.Context) error {
	return d.showCred(c, "cred_revoke", "Revoke ")
}

func (d *Dashboard) showCred(c echo.Context, page, title string) error {
	found, err := d.NATS.Find(c)
	if err != nil {
		return err
	}
	return d.show(c, page, title+found.Name, &found)
}

// revokeCred is POST /nats-credentials/:name/revoke.
func (d *Dashboard) revokeCred(c echo.Context) error {
	if err := d.NATS.Revoke(c); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/nats-credentials?said=creds-revoked")
}

// credForm is what somebody has filled in so far. On the page all identities get the same; the API can tell them apart.
type credForm struct {
	Name, Events, Accounts, Identities, Days string
	Ask, Command                             []choice
	Durable                                  bool
}

// choice is an operation that can be granted.
type choice struct {
	Value, Does string
	Has         bool
}

// Lasting are how many days a credential may be given on the page; "" means ninety.
func (credForm) Lasting() []string { return []string{"1", "7", "30", "365"} }

var (
	asks = []choice{
		{Value: "share", Does: "Share a door"},
		{Value: "revoke", Does: "Take access back"},
		{Value: "unlock", Does: "Unlock a door"},
		{Value: "lookup", Does: "Look people up"},
		{Value: "doors", Does: "List the doors"},
		{Value: "door", Does: "Show a door"},
	}
	commands = asks[:3]
)

func choose(all []choice, values []string) []choice {
	some := slices.Clone(all)
	for i := range some {
		some[i].Has = slices.Contains(values, some[i].Value)
	}
	return some
}

// newCred is GET /nats-credentials/+new. No credential can have that name.
func (d *Dashboard) newCred(c echo.Context) error {
	return d.show(c, "cred_new", "Make NATS credentials", credForm{Events: "all", Ask: asks, Command: commands})
}

type credMade struct {
	*natsauth.Credential
	File vault.Secret
}

// createCred is POST /nats-credentials. Its answer is the only page that shows the file.
func (d *Dashboard) createCred(c echo.Context) error {
	sent, err := c.FormParams()
	if err != nil {
		return err
	}
	form := credForm{
		Name: strings.TrimSpace(sent.Get("name")), Events: sent.Get("events"), Accounts: sent.Get("accounts"), Identities: sent.Get("identities"),
		Days: sent.Get("days"), Ask: choose(asks, sent["ask"]), Command: choose(commands, sent["command"]), Durable: sent.Has("durable"),
	}
	asked, err := form.request(d.Now(), sent["ask"], sent["command"])
	var made natsauth.Credential
	var file vault.Secret
	if err == nil {
		made, file, err = d.NATS.Make(c, asked)
	}
	if err != nil {
		return d.again(c, err, "cred_new", "base", "Make NATS credentials", form)
	}
	return d.render(c, http.StatusCreated, "cred_made", "base", made.Name, credMade{&made, file})
}

func (f credForm) request(now time.Time, ask, command []string) (natsauth.Request, error) {
	r := natsauth.Request{Grant: natsauth.Grant{Name: f.Name, Durable: f.Durable}}
	switch f.Events {
	case "all":
		r.Events = []string{"*"}
	case "some":
		r.Events = listed(f.Accounts)
	}
	identities := listed(f.Identities)
	if len(identities) == 0 && len(ask)+len(command) > 0 {
		return r, invalid.Field("identities", "must be named: what may be asked is asked of an identity")
	}
	r.Ask, r.Command = granted(identities, ask), granted(identities, command)
	if f.Days == "" {
		return r, nil
	}
	days, err := strconv.Atoi(f.Days)
	if err != nil || days < 1 || days > 3650 {
		return r, invalid.Field("expires_at", "must be a number of days, up to 3650, or nothing")
	}
	ends := now.AddDate(0, 0, days)
	r.ExpiresAt = &ends
	return r, nil
}

// granted gives each identity the same operations.
func granted(identities, operations []string) map[string][]string {
	if len(operations) == 0 {
		return nil
	}
	all := map[string][]string{}
	for _, i := range identities {
		all[i] = slices.Clone(operations)
	}
	return all
}

// grants are the operations of a credential by identity, in words.
func grants(by map[string][]string) string {
	var said []string
	for _, identity := range slices.Sorted(maps.Keys(by)) {
		said = append(said, identity+": "+strings.Join(by[identity], ", "))
	}
	return strings.Join(said, "; ")
}
