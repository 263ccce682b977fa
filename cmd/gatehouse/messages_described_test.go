package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/web/webtest"
)

// ear hears all that goes over a NATS server, and holds it against the description.
type ear struct {
	t    *testing.T
	bus  *webtest.Bus
	conn *nats.Conn

	mu     sync.Mutex
	heard  map[string]int // by message
	faults []string
}

func newEar(t *testing.T, n *natsServer) *ear {
	t.Helper()
	bus, err := webtest.AsyncAPI("../../web/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(n.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	e := &ear{t: t, bus: bus, conn: conn, heard: map[string]int{}}
	if _, err := conn.Subscribe("gatehouse.>", e.hear); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *ear) hear(m *nats.Msg) {
	is, err := e.bus.Check(m.Subject, m.Data)
	asked := strings.HasPrefix(m.Subject, "gatehouse.ask.") || strings.HasPrefix(m.Subject, "gatehouse.command.")
	if err == nil && !asked {
		err = e.envelope(m)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heard[is]++; err != nil {
		e.faults = append(e.faults, fmt.Sprintf("%s: %v", m.Subject, err))
	}
}

// envelope checks what is beside the payload.
func (e *ear) envelope(m *nats.Msg) error {
	var ce struct{ ID, Type string }
	if err := json.Unmarshal(m.Data, &ce); err != nil {
		return err
	}
	words := strings.Split(m.Subject, ".")
	if len(words) > 3 { // whose it is stands third
		words = slices.Delete(words, 2, 3)
	}
	if id := m.Header.Get("Nats-Msg-Id"); ce.Type != strings.Join(words, ".") || m.Header.Get("Content-Type") != "application/cloudevents+json" || id != "" && id != ce.ID {
		return fmt.Errorf("type %s, headers %v", ce.Type, m.Header)
	}
	return nil
}

// await waits until a message was heard so often.
func (e *ear) await(message string, times int) {
	e.t.Helper()
	eventually(e.t, 30*time.Second, func() string {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.heard[message] < times {
			return fmt.Sprintf("%s was heard %d times: %v", message, e.heard[message], e.heard)
		}
		return ""
	})
}

// asks makes a request that is described, and wants an answer that is described for it.
func (e *ear) asks(operation, subject, body string) string {
	e.t.Helper()
	if _, err := e.bus.Check(subject, []byte(body)); err != nil {
		e.t.Errorf("%s: %v", subject, err)
	}
	m, err := e.conn.Request(subject, []byte(body), 30*time.Second)
	if err != nil {
		e.t.Fatalf("%s: %v", subject, err)
	}
	_, found := e.bus.Find("operations", operation, "reply", "messages")
	var may []string
	for _, ref := range found.([]any) {
		path := strings.Split(ref.(map[string]any)["$ref"].(string), "/")
		may = append(may, path[len(path)-1])
	}
	is, err := e.bus.CheckOne("inbox", may, m.Data)
	if err != nil {
		e.t.Errorf("%s is answered %s: %v", subject, m.Data, err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); (code != "") != (is == "fault") {
		e.t.Errorf("%s is answered %s with the code %q", subject, is, code)
	}
	return is
}

// All that a gateway says, is asked and answers on NATS is as asyncapi.yaml has it. What takes days is held against
// it in the tests of its package.
func TestEveryMessageIsAsDescribed(t *testing.T) {
	n := newNATS(t)
	e := newEar(t, n)
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": n.url(), "GATEHOUSE_NATS_OPERATIONS": "on"})
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	e.schemasOfTheService()

	df.connected(g)
	for i, spec := range []doorflowsim.EventSpec{{Code: 11}, {Code: 21}, {Code: 32}, {Code: 90}} {
		df.Emit(doorflowsim.AccountA, spec)
		df.awaitAcknowledged(t, i+1)
	}
	df.CredentialChanged(doorflowsim.AccountA, 4821, df.credentialOf(t, g, 4821), "UPDATE")
	e.await("credential", 1)
	e.replays(g)

	g.identity("acme", doordecksim.AdminAda)
	e.await("identity", 1)
	lock := `"lock":"` + doordecksim.LockFront + `"`
	people := lock + `,"invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}]`
	for _, row := range []struct{ operation, subject, body, want string }{
		{"askShare", "ask.acme.share.app", `{"id":"a",` + people + `,"role":"USER","end":"2040-01-01T00:00:00Z","valid_for":"1h","wait":20}`, "operationAnswer"},
		{"askShare", "ask.acme.share.app", `{"id":"a",` + lock + `,"invitees":[{"email":"other@example.test"}]}`, "fault"},
		{"askRevoke", "ask.acme.revoke.app", `{"type":"revoke",` + people + `,"wait":20}`, "operationAnswer"},
		{"askUnlock", "ask.acme.unlock.app", `{` + lock + `}`, "operationAnswer"},
		{"askLookup", "ask.acme.lookup.app", `{"invitees":[{"email":"ana@example.test"},{"foreign_key":"nobody"}]}`, "lookupAnswer"},
		{"askDoors", "ask.acme.doors.app", `{"limit":1}`, "doorsAnswer"},
		{"askDoors", "ask.nobody.doors.app", `{}`, "fault"},
		{"askDoor", "ask.acme.door.app", `{` + lock + `}`, "doorAnswer"},
		{"commandShare", "command.acme.share.app", `{"id":"c1",` + people + `}`, "kept"},
		{"commandRevoke", "command.acme.revoke.app", `{"id":"c2",` + people + `}`, "kept"},
		{"commandUnlock", "command.acme.unlock.app", `{"id":"c3",` + lock + `}`, "kept"},
	} {
		if is := e.asks(row.operation, "gatehouse."+row.subject, row.body); is != row.want {
			t.Errorf("%s is answered %s, want %s", row.subject, is, row.want)
		}
	}
	e.refused(lock)
	e.endpoint(g)
	if a := g.call(http.MethodDelete, "/v1/connections/"+doorflowsim.AccountA, ""); a.status != http.StatusOK {
		t.Error(a.status)
	}
	e.await("connection", 2)
	g.stop()
	e.awaitAuditHead(g)

	e.mu.Lock()
	defer e.mu.Unlock()
	for _, fault := range e.faults {
		t.Error(fault)
	}
	if missing := e.bus.Unseen(); !slices.Equal(missing, []string{"connection/silence"}) {
		t.Errorf("never heard: %v", missing)
	}
	t.Logf("heard %v", e.heard)
}

// credentialOf is the id of a person's first credential.
func (c *cloud) credentialOf(t *testing.T, g *gateway, person int) string {
	t.Helper()
	var found []struct{ ID json.RawMessage }
	a := g.call(http.MethodGet, fmt.Sprintf("/v1/connections/%s/doorflow/api/3/people/%d/credentials", doorflowsim.AccountA, person), "")
	if a.json(t, &found); len(found) == 0 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return strings.Trim(string(found[0].ID), `"`)
}

// replays has the newest event said again.
func (e *ear) replays(g *gateway) {
	e.t.Helper()
	var page struct{ Items []struct{ ID string } }
	g.call(http.MethodGet, "/v1/messages?limit=1&subject=gatehouse.event.*.access.*", "").json(e.t, &page)
	if a := g.call(http.MethodPost, "/v1/messages/"+page.Items[0].ID+"/replay", ""); a.status != http.StatusCreated {
		e.t.Errorf("%d %s", a.status, a.body)
	}
	e.await("access", 3)
}

// endpoint disables one, which is said.
func (e *ear) endpoint(g *gateway) {
	e.t.Helper()
	var made struct{ ID string }
	a := g.call(http.MethodPost, "/v1/endpoints", `{"url":"https://bms.example.com/hook","subjects":["gatehouse.event.>"]}`)
	a.json(e.t, &made)
	if t := g.call(http.MethodPatch, "/v1/endpoints/"+made.ID, `{"enabled":false}`); t.status != http.StatusOK {
		e.t.Fatalf("%d %s, %d %s", a.status, a.body, t.status, t.body)
	}
	e.await("endpoint", 1)
}

// refused are requests that are not as described. The gateway does not take them either.
func (e *ear) refused(lock string) {
	e.t.Helper()
	for _, body := range []string{
		`{` + lock + `,"surprise":true}`, `{` + lock + `,"invitees":[]}`, `{` + lock + `,"invitees":[{"telephone":"1"}]}`,
		`{"lock":"front"}`, `{` + lock + `,"invitees":[{"email":"ana@example.test"}],"role":"ADMIN"}`, `{}`,
	} {
		if _, err := e.bus.CheckOne("askShare", []string{"shareAsk"}, []byte(body)); err == nil {
			e.t.Errorf("%s is described", body)
		}
		m, err := e.conn.Request("gatehouse.ask.acme.share.app", []byte(body), 10*time.Second)
		if err != nil {
			e.t.Fatal(err)
		}
		if _, err := e.bus.CheckOne("inbox", []string{"fault"}, m.Data); err != nil {
			e.t.Errorf("%s is answered %s: %v", body, m.Data, err)
		}
	}
	if _, err := e.conn.Request("gatehouse.command.acme.share.app", []byte(`{"id":"oops","lock":"front"}`), 10*time.Second); err != nil {
		e.t.Fatal(err)
	}
	e.await("operation", 7)
	// What was asked here on purpose was heard as well.
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = slices.DeleteFunc(e.faults, func(f string) bool { return strings.Contains(f, ".acme.share.app: ") })
}

// awaitAuditHead starts a gateway whose audit log has entries: it tells its heads at once.
func (e *ear) awaitAuditHead(g *gateway) {
	e.t.Helper()
	g.start()
	e.await("auditHead", 1)
}

// schemasOfTheService compares what the micro service says of itself with the description.
func (e *ear) schemasOfTheService() {
	e.t.Helper()
	m, err := e.conn.Request("$SRV.INFO.gatehouse", nil, 10*time.Second)
	if err != nil {
		e.t.Fatal(err)
	}
	var info micro.Info
	if err := json.Unmarshal(m.Data, &info); err != nil {
		e.t.Fatal(err)
	}
	if len(info.Endpoints) != 6 {
		e.t.Errorf("the service has %d endpoints", len(info.Endpoints))
	}
	for _, endpoint := range info.Endpoints {
		for key, name := range map[string]string{"request_schema": endpoint.Name + "Ask", "response_schema": ""} {
			if name == "" {
				name = map[string]string{"lookup": "lookupAnswer", "doors": "doorsAnswer", "door": "doorAnswer"}[endpoint.Name]
			}
			if name == "" {
				name = "operationAnswer"
			}
			want, err := e.bus.Inline("components", "messages", name, "payload")
			if err != nil {
				e.t.Error(err)
			}
			if endpoint.Metadata[key] != string(want) {
				e.t.Errorf("%s of %s is\n%s\nand not as described\n%s", key, endpoint.Name, endpoint.Metadata[key], want)
			}
		}
	}
}
