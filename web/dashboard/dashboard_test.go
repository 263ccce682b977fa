package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gatehouse/apikeys"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
	"gatehouse/web"
	"gatehouse/webhooks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

var tag = regexp.MustCompile(`</?span[^>]*>`)

// FuzzColour: whatever a message holds, the page shows just that, and no markup of its own.
func FuzzColour(f *testing.F) {
	for _, s := range []string{
		`{"a":"<script>alert(1)</script>","b":[1,-2.5e+3,true,null],"c\"":"\\","d":{}}`, `"x"`, `[]`, `nonsense <b>`, `{"a":"\u003c","é":"日"}`, ``, `{"":"a:b"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		shown := string(colour(body))
		if bare := tag.ReplaceAllString(shown, ""); strings.ContainsAny(bare, "<>") {
			t.Fatalf("%q is shown as %q", body, shown)
		}
		want := string(body)
		var pretty bytes.Buffer
		if json.Indent(&pretty, body, "", "  ") == nil {
			want = pretty.String()
		}
		if got := html.UnescapeString(tag.ReplaceAllString(shown, "")); strings.ToValidUTF8(strings.ReplaceAll(got, "\ufffd", ""), "") != strings.ToValidUTF8(strings.ReplaceAll(strings.ReplaceAll(want, "\x00", ""), "\ufffd", ""), "") {
			t.Fatalf("%q is shown as %q, want %q", body, got, want)
		}
	})
}

func TestNumbersAndTimes(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567.4: "1\u202f234\u202f567", -1234: "-1\u202f234"} {
		if got := number(n); got != want {
			t.Errorf("%v: %q", n, got)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	want := `<time datetime="2026-01-02T02:04:05.000Z" title="2026-01-02 02:04:05 UTC" data-form="ago">2026-01-02 02:04:05 UTC</time>`
	if got := string(timeTag(at, "ago")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := string(timeTag(time.Time{}, "")); strings.Contains(got, "<time") {
		t.Errorf("no time is shown as %s", got)
	}
}

// Every scope stands on the form once, in words, and presets hold nothing else.
func TestScopesInWords(t *testing.T) {
	var known []string
	for _, a := range areas {
		for _, p := range a.Powers {
			known = append(known, p.Scope)
			if p.Does == "" || strings.HasSuffix(p.Does, ".") {
				t.Errorf("%s: %q", p.Scope, p.Does)
			}
		}
	}
	slices.Sort(known)
	if want := slices.Sorted(slices.Values(apikeys.Scopes())); !slices.Equal(known, want) {
		t.Errorf("the form has %v, the keys %v", known, want)
	}
	for _, p := range presets {
		for _, scope := range p.Scopes {
			if !slices.Contains(known, scope) || scope == apikeys.ScopeAdmin {
				t.Errorf("%s has the scope %s", p.Name, scope)
			}
		}
	}
}

func TestWhatAKeyIsAskedFor(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, row := range []struct {
		name                 string
		form                 keyForm
		accounts, identities []string
		ends                 *string
	}{
		{"all", keyForm{AccountLimit: "all", IdentityLimit: "all", Accounts: "ignored"}, nil, nil, nil},
		{"some", keyForm{AccountLimit: "some", Accounts: " a,b\n c ", IdentityLimit: "some"}, []string{"a", "b", "c"}, []string{}, nil},
		{"a form without the choice gives nothing", keyForm{}, []string{}, []string{}, nil},
		{"a week", keyForm{AccountLimit: "all", IdentityLimit: "all", Days: "7"}, nil, nil, new("2026-01-09T03:04:05Z")},
	} {
		r, err := row.form.request(now)
		if diff := cmp.Diff([]any{row.accounts, row.identities, row.ends}, []any{[]string(r.Accounts), []string(r.Identities), r.ExpiresAt}); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", row.name, err, diff)
		}
	}
	for _, days := range []string{"0", "-1", "x", "4000"} {
		if _, err := (keyForm{Days: days}).request(now); err == nil {
			t.Errorf("%s days are not refused", days)
		}
	}
}

// What can be said after an action is said in whole sentences, in a tone that the stylesheet knows.
func TestWords(t *testing.T) {
	for name, w := range words {
		if !strings.HasSuffix(w.Text, ".") || w.Tone != "good" && w.Tone != "warn" && w.Tone != "bad" {
			t.Errorf("%s: %+v", name, w)
		}
	}
}

// Whoever sees an outcome learns what it means and what to do.
func TestEveryOutcomeHasAMeaning(t *testing.T) {
	for _, o := range webhooks.Outcomes() {
		if m := meaning(o); !strings.HasSuffix(m, ".") && !strings.HasSuffix(m, "?") {
			t.Errorf("%s means %q", o, m)
		}
	}
	if len(meanings) != len(webhooks.Outcomes()) {
		t.Error("there are meanings of what is no outcome")
	}
}

func TestHowFarAReplayIs(t *testing.T) {
	const since, until = "1990-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
	for at, want := range map[string]int{since: 0, "2008-01-01T00:00:00Z": 49, until: 100} {
		when, err := time.Parse(time.RFC3339, at)
		if got := percent(since, until, when); err != nil || got != want {
			t.Errorf("%s: %d, want %d", at, got, want)
		}
	}
	for _, bad := range [][2]string{{"", until}, {since, "x"}, {until, since}} {
		if got := percent(bad[0], bad[1], time.Now()); got != 0 {
			t.Errorf("%v: %d", bad, got)
		}
	}
}

func TestThePulseKeepsAnHour(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		reg := prometheus.NewRegistry()
		messages := prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_log_messages_total"})
		requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_webhook_requests_total"}, []string{"outcome", "reason"})
		reg.MustRegister(messages, requests)
		p := &Pulse{Registry: reg, DB: db, Log: slog.New(slog.DiscardHandler)}
		messages.Add(7) // before it begins, in the same process: they count
		p.beat(t.Context(), true)
		for range perMinute {
			messages.Add(2)
			requests.WithLabelValues("stored", "").Inc()
			requests.WithLabelValues("unauthorized", "stale").Add(3)
			p.beat(t.Context(), false)
		}
		r := p.Read()
		if got := r.Minutes["messages"]; got[minutes-1] != float64(2*perMinute) || got[minutes-2] != 7 {
			t.Errorf("the last minutes are %v", got[minutes-3:])
		}
		if r.Minutes["webhooks"][minutes-1] != float64(perMinute) || r.Minutes["refused"][minutes-1] != float64(3*perMinute) || r.Now["messages"] != 7+float64(2*perMinute) {
			t.Errorf("%v %v", r.Minutes["webhooks"], r.Now)
		}
		// Of the first ten minutes a line has a point for every ten seconds.
		if got := r.Points["messages"]; r.Span != 10*time.Minute || got[points-1] != 10 || got[points-6] != 10 || got[points-7] != 7 || got[points-8] != 0 {
			t.Errorf("over %v the line is %v", r.Span, got)
		}
		p.since = p.since.Add(-time.Hour)
		if later := p.Read(); later.Span != time.Hour || later.Points["messages"] != r.Minutes["messages"] {
			t.Errorf("over %v the line is %v", later.Span, later.Points["messages"])
		}
		for range slots {
			p.beat(t.Context(), false)
		}
		for name, by := range p.Read().Minutes {
			for _, n := range by {
				if n != 0 {
					t.Fatalf("%s of more than an hour ago are still there: %v", name, by)
				}
			}
		}
	})
}

func TestTheSparklineStaysInItsPicture(t *testing.T) {
	var by [points]float64
	if s := sparkline(by, sparkHigh); !strings.HasPrefix(s.Line, "M0.0 78.0L") || strings.Count(s.Line, " 78.0") != points {
		t.Errorf("of nothing: %+v", s)
	}
	by[0], by[points-1] = 1e9, 3
	s := sparkline(by, sparkHigh)
	if !strings.HasPrefix(s.Line, "M0.0 6.0L") || !strings.HasSuffix(s.Line, "L600.0 78.0") || !strings.HasSuffix(s.Area, "L600 80L0 80Z") {
		t.Errorf("%+v", s)
	}
}

// A page waits for Doordeck for a while, and what it says when that is over is not taken for its reader's going away.
func TestAskingEndsBeforeThePageDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request := httptest.NewRequest(http.MethodGet, "/doors/acme/live", nil)
		c, began := echo.New().NewContext(request, httptest.NewRecorder()), time.Now()
		err := asking(c, func() error {
			<-c.Request().Context().Done()
			return context.Cause(c.Request().Context())
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != patience || c.Request().Context().Err() != nil {
			t.Errorf("%v after %v, and the request is %v", err, time.Since(began), c.Request().Context().Err())
		}
	})
}

func TestALifeIsABar(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	i := sharing.Identity{RegisteredAt: start, RenewsAt: start.Add(24 * 24 * time.Hour), ServesUntil: start.Add(32 * 24 * time.Hour)}
	for days, want := range map[int]life{
		-1: {Renews: 75, Tone: "good"}, 0: {Renews: 75, Tone: "good"}, 8: {Past: 25, Renews: 75, Tone: "good"}, 25: {Past: 78.125, Renews: 75, Tone: "warn"},
		32: {Past: 100, Renews: 75, Tone: "bad"}, 99: {Past: 100, Renews: 75, Tone: "bad"},
	} {
		if got := lifeOf(i, start.Add(time.Duration(days)*24*time.Hour)); got != want {
			t.Errorf("after %d days: %+v, want %+v", days, got, want)
		}
	}
	if got := lifeOf(sharing.Identity{}, start); !got.None {
		t.Errorf("without a chain: %+v", got)
	}
}

// A page says of each way that an identity can stand what there is to do.
func TestAnIdentityThatWaitsForACode(t *testing.T) {
	d := &Dashboard{Config: Config{Now: time.Now}}
	var err error
	if d.files, err = readFiles(); err == nil {
		d.templates, err = d.readTemplates()
	}
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	waits := sharing.Identity{Name: "acme", Status: sharing.StatusVerification, Email: "ada@example.test", EmailVerified: true}
	sent := func(ago time.Duration, wrong int) sharing.Identity {
		i := waits
		i.Verification = &sharing.Verification{Method: "EMAIL", SentAt: now.Add(-ago), ExpiresAt: now.Add(5*time.Minute - ago), WrongCodes: wrong}
		return i
	}
	nowhere := waits
	nowhere.EmailVerified = false
	for name, row := range map[string]struct {
		of        sharing.Identity
		says      string
		enter, to bool // is there a form to enter a code, and one to have it sent
	}{
		"nothing was sent": {waits, "How should the code come?", false, true},
		"a code was sent":  {sent(time.Minute, 1), "It works until", true, true},
		"it is too old":    {sent(6*time.Minute, 0), "older than five minutes", false, true},
		"too many wrong":   {sent(time.Minute, 5), "Too many wrong codes", false, true},
		"nowhere to send":  {nowhere, "nowhere to send a code to", false, false},
	} {
		var page bytes.Buffer
		v := view{In: true, Caller: web.Caller{Scopes: []string{"identities:write"}}, Page: d.identityOf(row.of)}
		if err := d.templates["identity"].ExecuteTemplate(&page, "live", v); err != nil {
			t.Fatal(err)
		}
		text := page.String()
		if !strings.Contains(text, row.says) || strings.Contains(text, "/acme/check") != row.enter || strings.Contains(text, "/acme/verify") != row.to {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

func TestPeopleOfAForm(t *testing.T) {
	form := shareForm{People: "\r\n ana@example.test\r\nbram\r\n\r\nAna <ana@example.test>;\r\n+442079460012"}
	people, wrong := form.readLines()
	var told []string
	for _, l := range form.Lines {
		told = append(told, fmt.Sprint(l.N, " ", l.Tone, " ", l.Text))
	}
	want := []string{"2 good ana@example.test", "3 bad bram", "5 idle Ana <ana@example.test>;", "6 good +442079460012"}
	if !slices.Equal(told, want) || wrong != 1 || len(people) != 2 || people[1].Telephone != "+442079460012" {
		t.Errorf("%q, %d wrong, %+v", told, wrong, people)
	}
}

func TestHowManyInWords(t *testing.T) {
	for n, want := range map[float64]string{1: "1 message is", 2: "2 messages are", countUpTo: number(float64(countUpTo)) + "+ messages are"} {
		if got := howMany(n, "message is", "messages are"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// How many deliveries and operations there are is for those who may look at them.
func TestCountsGoWithTheirScopes(t *testing.T) {
	d := &Dashboard{Config: Config{Now: time.Now, Identities: &sharing.IdentityHandlers{Of: &sharing.Identities{}}}}
	for scopes, want := range map[string]string{
		"messages:read":                                "",
		"messages:read endpoints:read":                 "Deliveries",
		"messages:read operations:read endpoints:read": "Deliveries Operations",
		"admin": "Deliveries Operations",
	} {
		var names []string
		for _, s := range d.flow(Reading{}, web.Caller{Scopes: strings.Fields(scopes)}).Branches {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("with %s: %q, want %q", scopes, got, want)
		}
	}
}
