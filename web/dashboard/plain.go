package dashboard

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/web"
)

type signInPage struct {
	To    string
	Wrong *web.Problem
}

// SignIn shows the page to sign in with.
func (d *Dashboard) SignIn(c echo.Context, status int, to string, wrong *web.Problem) error {
	return d.render(c, status, "signin", "base", "Sign in", signInPage{to, wrong})
}

// LinkPage shows the button that spends a sign-in link.
func (d *Dashboard) LinkPage(c echo.Context) error {
	return d.show(c, "signinlink", "Sign in", nil)
}

// Problem shows why there is no page, or what is wrong with a form.
func (d *Dashboard) Problem(c echo.Context, p web.Problem) error {
	if shown, err := d.showAgain(c, p); shown {
		return err
	}
	if c.Request().Header.Get("HX-Request") != "" {
		return d.render(c, p.Status, "problem", "piece", "", p)
	}
	return d.render(c, p.Status, "problem", "base", title(p), p)
}

func title(p web.Problem) string {
	switch p.Status {
	case http.StatusNotFound:
		return "Not found"
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusInternalServerError:
		return "Something went wrong"
	}
	return p.Title
}
