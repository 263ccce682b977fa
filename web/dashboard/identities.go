package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
	"gatehouse/sharing"
	"gatehouse/wording"
)

func (d *Dashboard) identityPages() []page {
	return []page{
		{get("/identities", "identities:read", d.identities), "Identities"},
		{get("/register", "admin", d.registerForm), ""},
		{post("/register", "admin", d.register), ""},
		{get("/identities/:name", "identities:read", d.identity), ""},
		{part("/identities/:name/live", "identities:read", d.identityLive), ""},
		{post("/identities/:name/register", "identities:write", d.renew), ""},
		{get("/identities/:name/new-key", "identities:write", d.confirmNewKey), ""},
		{post("/identities/:name/verify", "identities:write", d.sendCode), ""},
		{post("/identities/:name/check", "identities:write", d.checkCode), ""},
		{get("/identities/:name/delete", "admin", d.confirmDelete), ""},
		{post("/identities/:name/delete", "admin", d.deleteIdentity), ""},
	}
}

// identity is one as pages show it.
type identity struct {
	sharing.Identity
	Life life
	// CodeOver tells that the code that was sent last is of no use any more.
	CodeOver bool
	// Tried tells that a code has just been entered, and was not taken; CodeFault why it cannot be one at all.
	Tried     bool
	CodeFault string
}

func (d *Dashboard) identityOf(i sharing.Identity) identity {
	shown := identity{Identity: i, Life: lifeOf(i, d.Now())}
	if v := i.Verification; v != nil {
		shown.CodeOver = v.WrongCodes >= sharing.MaxWrongCodes || !d.Now().Before(v.ExpiresAt)
	}
	return shown
}

// TriesLeft is how many wrong codes may still be entered for the one that was sent.
func (i identity) TriesLeft() int { return sharing.MaxWrongCodes - i.Verification.WrongCodes }

// CanAct tells whether something can be signed as the identity.
func (i identity) CanAct() bool { return !i.Life.None && i.Life.Past < lifeWide }

// life is how much of a certificate chain's life is over, and when it is renewed, in units of its picture.
type life struct {
	Past, Renews float64
	Tone         string
	None         bool
}

const lifeWide = 100.0

func lifeOf(i sharing.Identity, now time.Time) life {
	whole := i.ServesUntil.Sub(i.RegisteredAt)
	if i.ServesUntil.IsZero() || whole <= 0 {
		return life{None: true}
	}
	part := func(t time.Time) float64 {
		return min(max(0, float64(t.Sub(i.RegisteredAt))/float64(whole)*lifeWide), lifeWide)
	}
	l := life{Past: part(now), Renews: part(i.RenewsAt), Tone: "good"}
	switch left := i.ServesUntil.Sub(now); {
	case left <= 0:
		l.Tone = "bad"
	case left < endsSoon || now.After(i.RenewsAt):
		l.Tone = "warn"
	}
	return l
}

type identitiesPage struct {
	Items []identity
	Next  string
	First bool
}

// identities is GET /identities.
func (d *Dashboard) identities(c echo.Context) error {
	found, next, err := d.Identities.Page(c)
	if err != nil {
		return err
	}
	page := identitiesPage{Next: next, First: c.QueryParam("after") == ""}
	for _, i := range found {
		page.Items = append(page.Items, d.identityOf(i))
	}
	return d.show(c, "identities", "Identities", page)
}

// identity is GET /identities/:name.
func (d *Dashboard) identity(c echo.Context) error {
	found, err := d.Identities.Find(c)
	if err != nil {
		return err
	}
	return d.show(c, "identity", found.Name, d.identityOf(found))
}

// identityLive is the part that changes while Doordeck is asked to take a key.
func (d *Dashboard) identityLive(c echo.Context) error {
	found, err := d.Identities.Find(c)
	if err != nil {
		return err
	}
	return d.part(c, "identity", "live", d.identityOf(found))
}

// registerForm is GET /register.
func (d *Dashboard) registerForm(c echo.Context) error {
	return d.show(c, "register", "Register an identity", sharing.IdentityRequest{})
}

// register is POST /register.
func (d *Dashboard) register(c echo.Context) error {
	text := func(name string) string { return strings.TrimSpace(c.FormValue(name)) }
	ticked := func(name string) bool { return c.FormValue(name) == "yes" }
	q := sharing.IdentityRequest{
		Name: text("name"), Subject: text("subject"), DisplayName: text("display_name"), Email: text("email"), Telephone: text("telephone"),
	}
	// Nothing can be said of an address that is not there, whatever is ticked beside it.
	q.EmailVerified, q.TelephoneVerified = q.Email != "" && ticked("email_verified"), q.Telephone != "" && ticked("telephone_verified")
	made, err := d.Identities.CreateFor(c, q)
	if err != nil {
		return d.again(c, err, "register", "base", "Register an identity", q)
	}
	return said303(c, identityPath(made.Name), "identity-made")
}

// renew is POST /identities/:name/register: the chain is renewed, or a key made or given up.
func (d *Dashboard) renew(c echo.Context) error {
	var newKey *bool
	if wish := c.FormValue("new_key"); wish != "" {
		yes, err := strconv.ParseBool(wish)
		if err != nil {
			return invalid.Field("new_key", "must be true or false, or left out")
		}
		newKey = &yes
	}
	i, err := d.Identities.RegisterFound(c, newKey)
	if err != nil {
		return d.identityAgain(c, err)
	}
	word := "not-registered"
	switch {
	case i.Status == sharing.StatusVerification:
		word = "code-needed"
	case i.Status != sharing.StatusReady:
	case newKey != nil && !*newKey:
		word = "key-kept"
	default:
		word = "registered"
	}
	return said303(c, identityPath(i.Name), word)
}

// confirmNewKey is GET /identities/:name/new-key.
func (d *Dashboard) confirmNewKey(c echo.Context) error {
	found, err := d.Identities.Find(c)
	if err != nil {
		return err
	}
	return d.show(c, "newkey", "A new key for "+found.Name, d.identityOf(found))
}

// sendCode is POST /identities/:name/verify.
func (d *Dashboard) sendCode(c echo.Context) error {
	i, err := d.Identities.VerifyFound(c, c.FormValue("method"))
	if err != nil {
		return d.identityAgain(c, err)
	}
	return said303(c, identityPath(i.Name), "code-sent")
}

// checkCode is POST /identities/:name/check. The code goes to Doordeck and nowhere else.
func (d *Dashboard) checkCode(c echo.Context) error {
	i, err := d.Identities.CheckFound(c, c.FormValue("code"))
	if err != nil {
		return d.identityAgain(c, err)
	}
	return said303(c, identityPath(i.Name), "code-right")
}

// identityAgain shows the identity as it is, with why something could not be done with it.
func (d *Dashboard) identityAgain(c echo.Context, err error) error {
	found, missing := d.Identities.Find(c)
	if missing != nil || errors.Is(err, sharing.ErrNoIdentity) {
		return err
	}
	page := d.identityOf(found)
	// Where no code can be entered, there is no field to say it beside.
	enters := page.Status == sharing.StatusVerification && page.Verification != nil && !page.CodeOver
	if malformed, ok := errors.AsType[*invalid.Error](err); ok && malformed.Field == "code" && enters {
		page.Tried, page.CodeFault = true, wording.Capital(malformed.Detail)+"."
	}
	page.Tried = page.Tried || errors.Is(err, sharing.ErrCodeWrong)
	return d.again(c, err, "identity", "base", found.Name, page)
}

// confirmDelete is GET /identities/:name/delete.
func (d *Dashboard) confirmDelete(c echo.Context) error {
	found, err := d.Identities.Find(c)
	if err != nil {
		return err
	}
	return d.show(c, "unregister", "Delete "+found.Name, d.identityOf(found))
}

// deleteIdentity is POST /identities/:name/delete.
func (d *Dashboard) deleteIdentity(c echo.Context) error {
	if err := d.Identities.DeleteFound(c); err != nil {
		return err
	}
	return said303(c, "/identities", "identity-deleted")
}

func identityPath(name string) string { return "/identities/" + url.PathEscape(name) }

// said303 leads to a page that says what has been done.
func said303(c echo.Context, path, word string) error {
	return c.Redirect(http.StatusSeeOther, path+"?said="+word)
}
