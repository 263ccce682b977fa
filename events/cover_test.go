package events_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"gatehouse/events"
	"gatehouse/internal/sqldb/sqldbtest"
)

var cover = func() events.Cover {
	c, err := subtle.NewXChaCha20Poly1305(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	return c
}()

// A caller who may see nothing learns nothing from where the stream stands: neither how much is said to others, nor
// whether anything is.
func TestABookmarkTellsNothing(t *testing.T) {
	db := sqldbtest.SQLite(t)
	log := runLog(t, db)
	handlers := quickHandlers(events.NewHistory(db, log))
	handlers.Accounts = func(echo.Context) []string { return []string{} }
	l := listen(t, serve(t, handlers)+"/stream", "")
	before := l.last
	l.next()
	quiet := l.last
	for range 200 {
		tell(t, log, "a", 10)
	}
	for at := handlers.Bookmark(quiet); handlers.Bookmark(l.last) == at; {
		l.next()
	}
	if before == quiet || quiet == l.last || len(before) != len(quiet) || len(quiet) != len(l.last) {
		t.Errorf("it can be told apart when nothing was said and when much was: %s, %s, %s", before, quiet, l.last)
	}
	for _, id := range []string{before, quiet, l.last} {
		if plain, err := events.ReparseBookmark(id); err == nil {
			t.Errorf("%s is a bookmark in clear: %s", id, plain)
		}
	}
}

// The cursor of a list names a message, which need not be one of the caller's.
func TestACursorTellsNothing(t *testing.T) {
	db := sqldbtest.SQLite(t)
	log := runLog(t, db)
	handlers := quickHandlers(events.NewHistory(db, log))
	address := serve(t, handlers)
	first, second := tell(t, log, "a", 10), tell(t, log, "a", 10)
	page := func(after string) (id, next string) {
		t.Helper()
		status, body := get(t, address+"?limit=1&after="+url.QueryEscape(after))
		var list struct {
			Items []struct{ ID string }
			Next  string
		}
		if err := json.Unmarshal([]byte(body), &list); status != http.StatusOK || err != nil || len(list.Items) != 1 {
			t.Fatalf("%d %s", status, body)
		}
		return list.Items[0].ID, list.Next
	}
	newest, next := page("")
	oldest, end := page(next)
	if newest != second || oldest != first || end != "" {
		t.Errorf("the pages are %s and %s, then %q; want %s and %s", newest, oldest, end, second, first)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(next); err != nil || strings.Contains(string(raw), second[:8]) {
		t.Errorf("the cursor shows the message that it names: %q", raw)
	}
	l := listen(t, address+"/stream", "")
	plain := base64.RawURLEncoding.EncodeToString([]byte(second))
	for path, wrong := range map[string]string{"?after=": l.last, "/stream?after=": next, "?limit=1&after=": plain} {
		if status, body := get(t, address+path+wrong); status != http.StatusBadRequest {
			t.Errorf("%s with a cursor of another kind: %d %s", path, status, body)
		}
	}
}
