package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/webhooks"
)

// endpoint is one as pages show it.
type endpoint struct {
	webhooks.ShownEndpoint
	// State is enabled, failing or disabled.
	State string
	// Tried is how many attempts of the last 24 hours ended, and Success which share of them well, in percent.
	Tried   int64
	Success string
}

func newEndpoint(shown webhooks.ShownEndpoint) endpoint {
	e := endpoint{ShownEndpoint: shown, State: "enabled", Tried: shown.Health.Delivered + shown.Health.Failed}
	switch {
	case !e.Enabled:
		e.State = "disabled"
	case e.Failures > 0:
		e.State = "failing"
	}
	if e.Tried > 0 {
		// Rounded down: what has failed once is not shown as perfect.
		e.Success = strconv.FormatFloat(float64(1000*e.Health.Delivered/e.Tried)/10, 'f', -1, 64)
	}
	return e
}

// Host is where it is, without the path and query, which may be a secret between it and the gateway.
func (e endpoint) Host() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

type endpointsPage struct {
	Items []endpoint
	Next  string
	First bool
	// Live is where the list is asked for again.
	Live string
}

// endpoints is GET /endpoints.
func (d *Dashboard) endpoints(c echo.Context) error {
	page, err := d.readEndpoints(c)
	if err != nil {
		return err
	}
	return d.show(c, "endpoints", "Endpoints", page)
}

// endpointsLive is the part of the list that changes.
func (d *Dashboard) endpointsLive(c echo.Context) error {
	page, err := d.readEndpoints(c)
	if err != nil {
		return err
	}
	return d.part(c, "endpoints", "live", page)
}

func (d *Dashboard) readEndpoints(c echo.Context) (endpointsPage, error) {
	found, next, err := d.Endpoints.Page(c)
	if err != nil {
		return endpointsPage{}, err
	}
	after := c.QueryParam("after")
	page := endpointsPage{Next: next, First: after == "", Live: "/endpoints/live?" + url.Values{"after": {after}}.Encode()}
	for _, e := range found {
		page.Items = append(page.Items, newEndpoint(e))
	}
	return page, nil
}

// endpointSecretPage shows a secret, in the answer to the POST that made it and nowhere else.
type endpointSecretPage struct {
	*webhooks.Endpoint
	Secret  string
	Rotated bool
}

// makeEndpoint is POST /endpoints. Its answer shows the secret.
func (d *Dashboard) makeEndpoint(c echo.Context) error {
	typed := readEndpointForm(c)
	made, secret, err := d.Endpoints.CreateFor(c, typed.request())
	if err != nil {
		return d.again(c, err, "endpointform", "base", "New endpoint", typed)
	}
	return d.render(c, http.StatusCreated, "endpointsecret", "base", made.Name()+" is made", endpointSecretPage{made, secret.Reveal(), false})
}

// rotateEndpoint is POST /endpoints/:id/rotate. Its answer shows the new secret.
func (d *Dashboard) rotateEndpoint(c echo.Context) error {
	changed, secret, err := d.Endpoints.Rotate(c)
	if err != nil {
		return err
	}
	return d.show(c, "endpointsecret", changed.Name()+" has a new secret", endpointSecretPage{changed, secret.Reveal(), true})
}

// lines are what stands in a text, without what is empty.
func lines(texts ...string) []string {
	var all []string
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, line)
			}
		}
	}
	return all
}
