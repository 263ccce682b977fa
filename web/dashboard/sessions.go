package dashboard

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/sessions"
	"gatehouse/web"
)

// sessionRow is a session as its page shows it. Here is the one that the viewer looks with.
type sessionRow struct {
	sessions.Session
	Named string
	Here  bool
}

// sessions is GET /sessions.
func (d *Dashboard) sessions(c echo.Context) error {
	all, err := d.Sessions.List(c.Request().Context(), web.KeyID(c))
	if err != nil {
		return err
	}
	rows := make([]sessionRow, len(all))
	for i, s := range all {
		rows[i] = sessionRow{s, browserName(s.Browser), s.ID == web.SessionID(c)}
	}
	return d.show(c, "sessions", "Sessions", rows)
}

// endSession is POST /sessions/:session/end.
func (d *Dashboard) endSession(c echo.Context) error {
	if err := d.Sessions.EndOne(c.Request().Context(), web.KeyID(c), c.Param("session")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/sessions?said=session-ended")
}

// browserName is what people call a browser, by what it says of itself. Most say that they are several others too, so
// that the order counts.
func browserName(says string) string {
	name, on := "", ""
	for _, b := range [][2]string{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	} {
		if strings.Contains(says, b[0]) {
			name = b[1]
			break
		}
	}
	for _, s := range [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS", "macOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(says, s[0]) {
			on = s[1]
			break
		}
	}
	switch {
	case name == "":
		return "A browser"
	case on == "":
		return name
	}
	return name + " on " + on
}
