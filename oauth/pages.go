package oauth

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
)

const style = `body{font:1rem/1.5 system-ui,sans-serif;margin:0;color:#1c2430;background:#f4f5f7}` +
	`main{max-width:34rem;margin:3rem auto;padding:1.5rem 2rem;background:#fff;border:1px solid #d5d9e0;border-radius:.5rem}` +
	`h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}` +
	`button{font:inherit;font-weight:600;padding:.6rem 1.2rem;border:0;border-radius:.35rem;color:#fff;background:#1f4fa3;cursor:pointer}` +
	`button:focus-visible,a:focus-visible{outline:3px solid #f0a500;outline-offset:2px}a{color:#1f4fa3}small{color:#555e6b}`

//go:embed pages.html
var pagesHTML string

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"style": func() template.CSS { return style },
}).Parse(pagesHTML))

// styleSource allows exactly our style element.
var styleSource = func() string {
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// view fills a page.
type view struct {
	Title, Text        string
	Reference, Account string
	Scopes, Missing    []string
	Button, Retry      bool
	Again              string // where to try again
	Code               string // for whoever is asked for help
}

func (c *Connect) page(e echo.Context, status int, v view, formTargets string) error {
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, "page", v); err != nil {
		return err
	}
	secureHeaders(e, styleSource, formTargets)
	if v.Button {
		// With no-referrer a browser sends "Origin: null" with the form. Those that have no Sec-Fetch-Site to
		// go by (Safari before 16.4) would be taken for another site. To other origins this sends nothing either.
		e.Response().Header().Set("Referrer-Policy", "same-origin")
	}
	return e.HTMLBlob(status, buf.Bytes())
}

// secureHeaders let a page do nothing but show itself and submit its form. The URLs hold states and codes,
// so they go into no cache and no Referer.
func secureHeaders(e echo.Context, styles, formTargets string) {
	if styles == "" {
		styles = "'none'"
	}
	if formTargets == "" {
		formTargets = "'none'"
	}
	h := e.Response().Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styles+"; form-action "+formTargets+
		"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// problemPage tells a person that there is nothing to go on with.
func (c *Connect) problemPage(e echo.Context, err error) error {
	status, v := http.StatusInternalServerError, view{
		Title: "Something went wrong", Text: "This is a fault on our side. Please try again later, or ask whoever gave you the link.",
	}
	switch {
	case errors.Is(err, ErrLinkNotFound):
		status, v.Title, v.Text = http.StatusNotFound, "No such link", "Please check that you have opened the whole link."
	case errors.Is(err, ErrLinkExpired):
		status, v.Title, v.Text = http.StatusGone, "This link has expired", "Please ask for a new one."
	case errors.Is(err, ErrLinkSpent):
		status, v.Title, v.Text = http.StatusGone, "This link has been used", "It works once. If the account is not connected, please ask for a new link."
	case errors.Is(err, errState):
		status, v.Title = http.StatusBadRequest, "This answer cannot be used"
		v.Text = "It belongs to no attempt of this browser, is older than ten minutes, or has been used. Nothing was connected. Please open your connect link again, in the browser you want to use, and accept cookies."
	case errors.Is(err, errTooManyStates):
		status, v.Title, v.Text = http.StatusTooManyRequests, "Too many attempts", "Please wait ten minutes and open the link again."
	case errors.Is(err, events.ErrOverloaded), errors.Is(err, events.ErrStorage), errors.Is(err, events.ErrClosed):
		status, v.Title, v.Text = http.StatusServiceUnavailable, "Not now", "The gateway cannot store anything at the moment. Please try again in a minute."
	}
	if status >= http.StatusInternalServerError {
		c.log.Error("a connect page failed", "error", err)
	}
	return c.page(e, status, v, "")
}

// failurePage tells a person why nothing was connected.
func (c *Connect) failurePage(e echo.Context, r linkRow, f *failure) error {
	status, v := http.StatusBadGateway, view{Title: "Not connected", Code: f.code, Again: c.public + "/oauth/start/" + r.ID}
	switch f.code {
	case "access_denied":
		status, v.Text = http.StatusOK, "You chose not to give access. Nothing was connected."
	case "account_mismatch":
		status, v.Text = http.StatusConflict, "You signed in to another DoorFlow account than the one this link is for. Nothing was connected."
	case "insufficient_scope":
		status, v.Text = http.StatusConflict, "This account is connected already, with more rights than were granted now. The connection was left as it was. To reduce its rights, disconnect it first."
	case "invalid_grant":
		status, v.Text = http.StatusBadRequest, "DoorFlow no longer accepts this answer; it may be too old or have been used. Nothing was connected."
	case "doorflow_unavailable", "server_error", "temporarily_unavailable":
		v.Text = "DoorFlow did not answer as it should. Nothing was connected. Please try again in a few minutes."
	case "misconfigured", "unauthorized_client", "invalid_scope", "unsupported_response_type":
		v.Text = "DoorFlow refuses this gateway's settings. Nothing was connected. Please tell whoever gave you the link."
	default:
		status, v.Text = http.StatusBadRequest, "DoorFlow refused the request. Nothing was connected."
	}
	return c.page(e, status, v, "")
}
