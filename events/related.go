package events

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

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

// storyLook is how many messages after the beginning, and before the end, are looked at for a story.
const storyLook = 2000

// Story returns what was said of a resource between two moments, below a subject, as far as the caller may see it, oldest
// first, without replays. Of a long time it looks at the beginning and the end only, a bounded number of messages.
func (h *Handlers) Story(c echo.Context, below, resource string, from, to time.Time) ([]Stored, error) {
	limits, found := h.limits(c), map[string]Stored{}
	for _, order := range []string{"", " DESC"} {
		var rows []Row
		err := h.History.db.Select(c.Request().Context(), &rows, `SELECT `+columns+` FROM
			(SELECT `+columns+` FROM messages WHERE id >= ? AND id < ? ORDER BY id`+order+` LIMIT ?) AS looked WHERE substr(subject, 1, ?) = ?`,
			firstID(from), firstID(to.Add(time.Millisecond)), storyLook, len(below)+1, below+".")
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			said := Read(r.Body)
			if limits.Match(r.Account, r.Subject) && said.Subject == resource && said.Origin != OriginReplay {
				found[r.ID] = r.stored()
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Stored) int { return strings.Compare(a.ID, b.ID) }), nil
}
