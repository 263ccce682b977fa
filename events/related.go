package events

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// Read returns what a message says of itself; what cannot be read is not there.
func Read(body []byte) Message {
	var m Message
	_ = json.Unmarshal(body, &m)
	return m
}

// relatedLook is how many messages before and after another are looked at for more about the same thing.
const relatedLook = 200

// Related returns the messages around one that are about the same resource, as far as the caller may see them, newest
// first: an event's notification, and the other way round. It looks at a bounded number only.
func (h *Handlers) Related(c echo.Context, of Stored) ([]Stored, error) {
	about := Read(of.Body).Subject
	if about == "" {
		return nil, nil
	}
	limits := h.limits(c)
	var found []Stored
	for _, side := range []string{
		`SELECT ` + columns + ` FROM messages WHERE id > ? ORDER BY id LIMIT ?`,
		`SELECT ` + columns + ` FROM messages WHERE id < ? ORDER BY id DESC LIMIT ?`,
	} {
		var rows []Row
		if err := h.History.db.Select(c.Request().Context(), &rows, side, of.ID, relatedLook); err != nil {
			return nil, err
		}
		for _, r := range rows {
			if r.Account == of.Account && limits.Match(r.Account, r.Subject) && Read(r.Body).Subject == about {
				found = append(found, r.stored())
			}
		}
	}
	slices.SortFunc(found, func(a, b Stored) int { return strings.Compare(b.ID, a.ID) })
	return found[:min(len(found), 20)], nil
}
