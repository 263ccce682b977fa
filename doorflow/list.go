package doorflow

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxEvents is how many events DoorFlow puts on one page at most.
	MaxEvents = 1000
	// maxList bounds what is read of one page, in bytes.
	maxList = 8 << 20
)

var (
	// ErrNotList says that DoorFlow answered a list with something that is not a JSON array.
	ErrNotList = errors.New("doorflow: the list is not a JSON array")
	// ErrListTooLarge says that a page was larger than 8 MiB. A smaller one may do.
	ErrListTooLarge = errors.New("doorflow: the page is larger than 8 MiB")
)

// EventQuery asks for one page of an account's events, the oldest first.
type EventQuery struct {
	// Since is sent in whole seconds, cut. In which zone DoorFlow reads it and whether it includes the
	// moment itself is not known.
	Since time.Time
	// Codes are the events wanted; none means those that DoorFlow shows by itself: admits and rejects.
	Codes []int
	// Size is how many to a page, up to MaxEvents; Page counts from 1.
	Size, Page int
}

// EventPage is one page of a list.
type EventPage struct {
	// Items are whatever stood in the list, perhaps not events at all.
	Items []json.RawMessage
	// Total is how many events there are on all pages, -1 where DoorFlow does not say.
	Total int
}

// Events lists events. The client is as for Fetch. Errors: *Error, ErrNotList, ErrListTooLarge, and those of
// the client.
func (a API) Events(ctx context.Context, client *http.Client, q EventQuery) (EventPage, error) {
	query := url.Values{
		"since": {q.Since.UTC().Format("2006-01-02T15:04:05Z")}, "sort": {"ASC"},
		"n": {strconv.Itoa(q.Size)}, "page": {strconv.Itoa(q.Page)},
	}
	if len(q.Codes) > 0 {
		codes := make([]string, len(q.Codes))
		for i, code := range q.Codes {
			codes[i] = strconv.Itoa(code)
		}
		query.Set("event_codes", strings.Join(codes, ","))
	}
	header, body, err := a.get(ctx, client, "/api/3/events", query, maxList)
	if err != nil {
		return EventPage{}, err
	}
	if len(body) > maxList {
		return EventPage{}, ErrListTooLarge
	}
	page := EventPage{Total: total(header)}
	if err := json.Unmarshal(body, &page.Items); err != nil || page.Items == nil {
		return EventPage{}, ErrNotList
	}
	return page, nil
}

// total reads either of the two names that DoorFlow's sources give the header.
func total(h http.Header) int {
	for _, name := range []string{"Total", "X-Total-Results"} {
		if n, err := strconv.Atoi(strings.TrimSpace(h.Get(name))); err == nil && n >= 0 {
			return n
		}
	}
	return -1
}
