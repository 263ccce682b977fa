package doorflowsim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/doorflow/doorflowsim"
)

func TestEventFields(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, events)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := c.Emit(doorflowsim.AccountA, doorflowsim.EventSpec{Code: 11, PersonID: 4821, ChannelID: 5012, CredentialsNumber: "604219", At: at})
	if e.ID <= 600_000_000 {
		t.Errorf("id = %d, want one beyond 6e8", e.ID)
	}
	want := fmt.Sprintf(`{"id":%d,"event_id":%[1]d,"event_code":11,"event_label":"Admitted Ana Pereira using PIN",`+
		`"door_controller_id":5012,"door_controller_name":"Loading Bay","channel_id":5012,"channel_name":"Loading Bay",`+
		`"person_id":4821,"person_name":"Ana Pereira","credentials_number":"604219",`+
		`"created_at":"2026-01-01T00:00:00.000Z","updated_at":"2026-01-01T00:00:00.000Z"}`, e.ID)
	if diff := cmp.Diff(want, strings.TrimSpace(string(c.api(access, "GET", eventPath(e), "").body))); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	stranger := c.Emit(doorflowsim.AccountA, doorflowsim.EventSpec{Code: 24, CredentialsNumber: "111111"})
	got := c.api(access, "GET", eventPath(stranger), "").json(t)
	if got["person_id"] != nil || got["person_name"] != nil || got["channel_id"] != nil {
		t.Errorf("unknown credential = %v, want nulls", got)
	}
}

func TestListEvents(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, events)
	now := c.Now()
	specs := []doorflowsim.EventSpec{
		{Code: 11, PersonID: 4821, ChannelID: 5012, At: now.Add(-3 * time.Hour)},
		{Code: 24, ChannelID: 5027, At: now.Add(-2 * time.Hour)},
		{Code: 31, ChannelID: 5012, Perimeter: true, At: now.Add(-2 * time.Hour)},
		{Code: 70, PersonID: 4836, ChannelID: 5012, At: now.Add(-time.Hour)},
		{Code: 11, PersonID: 4821, ChannelID: 5027, At: now.Add(-91 * 24 * time.Hour)},
		{Code: 1, ChannelID: 5012},
	}
	names := map[float64]string{}
	for i, e := range c.EmitBatch(doorflowsim.AccountA, specs) {
		names[float64(e.ID)] = string(rune('a' + i))
	}
	for _, test := range []struct{ name, query, want string }{
		{"Default", "", "dba"},
		{"Ascending", "sort=ASC", "abd"},
		{"Codes", "event_codes=11,31", "ca"},
		{"Range", "event_codes=70", "d"},
		{"Channel", "channels=5027", "b"},
		{"ChannelAlias", "door_controllers=5012,5027", "dba"},
		{"Name", "first_name=ana&last_name=PEREIRA", "a"},
		{"OtherName", "first_name=ana&last_name=smith", ""},
		{"Since", "since=" + now.Add(-90*time.Minute).Format(time.RFC3339), "d"},
		{"OldSince", "since=2020-01-01T00:00:00Z", "dbae"},
		{"Debug", "level=debug", "fdba"},
		{"Page", "n=2&page=2", "a"},
		{"PageBeyond", "n=2&page=9", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got string
			for _, e := range c.api(access, "GET", "/api/3/events?"+test.query, "").list(t) {
				got += names[e["id"].(float64)]
			}
			if got != test.want {
				t.Errorf("listed %q, want %q", got, test.want)
			}
		})
	}
	a := c.api(access, "GET", "/api/3/events?event_codes=11,999", "")
	wantStatus(t, a, http.StatusBadRequest)
	if got := a.json(t); got["error"] != "bad_request" || !strings.HasSuffix(got["error_description"].(string), ": 999") {
		t.Errorf("body = %s", a.body)
	}
}

func TestPagination(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, "account.person")
	for i := range 120 {
		c.api(access, "POST", "/api/3/people", fmt.Sprintf(`{"first_name":"P%d","last_name":"Q"}`, i))
	}
	for _, test := range []struct {
		query string
		want  int
	}{
		{"", 50},
		{"page=3", 24},
		{"per_page=100", 100},
		{"per_page=200", 100},
		{"per_page=-1", 50},
		{"page=0", 50},
		{"page=99999999999", 0},
		{"page=9999999", 0},
		{"skip_pagination=true", 124},
	} {
		if got := len(c.api(access, "GET", "/api/3/people?"+test.query, "").list(t)); got != test.want {
			t.Errorf("%q: %d people, want %d", test.query, got, test.want)
		}
	}
	for _, test := range []struct {
		set      doorflowsim.HeaderSet
		plain, x string
	}{
		{doorflowsim.HeadersBoth, "124", "124"},
		{doorflowsim.HeadersPlain, "124", ""},
		{doorflowsim.HeadersX, "", "124"},
		{doorflowsim.HeadersNone, "", ""},
	} {
		c.Faults().PaginationHeaders(test.set)
		h := c.api(access, "GET", "/api/3/people", "").header
		if h.Get("Total") != test.plain || h.Get("X-Total-Results") != test.x || (h.Get("Per-Page") == "50") != (test.plain != "") {
			t.Errorf("set %d: headers = %v", test.set, h)
		}
	}
}

// What a client that goes through the pages of a list must bear.
func TestListEventsMisbehaves(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, events)
	specs := make([]doorflowsim.EventSpec, 5)
	for i := range specs {
		specs[i] = doorflowsim.EventSpec{Code: 10, ChannelID: 5012}
	}
	c.EmitBatch(doorflowsim.AccountA, specs)
	c.Faults().PageLimit(2)
	c.Faults().BusyPages(2, time.Hour)
	for page, want := range []int{2, 2, 2, 1} { // what is uploaded late makes the list longer
		if got := len(c.api(access, "GET", fmt.Sprintf("/api/3/events?sort=ASC&page=%d", page+1), "").list(t)); got != want {
			t.Errorf("page %d has %d events, want %d", page+1, got, want)
		}
	}
	first := c.api(access, "GET", "/api/3/events?sort=ASC", "").list(t)[0]
	if at, err := time.Parse(time.RFC3339, first["created_at"].(string)); err != nil || c.Now().Sub(at) < time.Hour {
		t.Errorf("the first event is of %v", first["created_at"])
	}
	c.Faults().RefuseEventCodes(1)
	c.api(access, "GET", "/api/3/events", "").list(t)
	wantStatus(t, c.api(access, "GET", "/api/3/events?event_codes=10", ""), http.StatusBadRequest)
	wantStatus(t, c.api(access, "GET", "/api/3/events?event_codes=10", ""), http.StatusOK)
	c.Faults().Reset()
	if got := len(c.api(access, "GET", "/api/3/events", "").list(t)); got != 7 {
		t.Errorf("%d events after the reset, want 7", got)
	}
}
