package dashboard

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/webhooks"
)

// repeating is long work, of which each request does a part: the page shows how far it is and asks for the next by
// itself. All that is known of it stands in the page, so that whoever leaves it ends it.
type repeating struct {
	endpoint
	// Action is where the next part is asked for, and Fields what with.
	Action string
	Fields url.Values
	// Done is how many deliveries wait again so far, and Skipped how many could not be sent again; All is how many there
	// were to begin with, 0 where that is not known.
	Done, Skipped, All int64
	// Percent of the work is done, as far as can be told. Reached is the time that it has come to.
	Percent int
	Reached time.Time
	Ended   bool
}

// Replays tells a replay from a retry.
func (r repeating) Replays() bool { return strings.HasSuffix(r.Action, "/replay") }

type replayPage struct {
	endpoint
	Since, Until string
	Subjects     string
}

// spans are what the buttons of the form to replay say.
var spans = map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour}

// replayForm is GET /endpoints/:id/replay.
func (d *Dashboard) replayForm(c echo.Context) error {
	found, err := d.Endpoints.Find(c, c.Param("id"))
	if err != nil {
		return err
	}
	return d.show(c, "replay", "Replay to "+found.Name(), replayPage{endpoint: newEndpoint(found)})
}

// replayRange is POST /endpoints/:id/replay: the beginning of a replay, or the next part of one.
func (d *Dashboard) replayRange(c echo.Context) error {
	found, err := d.Endpoints.Find(c, c.Param("id"))
	if err != nil {
		return err
	}
	now := d.Now().UTC()
	typed := replayPage{newEndpoint(found), c.FormValue("since"), c.FormValue("until"), c.FormValue("subjects")}
	if span, ok := spans[c.FormValue("last")]; ok {
		typed.Since, typed.Until = now.Add(-span).Format(time.RFC3339), ""
	}
	// The end is settled with the first part: what is said from then on goes there anyway.
	until := cmp.Or(typed.Until, now.Format(time.RFC3339Nano))
	q := webhooks.ReplayFields{Since: typed.Since, Until: until, Subjects: lines(typed.Subjects), After: c.FormValue("after")}
	work := repeating{
		endpoint: typed.endpoint, Action: "/endpoints/" + url.PathEscape(found.ID) + "/replay", Done: count(c, "done"),
		Fields: url.Values{"since": {typed.Since}, "until": {until}, "subjects": {typed.Subjects}, "after": {q.After}},
	}
	done, err := d.Deliveries.ReplayFor(c, q)
	switch {
	case err != nil && q.After == "":
		return d.again(c, err, "replay", "base", "Replay to "+found.Name(), typed)
	case err != nil:
		return d.againRepeating(c, err, work)
	}
	work.Done, work.Skipped = work.Done+done.Deliveries, count(c, "skipped")+done.Gone
	work.Reached, work.Ended = done.Reached, done.Next == ""
	work.Percent = percent(typed.Since, until, done.Reached)
	return d.showRepeating(c, work, done.Next)
}

// percent is how far a time lies between two others, as forms write them.
func percent(since, until string, at time.Time) int {
	from, err := time.Parse(time.RFC3339, since)
	to, failed := time.Parse(time.RFC3339, until)
	if err != nil || failed != nil || !to.After(from) {
		return 0
	}
	return int(100 * at.Sub(from).Seconds() / to.Sub(from).Seconds())
}

// retryFor is how long one part of retrying what is parked may take, and retryRead how many are read at once.
const (
	retryFor  = time.Second
	retryRead = 100
)

// retryParked is POST /endpoints/:id/retry-parked: each delivery of its own, as if somebody asked for one
// after the other, the oldest first.
func (d *Dashboard) retryParked(c echo.Context) error {
	found, err := d.Endpoints.Find(c, c.Param("id"))
	if err != nil {
		return err
	}
	after, all := c.FormValue("after"), max(count(c, "all"), found.Health.Parked+count(c, "done")) // more than are counted show as it goes on
	work := repeating{
		endpoint: newEndpoint(found), Action: "/endpoints/" + url.PathEscape(found.ID) + "/retry-parked", Done: count(c, "done"), Skipped: count(c, "skipped"), All: all,
		Fields: url.Values{"all": {strconv.FormatInt(all, 10)}, "after": {after}},
	}
	for began := d.Now(); !work.Ended && d.Now().Sub(began) < retryFor; {
		parked, next, err := d.Deliveries.Parked(c, after, retryRead)
		if err == nil {
			err = d.retryEach(c, parked, &work)
		}
		if err != nil {
			return d.againRepeating(c, err, work)
		}
		after, work.Ended = next, next == ""
		work.Fields.Set("after", after)
	}
	if all > 0 {
		work.Percent = int(100 * (work.Done + work.Skipped) / all)
	}
	return d.showRepeating(c, work, after)
}

func (d *Dashboard) retryEach(c echo.Context, parked []string, work *repeating) error {
	for _, id := range parked {
		switch _, err := d.Deliveries.RetryOne(c, id); {
		case errors.Is(err, webhooks.ErrMessageGone), errors.Is(err, webhooks.ErrNoDelivery):
			work.Skipped++
		case err != nil:
			return err
		default:
			work.Done++
		}
	}
	return nil
}

func (d *Dashboard) showRepeating(c echo.Context, work repeating, after string) error {
	work = work.carried(after)
	return d.render(c, http.StatusOK, "repeat", piece(c, "live"), work.title(), work)
}

// againRepeating shows that a part failed. It can be asked for again.
func (d *Dashboard) againRepeating(c echo.Context, err error, work repeating) error {
	work = work.carried(work.Fields.Get("after"))
	return d.again(c, err, "repeat", piece(c, "live"), work.title(), work)
}

// carried puts what the next part needs to know into the fields.
func (r repeating) carried(after string) repeating {
	r.Percent = min(max(r.Percent, 0), 99)
	r.Fields.Set("after", after)
	r.Fields.Set("done", strconv.FormatInt(r.Done, 10))
	r.Fields.Set("skipped", strconv.FormatInt(r.Skipped, 10))
	return r
}

func (r repeating) title() string {
	if r.Replays() {
		return "Replay to " + r.Name()
	}
	return "Retry what is parked for " + r.Name()
}

// count reads a number that a page carries from part to part. It is for the person alone: nothing is decided by it.
func count(c echo.Context, name string) int64 {
	n, err := strconv.ParseInt(c.FormValue(name), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// piece is what a request of htmx gets instead of a whole page.
func piece(c echo.Context, name string) string {
	if c.Request().Header.Get("HX-Request") != "" {
		return name
	}
	return "base"
}
