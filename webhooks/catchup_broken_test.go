package webhooks_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"gatehouse/doorflow"
	"gatehouse/internal/sqldb/sqldbtest"
)

// A DoorFlow that never grants more than a few pages at a time is worked through all the same, although a
// wide look begins long before the watermark. The next wide one is due a day after this one began: what was
// uploaded meanwhile may lie before where it went on.
func TestAWideLookGoesOnWhereItWasBrokenOff(t *testing.T) {
	t.Parallel()
	g := open(t, sqldbtest.SQLite(t))
	now := time.Now().Truncate(time.Millisecond)
	clock := &clock{now: now}
	g.connectedAt(t, now.Add(-80*time.Hour))
	left := 0
	c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
		if left--; left < 0 {
			return 500, ""
		}
		since, err := time.Parse(time.RFC3339, r.URL.Query().Get("since"))
		if err != nil {
			t.Error(err)
		}
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		// An event each half hour, four to a page.
		var all, shown []string
		for i := range 160 {
			if at := now.Add(time.Duration(i-160) * time.Hour / 2); !at.Before(since) {
				all = append(all, entry(1000+i, at))
			}
		}
		for i := (page - 1) * 4; i < min(page*4, len(all)); i++ {
			shown = append(shown, all[i])
		}
		w.Header().Set("Total", strconv.Itoa(len(all)))
		return 200, listOf(shown...)
	})
	catchup := newCatchup(t, g, c, fast, clock.use)
	catchup.Visit(t.Context(), account, false)
	g.set(t, `UPDATE catchup SET watermark = ?`, now.Add(-time.Hour).UnixMilli()) // webhooks and looks before the gateway was down
	looks := 0
	for ; looks < 30 && g.count(t, `SELECT COUNT(*) FROM catchup WHERE looked_at > 0`) == 0; looks++ {
		left = 4
		catchup.Visit(t.Context(), account, true)
		clock.advance(time.Minute)
	}
	g.ran(t, "complete", 1)
	if wide := g.count(t, `SELECT wide_at FROM catchup`); int64(wide) != now.UnixMilli() {
		t.Errorf("the wide look counts as begun at %v, want %v", time.UnixMilli(int64(wide)), now)
	}
	if got := len(g.said(t)); got < 140 {
		t.Errorf("%d events said after %d looks", got, looks)
	}
}

// A look that DoorFlow turns away is tried less and less often, although DoorFlow does not say when to come
// again, and not with smaller pages, which are more requests.
func TestCatchupGivesWayToAnOverloadedDoorFlow(t *testing.T) {
	t.Parallel()
	g := open(t, sqldbtest.SQLite(t))
	now := &clock{now: time.Now()}
	g.connectedAt(t, now.Now().Add(-time.Hour))
	c := newCloud(t, func(r *http.Request, _ http.ResponseWriter) (int, string) {
		if n := r.URL.Query().Get("n"); n != strconv.Itoa(doorflow.MaxEvents) {
			t.Errorf("asked for %s to a page", n)
		}
		return 429, ""
	})
	catchup := newCatchup(t, g, c, fast, now.use)
	var wait time.Duration
	for refusals := range 4 {
		await(t, "DoorFlow is asked", func() bool {
			catchup.Visit(t.Context(), account, true)
			return len(c.asked()) > refusals
		})
		wait = catchup.Due(account).Sub(now.Now())
	}
	if wait < 8*time.Second {
		t.Errorf("after four refusals it is tried again in %v", wait)
	}
}

// Without event codes the list is another one, with other pages: nobody changes over in the middle.
func TestRefusedEventCodesInTheMiddle(t *testing.T) {
	t.Parallel()
	g := open(t, sqldbtest.SQLite(t))
	now := time.Now().Truncate(time.Millisecond)
	g.connectedAt(t, now.Add(-time.Hour))
	refuse := true
	c := newCloud(t, func(r *http.Request, w http.ResponseWriter) (int, string) {
		page, codes := r.URL.Query().Get("page"), r.URL.Query().Get("event_codes") != ""
		if codes && refuse && page == "2" {
			return 400, `{"error":"bad_request"}`
		}
		list := map[string]string{"1": listOf(entry(1, now), entry(2, now)), "2": listOf(entry(3, now), entry(4, now))}
		if !codes {
			list = map[string]string{"1": listOf(entry(2, now), entry(4, now))}
		}
		if list[page] == "" {
			return 200, "[]"
		}
		return 200, list[page]
	})
	catchup := newCatchup(t, g, c, fast)
	catchup.Visit(t.Context(), account, true)
	g.ran(t, "complete", 0)
	refuse = false
	catchup.Visit(t.Context(), account, true)
	g.ran(t, "complete", 1)
	if got := len(g.said(t)); got != 4 {
		t.Errorf("%d events said, want 4", got)
	}
}

// A clock that was hours ahead and is put right does not stop catching up for those hours.
func TestCatchupAfterTheClockWasPutBack(t *testing.T) {
	t.Parallel()
	g := open(t, sqldbtest.SQLite(t))
	ahead := &clock{now: time.Now().Add(5 * time.Hour)}
	g.connectedAt(t, time.Now().Add(-time.Hour))
	c := newCloud(t, always(200, "[]"))
	catchup := newCatchup(t, g, c, fast, ahead.use)
	catchup.Visit(t.Context(), account, true)
	ahead.advance(-5 * time.Hour)
	catchup.Visit(t.Context(), account, false)
	g.ran(t, "complete", 2)
	if wait := time.Until(catchup.Due(account)); wait > time.Hour {
		t.Errorf("the next look is in %v", wait)
	}
}
