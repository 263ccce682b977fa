package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/webhooks"
)

// endpointForm is what somebody types to make or change an endpoint.
type endpointForm struct {
	// ID and Name are those of the endpoint that is changed, "" for a new one.
	ID, Name         string
	URL, Description string
	// Subjects are what is wanted; Known are ticked, the rest is typed.
	Subjects    []string
	Ordered     bool
	Concurrency string
	Enabled     bool
}

// usualConcurrency is what a new endpoint has where nothing else is asked for.
const usualConcurrency = "8"

// Known are patterns that many want.
func (endpointForm) Known() []subject { return subjects }

// Ticked tells whether a pattern is asked for.
func (f endpointForm) Ticked(pattern string) bool { return slices.Contains(f.Subjects, pattern) }

// Others are what is asked for beyond the known ones, one on each line.
func (f endpointForm) Others() string {
	var typed []string
	for i, s := range f.Subjects {
		known := slices.ContainsFunc(subjects, func(k subject) bool { return k.Pattern == s })
		if !known || slices.Contains(f.Subjects[:i], s) {
			typed = append(typed, s)
		}
	}
	return strings.Join(typed, "\n")
}

// newEndpointForm is GET /endpoints/new.
func (d *Dashboard) newEndpointForm(c echo.Context) error {
	return d.show(c, "endpointform", "New endpoint", endpointForm{Subjects: []string{subjects[0].Pattern}, Concurrency: usualConcurrency, Enabled: true})
}

// changeEndpointForm is GET /endpoints/:id/change.
func (d *Dashboard) changeEndpointForm(c echo.Context) error {
	e, err := d.Endpoints.Find(c, c.Param("id"))
	if err != nil {
		return err
	}
	return d.show(c, "endpointform", "Change "+e.Name(), endpointForm{
		ID: e.ID, Name: e.Name(), URL: e.URL, Description: e.Description, Subjects: e.Subjects, Ordered: e.Ordered, Concurrency: strconv.Itoa(e.Concurrency),
	})
}

// changeEndpoint is POST /endpoints/:id/change. What is as it was is not changed, nor recorded as a change.
func (d *Dashboard) changeEndpoint(c echo.Context) error {
	e, err := d.Endpoints.Find(c, c.Param("id"))
	if err != nil {
		return err
	}
	typed := readEndpointForm(c)
	typed.ID, typed.Name = e.ID, e.Name()
	q := typed.request()
	q.Enabled.Is = false
	q.URL.Is = q.URL.Value != e.URL
	q.Description.Is = q.Description.Value != e.Description
	q.Subjects.Is = !slices.Equal(sorted(q.Subjects.Value), sorted(e.Subjects))
	q.Ordered.Is = q.Ordered.Value != e.Ordered
	q.Concurrency.Is = q.Concurrency.Value != e.Concurrency
	here := "/endpoints/" + url.PathEscape(e.ID)
	if !q.URL.Is && !q.Description.Is && !q.Subjects.Is && !q.Ordered.Is && !q.Concurrency.Is {
		return c.Redirect(http.StatusSeeOther, here)
	}
	if _, err := d.Endpoints.ChangeFor(c, q); err != nil {
		return d.again(c, err, "endpointform", "base", "Change "+e.Name(), typed)
	}
	return c.Redirect(http.StatusSeeOther, here+"?said=endpoint-changed")
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func readEndpointForm(c echo.Context) endpointForm {
	f := endpointForm{
		URL: strings.TrimSpace(c.FormValue("url")), Description: strings.TrimSpace(c.FormValue("description")),
		Ordered: c.FormValue("order") == "ordered", Concurrency: strings.TrimSpace(c.FormValue("concurrency")), Enabled: c.FormValue("enabled") == "yes",
	}
	if form, err := c.FormParams(); err == nil {
		f.Subjects = lines(form["subjects"]...)
	}
	return f
}

// request is what is typed as the API would have it. It judges nothing: what is no number becomes one that is refused.
func (f endpointForm) request() webhooks.EndpointRequest {
	n, err := strconv.Atoi(f.Concurrency)
	if err != nil {
		n = 0
	}
	return webhooks.EndpointRequest{
		URL: webhooks.Give(f.URL), Subjects: webhooks.Give(f.Subjects), Description: webhooks.Give(f.Description),
		Enabled: webhooks.Give(f.Enabled), Ordered: webhooks.Give(f.Ordered), Concurrency: webhooks.Give(n),
	}
}
