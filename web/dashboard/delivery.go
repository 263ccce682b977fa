package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/webhooks"
	"gatehouse/wording"
)

// delivery is one as pages show it.
type delivery struct {
	webhooks.Delivery
	// Title is what its message says, in words.
	Title string
}

func newDelivery(one webhooks.Delivery) delivery {
	title := "A message that is gone"
	if one.Subject != "" {
		title = wording.Read(one.Subject).Title(nil)
	}
	return delivery{one, title}
}

// Last is how the last attempt that ended did, nil before there was any.
func (v delivery) Last() *webhooks.Attempt {
	if len(v.Tried) == 0 {
		return nil
	}
	return &v.Tried[0]
}

// Missing is how many of the attempts are no longer kept.
func (v delivery) Missing() int64 {
	missing := v.Attempts - int64(len(v.Tried))
	if v.Sending {
		missing-- // the one under way
	}
	return max(missing, 0)
}

type deliveryPage struct {
	delivery
	To endpoint
}

// delivery is GET /deliveries/:id.
func (d *Dashboard) delivery(c echo.Context) error {
	page, err := d.readDelivery(c)
	if err != nil {
		return err
	}
	return d.show(c, "delivery", page.Title+" to "+page.To.Name(), page)
}

// deliveryLive is the parts of it that change.
func (d *Dashboard) deliveryLive(c echo.Context) error {
	page, err := d.readDelivery(c)
	if err != nil {
		return err
	}
	return d.part(c, "delivery", "live", page)
}

func (d *Dashboard) readDelivery(c echo.Context) (deliveryPage, error) {
	found, err := d.Deliveries.Find(c)
	if err != nil {
		return deliveryPage{}, err
	}
	to, err := d.Endpoints.Find(c, found.Endpoint)
	return deliveryPage{newDelivery(found), newEndpoint(to)}, err
}

// retryDelivery is POST /deliveries/:id/retry.
func (d *Dashboard) retryDelivery(c echo.Context) error {
	one, err := d.Deliveries.RetryOne(c, c.Param("id"))
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/deliveries/"+url.PathEscape(one.ID)+"?said=retried")
}

// took is a duration as people say it.
func took(t time.Duration) string {
	switch {
	case t < time.Millisecond:
		return "less than 1 ms"
	case t < time.Second:
		return strconv.FormatInt(t.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(t.Seconds(), 'f', 1, 64) + " s"
}
