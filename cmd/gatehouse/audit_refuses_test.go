package main_test

import (
	"net/http"
	"testing"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb"
)

// What cannot be recorded is not done: no key is made, nothing reaches DoorFlow, nobody is disconnected.
func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	g := newGateway(t, nil)
	df, dd := newCloud(t, g), newDoordeck(t, g)
	g.start()
	df.connected(g)
	g.compared(1) // which shows at the connection
	g.identity("acme", doordecksim.AdminAda)
	var made struct{ ID string }
	g.call(http.MethodPost, "/v1/api-keys", `{"name":"reception","scopes":["messages:read"]}`).json(t, &made)
	if a := g.call(http.MethodPost, "/v1/nats-credentials", `{"name":"app","events":["*"]}`); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var endpoint struct{ ID string }
	g.call(http.MethodPost, "/v1/endpoints", `{"url":"https://bms.example.com/","subjects":[">"],"enabled":false}`).json(t, &endpoint)
	shown := func() string {
		t.Helper()
		all := ""
		for _, path := range []string{
			"/v1/api-keys", "/v1/nats-credentials", "/v1/connections/" + doorflowsim.AccountA, "/v1/keys", "/v1/endpoints",
			"/v1/identities/acme", "/v1/operations",
		} {
			a := g.call(http.MethodGet, path, "")
			if a.status != http.StatusOK {
				t.Fatalf("%s: %d %s", path, a.status, a.body)
			}
			all += string(a.body)
		}
		return all
	}
	var messages struct {
		Items []struct{ Message struct{ ID string } }
	}
	g.call(http.MethodGet, "/v1/messages?limit=1", "").json(t, &messages)
	before, asked, proven := shown(), df.Stats().Requests["POST /api/3/people"], dd.Stats().Requests["POST /auth/certificate"]
	g.withData(func(db *sqldb.DB, _ string) {
		const full = `CREATE TRIGGER audit_log_full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`
		if _, err := db.Writer().ExecContext(t.Context(), full); err != nil {
			t.Fatal(err)
		}
	})
	for _, act := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/api-keys", `{"name":"another","scopes":["messages:read"]}`},
		{http.MethodDelete, "/v1/api-keys/" + made.ID, ""},
		{http.MethodPost, "/v1/nats-credentials", `{"name":"another","events":["*"]}`},
		{http.MethodDelete, "/v1/nats-credentials/app", ""},
		{http.MethodPost, "/v1/keys/rotate", `{}`},
		{http.MethodPost, "/v1/keys/drop", `{}`},
		{http.MethodPost, "/v1/connect-links", `{}`},
		{http.MethodPost, "/v1/endpoints", `{"url":"https://bms.example.com/","subjects":[">"]}`},
		{http.MethodPatch, "/v1/endpoints/" + endpoint.ID, `{"enabled":true}`},
		{http.MethodPost, "/v1/endpoints/" + endpoint.ID + "/rotate-secret", ""},
		{http.MethodPost, "/v1/endpoints/" + endpoint.ID + "/test", ""},
		{http.MethodDelete, "/v1/endpoints/" + endpoint.ID, ""},
		{http.MethodDelete, "/v1/connections/" + doorflowsim.AccountA, ""},
		{http.MethodPost, "/v1/identities", `{"name":"another","subject":"admin-ben","email":"ben@example.test"}`},
		{http.MethodPost, "/v1/identities/acme/register", `{"new_key":true}`},
		{http.MethodPost, "/v1/identities/acme/operations", `{"type":"unlock","lock":"` + doordecksim.LockFront + `"}`},
		{http.MethodDelete, "/v1/identities/acme", ""},
		{http.MethodPost, "/v1/messages/" + messages.Items[0].Message.ID + "/replay", ""},
		{http.MethodPost, "/v1/connections/" + doorflowsim.AccountA + "/doorflow/api/3/people", `{"first_name":"Lee","last_name":"Ann"}`},
	} {
		if a := g.call(act.method, act.path, act.body); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %d %s, want 503", act.method, act.path, a.status, a.body)
		}
	}
	if after := shown(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if df.Stats().Requests["POST /api/3/people"] != asked {
		t.Error("it reached DoorFlow")
	}
	if dd.Stats().Requests["POST /auth/certificate"] != proven || dd.Unlocks(doordecksim.LockFront) != 0 {
		t.Error("it reached Doordeck")
	}
}
