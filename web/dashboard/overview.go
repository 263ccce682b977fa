package dashboard

import (
	"context"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/web"
)

type overviewPage struct {
	Needs []need
	Flow  flow
	// States are how many connections have which status.
	States []state
	Latest []row
	// Begin says what to do first, where there is nothing yet.
	Begin string
}

type state struct {
	Status string
	Count  int
}

const latest = 6

// overview is GET /.
func (d *Dashboard) overview(c echo.Context) error {
	page, err := d.readOverview(c)
	if err != nil {
		return err
	}
	return d.show(c, "overview", "Overview", page)
}

// overviewLive is the part of the overview that changes.
func (d *Dashboard) overviewLive(c echo.Context) error {
	page, err := d.readOverview(c)
	if err != nil {
		return err
	}
	return d.part(c, "overview", "live", page)
}

func (d *Dashboard) readOverview(c echo.Context) (overviewPage, error) {
	ctx := c.Request().Context()
	caller, _ := web.CallerFrom(ctx)
	page := overviewPage{Flow: d.flow(d.Pulse.Read(), caller)}
	var err error
	if page.Needs, err = d.needs(ctx, caller); err != nil {
		return page, err
	}
	if d.Connections != nil && caller.May("connections:read") {
		if page.States, err = d.states(ctx, caller.Accounts); err != nil {
			return page, err
		}
		if len(page.States) == 0 {
			page.Begin = "connect"
		}
	} else if d.Connections == nil {
		page.Begin = "doorflow"
	}
	if caller.May("messages:read") {
		var found events.Page
		if found, err = d.Messages.Page(c, lookAt); err != nil {
			return page, err
		}
		for _, r := range d.rows(c, found.Items) {
			// What a notification announces follows it, with its facts.
			if r.Kind != "notification" && len(page.Latest) < latest {
				page.Latest = append(page.Latest, r)
			}
		}
	}
	return page, nil
}

func (d *Dashboard) states(ctx context.Context, accounts []string) ([]state, error) {
	counts, err := d.Connections.Keeper.Count(ctx, accounts)
	if err != nil {
		return nil, err
	}
	var states []state
	for _, status := range []string{"active", "pending", "reauthorize", "disconnected"} {
		if n := counts[status]; n > 0 {
			states = append(states, state{status, n})
		}
	}
	return states, nil
}
