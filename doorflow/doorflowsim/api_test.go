package doorflowsim_test

import (
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/doorflow/doorflowsim"
)

func eventPath(e doorflowsim.Event) string { return fmt.Sprintf("/api/3/events/%d", e.ID) }

func TestAccount(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA)
	if got := c.api(access, "GET", "/api/3/account", "").json(t)["id"]; got != "hX9aQ2" {
		t.Errorf("id = %v", got)
	}
	c.Faults().IntegerAccountID(true)
	if got, isNumber := c.api(access, "GET", "/api/3/account", "").json(t)["id"].(float64); !isNumber {
		t.Errorf("id = %v, want a number", got)
	}
}

func TestPeople(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, "account.person")
	do := func(method, path, body string) answer { t.Helper(); return c.api(access, method, path, body) }

	for _, body := range []string{
		`{"first_name":"Gita","last_name":"Rao","email":"gita@example.test","group_ids":[12]}`,
		`{"person":{"first_name":"Hugo","last_name":"Sand","system_id":"m-7"}}`,
	} {
		wantStatus(t, do("POST", "/api/3/people", body), http.StatusCreated)
	}
	hugo := do("GET", "/api/3/people?system_id=m-7", "").list(t)[0]
	path := fmt.Sprintf("/api/3/people/%v", hugo["id"])

	for _, body := range []string{
		`{"email":"GITA@example.test","last_name":"Sandberg"}`, `{"first_name":""}`, `{"last_name":""}`,
	} {
		wantStatus(t, do("PUT", path, body), http.StatusUnprocessableEntity)
	}
	a := do("PUT", path, `{"email":"gita@example.test"}`)
	if diff := cmp.Diff(map[string]any{"email": []any{"has already been taken"}}, a.json(t)["errors"]); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(hugo, do("GET", path, "").json(t)); diff != "" {
		t.Errorf("refused updates changed the person:\n%s", diff)
	}
	a = do("PUT", path, `{"person":{"email":"hugo@example.test","group_ids":[19],"valid_to":"2030-01-01T00:00:00Z"}}`)
	wantStatus(t, a, http.StatusCreated)
	got := a.json(t)
	if diff := cmp.Diff([]any{"Sand", "hugo@example.test", []any{19.0}, "2030-01-01T00:00:00.000Z"},
		[]any{got["last_name"], got["email"], got["groups"], got["valid_to"]}); diff != "" {
		t.Errorf("updated (-want +got):\n%s", diff)
	}
	wantStatus(t, do("DELETE", path, ""), http.StatusOK)
	wantStatus(t, do("GET", path, ""), http.StatusNotFound)
	wantStatus(t, do("PUT", path, `{"email":"x@example.test"}`), http.StatusNotFound)
	wantStatus(t, do("POST", "/api/3/people", `nonsense`), http.StatusBadRequest)
	if got := do("GET", "/api/3/people/4821", "").json(t)["pin"]; got != "604219" {
		t.Errorf("the PIN under its slug = %v", got)
	}
}

func TestPeopleSince(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountB, "account.person") // New York
	c.api(access, "PUT", "/api/3/people/7315", `{"notes":"moved"}`)
	now := c.Now()
	for _, test := range []struct {
		name, query string
		want        int
	}{
		{"UTC", "since_utc=" + now.Add(-time.Minute).Format("2006-01-02T15:04:05"), 1},
		{"UTCLater", "since_utc=" + now.Add(time.Minute).Format("2006-01-02T15:04:05"), 0},
		{"WithZone", "since=" + now.Add(-time.Minute).Format(time.RFC3339), 1},
		{"Before", "since=2020-01-01", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := len(c.api(access, "GET", "/api/3/people?"+test.query, "").list(t)); got != test.want {
				t.Errorf("%d people, want %d", got, test.want)
			}
		})
	}
	wantStatus(t, c.api(access, "GET", "/api/3/people?since=yesterday", ""), http.StatusBadRequest)
}

func TestCredentials(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, "account.person")
	const dora = "/api/3/people/4902/credentials"
	for _, test := range []struct {
		name, body string
		status     int
	}{
		{"ErrType", `{"person_credential":{"credential_type_id":1,"value":"12345"}}`, 422},
		{"ErrShort", `{"person_credential":{"credential_type_id":8033,"value":"123"}}`, 422},
		{"ErrLong", `{"person_credential":{"credential_type_id":8033,"value":"123456789"}}`, 422},
		{"ErrLetters", `{"person_credential":{"credential_type_id":8033,"value":"12ab"}}`, 422},
		{"ErrTaken", `{"person_credential":{"credential_type_id":8033,"value":"604219"}}`, 422},
		{"ErrNoValue", `{"person_credential":{"credential_type_id":8033}}`, 422},
		{"Flat", `{"credential_type_id":8051,"value":"0099"}`, 201},
		{"Random", `{"person_credential":{"credential_type_id":8033,"value":"******"}}`, 201},
		{"ErrSecond", `{"person_credential":{"credential_type_id":8033,"value":"55555"}}`, 409},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantStatus(t, c.api(access, "POST", dora, test.body), test.status)
		})
	}
	list := c.api(access, "GET", dora, "").list(t)
	pin := list[1]
	if value := pin["value"].(string); !regexp.MustCompile(`^\d{6}$`).MatchString(value) {
		t.Errorf("random PIN = %q", value)
	}
	a := c.api(access, "POST", dora, `{"person_credential":{"credential_type_id":8033,"value":"55555"}}`)
	if diff := cmp.Diff(pin, a.json(t)); diff != "" {
		t.Errorf("the 409 does not show the existing credential:\n%s", diff)
	}
	path := dora + "/" + pin["id"].(string)
	wantStatus(t, c.api(access, "PUT", path, `{"person_credential":{"value":"0731"}}`), 422)
	a = c.api(access, "PUT", path, `{"person_credential":{"value":"007700"}}`)
	wantStatus(t, a, http.StatusCreated)
	if got := c.api(access, "GET", path, "").json(t)["value"]; got != "007700" {
		t.Errorf("value = %v", got)
	}
	wantStatus(t, c.api(access, "GET", "/api/3/people/4821/credentials/"+pin["id"].(string), ""), 404)
	wantStatus(t, c.api(access, "DELETE", path, ""), http.StatusOK)
	wantStatus(t, c.api(access, "GET", path, ""), http.StatusNotFound)
	if got := len(c.api(access, "GET", "/api/3/credentials", "").list(t)); got != 5 {
		t.Errorf("%d credentials in the account, want 5", got)
	}
}

func TestChannelsAndAdmissions(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, "account.channel.readonly", "account.channel.admit", "account.channel.admit.person", events)
	post := func(path, body string) answer { return c.api(access, "POST", "/api/3/channels/"+path, body) }
	outcome := func(a answer) any {
		t.Helper()
		wantStatus(t, a, http.StatusAccepted)
		if a.json(t)["status"] != "pending" {
			t.Errorf("reply = %s, want pending", a.body)
		}
		id := fmt.Sprintf("/api/3/admission_requests/%.0f", a.json(t)["admission_request_id"])
		return c.api(access, "GET", id, "").json(t)["status"]
	}
	for _, test := range []struct{ name, path, body, want string }{
		{"Anyone", "5012/admit", "", "admitted"},
		{"Person", "5012/admit_person", `{"person_id":4821}`, "admitted"},
		{"Offline", "5033/admit_person", `{"person_id":4821}`, "offline"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := outcome(post(test.path, test.body)); got != test.want {
				t.Errorf("status = %v, want %s", got, test.want)
			}
		})
	}
	list := c.api(access, "GET", "/api/3/events?event_codes=15,52", "").list(t)
	if len(list) != 3 || list[1]["person_id"] != 4821.0 {
		t.Errorf("events of the admissions = %v", list)
	}
	c.Faults().StallAdmissions(1)
	a := post("5012/admit", "")
	if got := outcome(a); got != "pending" {
		t.Errorf("stalled: %v", got)
	}
	c.Advance(2 * time.Minute)
	if got := outcome(a); got != "timeout" {
		t.Errorf("stalled for two minutes: %v", got)
	}
	relock := c.Now().Add(time.Minute).Format(time.RFC3339)
	wantStatus(t, post("5012/unlock", `{"relock_at":"`+relock+`"}`), http.StatusOK)
	a = post("5012/admit", "")
	wantStatus(t, a, http.StatusBadRequest)
	if a.json(t)["name"] != "Loading Bay" {
		t.Errorf("the 400 shows %s, want the channel", a.body)
	}
	c.Advance(2 * time.Minute)
	wantStatus(t, post("5012/admit", ""), http.StatusAccepted)
	wantStatus(t, post("5012/lockdown", ""), http.StatusOK)
	if got := outcome(post("5012/admit", "")); got != "denied" {
		t.Errorf("in lockdown: %v", got)
	}
	wantStatus(t, post("5012/admit_person", `{"person_id":1}`), http.StatusNotFound)
}

func TestSyncLimit(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, "account.sync")
	wantStatus(t, c.api(access, "POST", "/api/3/sync", ""), http.StatusOK)
	a := c.api(access, "POST", "/api/3/sync", "")
	wantStatus(t, a, http.StatusTooManyRequests)
	got := a.json(t)
	if got["error"] != "rate_limited" || got["retry_in"].(float64) < 29 || got["retry_in"].(float64) > 30 {
		t.Errorf("body = %s", a.body)
	}
	c.Advance(30 * time.Second)
	wantStatus(t, c.api(access, "POST", "/api/3/sync", ""), http.StatusOK)
}

func TestReservations(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, "account.reservation", "account.group_reservation")
	at := func(d time.Duration) string { return c.Now().Add(d).Format(time.RFC3339) }
	a := c.api(access, "POST", "/api/3/reservations",
		`{"person_id":4821,"start_time":"`+at(0)+`","end_time":"`+at(time.Hour)+`","channel_ids":[5012]}`)
	wantStatus(t, a, http.StatusCreated)
	wantStatus(t, c.api(access, "DELETE", fmt.Sprintf("/api/3/reservations/%.0f", a.json(t)["id"]), ""), http.StatusOK)
	long := `{"person_id":4821,"start_time":"` + at(0) + `","end_time":"` + at(25*time.Hour) + `"}`
	wantStatus(t, c.api(access, "POST", "/api/3/reservations", long), http.StatusUnprocessableEntity)

	a = c.api(access, "POST", "/api/3/group_reservations", `{"group_reservation":{"person_id":4821,"start_time":"`+
		at(time.Hour)+`","end_time":"`+at(48*time.Hour)+`","group_ids":[12]}}`)
	wantStatus(t, a, http.StatusCreated)
	if got := a.json(t)["state"]; got != "pending" {
		t.Errorf("state = %v", got)
	}
	c.Advance(2 * time.Hour)
	access, _ = c.Grant(doorflowsim.AccountA, "account.group_reservation")
	wantStatus(t, c.api(access, "DELETE", fmt.Sprintf("/api/3/group_reservations/%.0f", a.json(t)["id"]), ""), http.StatusOK)
	if got := c.api(access, "GET", "/api/3/group_reservations", "").list(t)[0]["state"]; got != "deactivated" {
		t.Errorf("state = %v", got)
	}
}
