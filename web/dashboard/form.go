package dashboard

import (
	"github.com/labstack/echo/v4"

	"gatehouse/web"
)

const (
	filledKey = "filled form"
	wrongKey  = "what is wrong with it"
)

// filled is a form as a person sent it.
type filled struct {
	name, piece, title string
	page               any
}

// again has a form, or a piece of a page, shown once more as it was filled in, with why it was refused. Which status
// that has is chosen by problem.go of web, as ever: handlers return what again returns.
func (d *Dashboard) again(c echo.Context, err error, name, piece, title string, page any) error {
	c.Set(filledKey, filled{name, piece, title, page})
	return err
}

// showAgain does what again asked for, and tells whether it did.
func (d *Dashboard) showAgain(c echo.Context, p web.Problem) (bool, error) {
	f, ok := c.Get(filledKey).(filled)
	if !ok {
		return false, nil
	}
	c.Set(wrongKey, &p)
	return true, d.render(c, p.Status, f.name, f.piece, f.title, f.page)
}
