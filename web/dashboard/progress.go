package dashboard

import (
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/sharing"
	"gatehouse/wording"
)

// progressPage is an operation on its way.
type progressPage struct {
	sharing.Answer
	Done int // people
	// Door is the door's name, "" where it is not known without asking Doordeck.
	Door string
}

// Path is where the door is.
func (p progressPage) Path() string { return doorsPath(p.Identity) + "/" + p.Lock }

// Live is where the door is described.
func (p progressPage) Live() string { return p.Path() + "/summary" }

// Every is how often the page looks again, "" when nothing changes any more.
func (p progressPage) Every() string {
	switch {
	case p.Status.Final():
		return ""
	case p.Status == sharing.Queued:
		return "5s"
	}
	return "1s"
}

// Asked is what was asked for, in words.
func (p progressPage) Asked() string {
	switch p.Type {
	case sharing.Share:
		return "Sharing the door"
	case sharing.Revoke:
		return "Taking access away"
	}
	return "Opening the door"
}

// progress is GET /doors/:name/:lock/operations/:operation.
func (d *Dashboard) progress(c echo.Context) error {
	page, err := d.progressPage(c)
	if err != nil {
		return err
	}
	return d.show(c, "progress", page.Asked(), page)
}

func (d *Dashboard) progressLive(c echo.Context) error {
	page, err := d.progressPage(c)
	if err != nil {
		return err
	}
	return d.part(c, "progress", "live", page)
}

func (d *Dashboard) progressPage(c echo.Context) (progressPage, error) {
	found, err := d.Operations.Find(c)
	if err == nil && (found.Identity != c.Param("name") || !strings.EqualFold(found.Lock, c.Param("lock"))) {
		err = sharing.ErrNoOperation
	}
	page := progressPage{Answer: found, Door: d.Identities.Of.DoorName(c.Request().Context(), found.Identity, found.Lock)}
	for _, r := range found.Results {
		if r.Status == sharing.Applied || r.Status == sharing.Confirmed {
			page.Done++
		}
	}
	return page, err
}

// reasons are why something was not done, or has not been done yet, in words for people.
var reasons = map[string]string{
	"not_in_directory":       "Doordeck does not know them by that, or the address is not verified",
	"identity_token_refused": "Doordeck does not take the identity token",
	"provision_refused":      "Doordeck does not make them known",
	"reserved":               "The subject or address is an identity’s",
	"own_identity":           "That is the identity itself, which would lose the door or its role there",
	"named_twice":            "They were named before in another way, for something else",
	"not_administrator":      "The identity is no administrator of the door",
	"lock_not_found":         "There is no such door, or the identity does not see it",
	"door_offline":           "The door is offline",
	"door_no_answer":         "The door did not answer in time",
	"doordeck_busy":          "Doordeck has been asked too often",
	"doordeck_unreachable":   "There is no connection to Doordeck",
	"doordeck_unavailable":   "Doordeck fails, or does not answer",
	"refused":                "Doordeck says no, without a reason that can be relied on",
	"unsignable":             "What Doordeck’s directory says of them cannot be signed",
	"identity_not_ready":     "Nothing can be signed as the identity at the moment",
	"no_identity":            "The identity has been deleted",
	"age_unknown":            "It seems to come from the future: a clock is wrong",
	"earlier_queued":         "Something asked earlier waits for the door",
	"overtaken":              "Something asked later took its place",
	"undone":                 "Something sent earlier came after it; it is sent again",
}

// reasonOf puts an error of an operation into words.
func reasonOf(word string) string {
	if said, ok := reasons[word]; ok {
		return said
	}
	return wording.Capital(strings.ReplaceAll(word, "_", " "))
}
