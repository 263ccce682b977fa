package events

import "time"

// SetPace makes streams quicker than anybody would want them outside of tests.
func (h *Handlers) SetPace(look, heartbeat, slow time.Duration) {
	h.pace.look, h.pace.heartbeat, h.pace.slow = look, heartbeat, slow
}

// ReparseBookmark reads a bookmark and writes it again.
func ReparseBookmark(s string) (string, error) {
	b, err := parseBookmark(s)
	return b.String(), err
}

// Bookmark is what an event's id hides, "" where it is no such thing.
func (h *Handlers) Bookmark(id string) string {
	at, _ := h.cursors.reveal(ofStream, id)
	return at
}
