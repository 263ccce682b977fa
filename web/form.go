package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// maxSignIn is what the form of somebody who is not signed in may have.
const maxSignIn = 8 << 10

var errBrokenForm = invalid.Field("form", "did not come whole, or not as a browser sends it. Nothing was done: go back and send it again")

// wholeForm reads the form of a POST before anything is done with it. Of a broken one net/http hands over the fields
// that it could read, and echo keeps quiet about the others: a share would lose its end, and a door be opened by what
// nobody understood. What stands in the address is no field: a link must not fill in what a form leaves out.
func wholeForm(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Method != http.MethodPost {
			return next(c)
		}
		body, err := io.ReadAll(r.Body)
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge || errors.Is(err, errLargeBodies) {
			return err
		}
		if err != nil {
			return errBrokenForm
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); len(body) > 0 && (err != nil || kind != echo.MIMEApplicationForm) {
			return errBrokenForm
		}
		if r.PostForm, err = url.ParseQuery(string(body)); err != nil {
			return errBrokenForm
		}
		r.Form = r.PostForm
		return next(c)
	}
}

// smallForm bounds what strangers may send.
func smallForm(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, maxSignIn)
		return next(c)
	}
}
