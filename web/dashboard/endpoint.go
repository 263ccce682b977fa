package dashboard

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/webhooks"
)

type endpointPage struct {
	endpoint
	// Only is what the deliveries are narrowed down to: waiting, delivered, parked, or "" for all.
	Only       string
	Deliveries []delivery
	// Older is the address of what is further back, "" at the end, and First tells that this is the front.
	Older string
	First bool
	// Live is where the list of deliveries is asked for again.
	Live string
}

// shownDeliveries is how many deliveries stand on an endpoint's page.
const shownDeliveries = 25

// endpoint is GET /endpoints/:id.
func (d *Dashboard) endpoint(c echo.Context) error {
	page, err := d.readEndpoint(c)
	if err != nil {
		return err
	}
	return d.show(c, "endpoint", page.Name(), page)
}

// endpointLive is how it fares, which changes.
func (d *Dashboard) endpointLive(c echo.Context) error {
	found, err := d.Endpoints.Find(c, c.Param("id"))
	if err != nil {
		return err
	}
	return d.part(c, "endpoint", "live", endpointPage{endpoint: newEndpoint(found)})
}

// endpointDeliveries is the list of its deliveries, which changes.
func (d *Dashboard) endpointDeliveries(c echo.Context) error {
	page, err := d.readEndpoint(c)
	if err != nil {
		return err
	}
	return d.part(c, "endpoint", "deliveries", page)
}

func (d *Dashboard) readEndpoint(c echo.Context) (endpointPage, error) {
	found, err := d.Endpoints.Find(c, c.Param("id"))
	if err != nil {
		return endpointPage{}, err
	}
	here, only, after := "/endpoints/"+url.PathEscape(found.ID), c.QueryParam("status"), c.QueryParam("after")
	page := endpointPage{endpoint: newEndpoint(found), Only: only, First: after == ""}
	deliveries, next, err := d.Deliveries.Page(c, only, after, shownDeliveries)
	if err != nil {
		return page, err
	}
	for _, one := range deliveries {
		page.Deliveries = append(page.Deliveries, newDelivery(one))
	}
	page.Live = here + "/deliveries?" + url.Values{"status": {only}, "after": {after}}.Encode()
	if next != "" {
		page.Older = here + "?" + url.Values{"status": {only}, "after": {next}}.Encode() + "#deliveries"
	}
	return page, nil
}

// Held is what it is held to, in words.
func (p endpointPage) Held() string {
	if p.Accounts == nil && p.Identities == nil {
		return "nothing: it may get everything"
	}
	var all []string
	if p.Accounts == nil {
		all = append(all, "all accounts")
	} else if len(p.Accounts) > 0 {
		all = append(all, strings.Join(p.Accounts, ", "))
	}
	if len(p.Identities) > 0 {
		all = append(all, strings.Join(p.Identities, ", "))
	} else {
		all = append(all, "no identity")
	}
	return strings.Join(all, "; ")
}

// Why is what disabled the endpoint, or what its last failure was, in a sentence.
func (p endpointPage) Why() string {
	if p.State == "failing" {
		return meaning(webhooks.Outcome(p.LastError))
	}
	return disabledBecause(p.DisabledReason)
}

// LastFailure is how the last attempt that failed ended.
func (p endpointPage) LastFailure() string { return briefly(webhooks.Outcome(p.LastError)) }

func disabledBecause(reason string) string {
	switch reason {
	case webhooks.DisabledGone:
		return "It answered 410, with which an endpoint says that it wants nothing any more."
	case webhooks.DisabledFailing:
		return "Nothing had reached it for five days."
	}
	return "Somebody disabled it."
}

// confirmEndpoint asks before something is done to an endpoint that cannot be undone.
func (d *Dashboard) confirmEndpoint(name, title string) echo.HandlerFunc {
	return func(c echo.Context) error {
		found, err := d.Endpoints.Find(c, c.Param("id"))
		if err != nil {
			return err
		}
		return d.show(c, name, title, newEndpoint(found))
	}
}

// enableEndpoint is POST /endpoints/:id/enable.
func (d *Dashboard) enableEndpoint(c echo.Context) error {
	return d.switchEndpoint(c, true, "endpoint-enabled")
}

// disableEndpoint is POST /endpoints/:id/disable.
func (d *Dashboard) disableEndpoint(c echo.Context) error {
	return d.switchEndpoint(c, false, "endpoint-disabled")
}

func (d *Dashboard) switchEndpoint(c echo.Context, on bool, said string) error {
	e, err := d.Endpoints.ChangeFor(c, webhooks.EndpointRequest{Enabled: webhooks.Give(on)})
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/endpoints/"+url.PathEscape(e.ID)+"?said="+said)
}

// deleteEndpoint is POST /endpoints/:id/delete.
func (d *Dashboard) deleteEndpoint(c echo.Context) error {
	if err := d.Endpoints.Remove(c); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/endpoints?said=endpoint-deleted")
}

type trialPage struct {
	ID, Name string
	Attempt  *webhooks.Attempt
}

// testEndpoint is POST /endpoints/:id/test: a piece for a page that is open, else a page.
func (d *Dashboard) testEndpoint(c echo.Context) error {
	found, err := d.Endpoints.Find(c, c.Param("id"))
	if err != nil {
		return err
	}
	page := trialPage{ID: found.ID, Name: found.Name()}
	done, err := d.Endpoints.TryNow(c)
	if err != nil {
		return d.again(c, err, "trial", piece(c, "piece"), "Test "+page.Name, page)
	}
	page.Attempt = &done
	return d.render(c, http.StatusOK, "trial", piece(c, "piece"), "Test "+page.Name, page)
}
