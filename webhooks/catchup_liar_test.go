package webhooks_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// entry is an event as DoorFlow lists it.
func entry(id int, at time.Time) string {
	return fmt.Sprintf(`{"id":%d,"event_code":10,"event_label":"Admitted","created_at":%q}`, id, at.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func listOf(entries ...string) string { return "[" + strings.Join(entries, ",") + "]" }

// A DoorFlow that does not do what it says is asked within bounds and again later, and the place is kept.
func TestCatchupBearsALyingDoorFlow(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }
	full := listOf(entry(1, ago(50)), entry(2, ago(40)), entry(3, ago(30)))
	pageOf := func(r *http.Request) int { n, _ := strconv.Atoi(r.URL.Query().Get("page")); return n }
	for _, tt := range []struct {
		name     string
		answer   func(r *http.Request, w http.ResponseWriter) (int, string)
		outcome  string
		said     int
		most     int // requests
		moves    bool
		complain string
	}{
		{"the same page for ever", always(200, full), "odd", 3, 2, true, "repeats a page"},
		{"the same page for ever, out of order", always(200, listOf(entry(1, ago(50)), entry(3, ago(30)), entry(2, ago(40)))), "odd", 3, 2, false, ""},
		{"pages without end", func(r *http.Request, _ http.ResponseWriter) (int, string) {
			return 200, listOf(entry(1000+pageOf(r), ago(60).Add(time.Duration(pageOf(r))*time.Second)))
		}, "partial", webhooks.MaxPages, webhooks.MaxPages, true, "longer than one look"},
		{"a total that is too small, newest first", func(r *http.Request, w http.ResponseWriter) (int, string) {
			w.Header().Set("Total", "1")
			return 200, []string{"", listOf(entry(3, ago(30)), entry(2, ago(40))), listOf(entry(1, ago(50))), "[]"}[min(pageOf(r), 3)]
		}, "complete", 3, 3, true, ""},
		{"absurd totals", func(r *http.Request, w http.ResponseWriter) (int, string) {
			w.Header().Set("Total", "-7")
			w.Header().Set("X-Total-Results", "99999999999999999999")
			return 200, []string{"", full, "[]"}[min(pageOf(r), 2)]
		}, "complete", 3, 2, true, ""},
		{"an error in the middle", func(r *http.Request, _ http.ResponseWriter) (int, string) {
			if pageOf(r) == 1 {
				return 200, listOf(entry(1, ago(50)), entry(2, ago(40)))
			}
			return 500, ""
		}, "failed", 2, 2, true, ""},
		{"an error in the middle, out of order", func(r *http.Request, _ http.ResponseWriter) (int, string) {
			if pageOf(r) == 1 {
				return 200, listOf(entry(2, ago(40)), entry(1, ago(50)))
			}
			return 500, ""
		}, "failed", 2, 2, false, ""},
		{"no list", always(200, `{"events":[]}`), "odd", 0, 1, false, "not a JSON array"},
		{"null", always(200, `null`), "odd", 0, 1, false, ""},
		{"half a list", always(200, full[:len(full)-9]), "odd", 0, 1, false, ""},
		{"a page", always(200, `<html>`), "odd", 0, 1, false, ""},
		{"strange items", func(r *http.Request, w http.ResponseWriter) (int, string) {
			w.Header().Set("Total", "7")
			return 200, listOf(`1`, `null`, `"x"`, `{}`, `{"id":"../people/1","event_code":10}`, `{"id":1e9}`, entry(1, ago(50)))
		}, "complete", 1, 1, true, "without a usable id"},
		{"too much on a page", func(r *http.Request, w http.ResponseWriter) (int, string) {
			w.Header().Set("Total", "2")
			if r.URL.Query().Get("n") == "1000" {
				return 200, `["` + strings.Repeat("x", 9<<20) + `"]`
			}
			return 200, listOf(entry(1, ago(50)), entry(2, ago(40)))
		}, "complete", 2, 2, true, ""},
		{"too much on any page", always(200, `["`+strings.Repeat("x", 9<<20)+`"]`), "odd", 0, 4, false, "larger than 8 MiB"},
		{"since means nothing to it", func(r *http.Request, w http.ResponseWriter) (int, string) {
			w.Header().Set("Total", "3")
			return 200, listOf(entry(8, ago(80*24*60)), entry(9, ago(9*24*60)), entry(1, ago(50)))
		}, "complete", 1, 1, true, ""},
		{"events of the future", func(r *http.Request, w http.ResponseWriter) (int, string) {
			w.Header().Set("Total", "2")
			return 200, listOf(entry(1, ago(50)), entry(2, ago(-600000)))
		}, "complete", 2, 1, true, ""},
		{"redirect", always(302, ""), "odd", 0, 1, false, ""},
		{"bad request, with and without codes", always(400, `{"error":"bad_request"}`), "odd", 0, 2, false, ""},
		{"unauthorized", always(401, ""), "failed", 0, 1, false, ""},
		{"forbidden", always(403, ""), "forbidden", 0, 1, false, "needs_scope"},
		{"not found", always(404, ""), "odd", 0, 1, false, ""},
		{"too many requests", always(429, `{"retry_in":40}`), "rate_limited", 0, 1, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := open(t, sqldbtest.SQLite(t))
			g.connectedAt(t, ago(120))
			honest := false
			c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
				if honest {
					w.Header().Set("Total", "4")
					return 200, listOf(entry(1, ago(50)), entry(2, ago(40)), entry(3, ago(30)), entry(4, ago(20)))
				}
				return tt.answer(r, w)
			})
			c.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			catchup := newCatchup(t, g, c, fast)
			catchup.Visit(t.Context(), account, true)
			g.ran(t, tt.outcome, 1)
			if got := len(g.said(t)); got != tt.said {
				t.Errorf("%d events said, want %d", got, tt.said)
			}
			if got := len(c.asked()); got > tt.most {
				t.Errorf("asked %d times, want at most %d", got, tt.most)
			}
			moved := g.watermark(t).After(ago(125))
			if moved != tt.moves || g.watermark(t).After(now) {
				t.Errorf("the watermark stands %v ago", now.Sub(g.watermark(t)))
			}
			if !strings.Contains(g.lines.String(), tt.complain) {
				t.Errorf("the log does not say %q:\n%s", tt.complain, g.lines)
			}
			// Once DoorFlow is well, nothing has been lost.
			honest = true
			if tt.outcome == "rate_limited" {
				catchup.Visit(t.Context(), account, true)
				if len(c.asked()) != 1 {
					t.Error("asked although DoorFlow wants to be left alone")
				}
				return
			}
			before := g.watermark(t)
			catchup.Visit(t.Context(), account, true)
			for id := 1; id <= 4; id++ {
				if said := g.said(t); said[fmt.Sprintf("events/%d", id)] == "" && tt.said < webhooks.MaxPages {
					t.Errorf("event %d is missing", id)
				}
			}
			if g.watermark(t).Before(before) {
				t.Error("the watermark went back")
			}
		})
	}
}
