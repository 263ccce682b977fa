package sharing_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/audit"
	"gatehouse/internal/natsauth"
	"gatehouse/sharing"
)

func TestAsking(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c).open(t)
	p := s.mint(t, reception())

	a := p.asks("share", `{"id":"visit-1","lock":"`+front+`","invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}],"wait":30}`)
	if a.Status != sharing.Partial || a.Caller != "reception" || a.Identity != "acme" || a.Results[0].Status != sharing.Applied || a.Results[1].Error != "not_in_directory" {
		t.Errorf("a share that is waited for: %s", text(a))
	}
	if again := p.asks("share", `{"id":"visit-1","type":"share","lock":"`+front+`","invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}]}`); text(again) != text(a) {
		t.Errorf("asked again: %s", text(again))
	}
	if a := p.asks("unlock", `{"lock":"`+front+`"}`); a.Status != sharing.Applied || c.Unlocks(front) != 1 {
		t.Errorf("an unlock: %s, %d times", text(a), c.Unlocks(front))
	}
	if a := p.asks("revoke", `{"lock":"`+front+`","invitees":[{"email":"ana@example.test"}]}`); a.Status != sharing.Accepted && a.Status != sharing.Running && a.Status != sharing.Applied {
		t.Errorf("a revoke that is not waited for: %s", text(a))
	} else if a = s.final(t, a.Operation); a.Status != sharing.Applied {
		t.Error(text(a))
	}
	entries, _, err := s.audit.List(t.Context(), audit.Query{Action: "operation.unlock", Limit: 10})
	must(t, err)
	if n := len(entries); n != 2 || entries[n-1].ActorKind != "nats" || entries[n-1].Actor != "reception" {
		t.Errorf("the audit log has %s", text(entries))
	}
	if data, code := p.ask("lookup", `{"invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}]}`); code != "" || strings.Count(data, `"user":`) != 1 || !strings.Contains(data, "not_in_directory") {
		t.Errorf("a lookup: %s %s", code, data)
	}
	var doors struct {
		Items []sharing.Door
		Next  string
	}
	for page := 0; page == 0 || doors.Next != ""; page++ {
		data, code := p.ask("doors", `{"limit":1,"after":"`+doors.Next+`"}`)
		doors.Items, doors.Next = nil, ""
		if err := json.Unmarshal([]byte(data), &doors); code != "" || err != nil || len(doors.Items) != 1 || page > 20 {
			t.Fatalf("doors: %s %s", code, data)
		}
	}
	if data, code := p.ask("doors", ""); code != "" || !strings.Contains(data, front) || !strings.Contains(data, loading) {
		t.Errorf("doors: %s %s", code, data)
	}
	if data, code := p.ask("door", `{"lock":"`+front+`"}`); code != "" || !strings.Contains(data, `"role":"ADMIN"`) {
		t.Errorf("a door: %s %s", code, data)
	}
}

// An API key and NATS credentials may have one name, and be two people's.
func TestOneNameIsTwoCallers(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c).open(t)
	p := s.mint(t, reception())
	unlock := `{"id":"u-1","lock":"` + front + `"}`
	byKey := s.do(t, `{"id":"u-1","type":"unlock","lock":"`+front+`"}`)
	if byNATS := p.asks("unlock", unlock); byNATS.Operation == byKey.Operation || byNATS.Caller != "reception" || byKey.Caller != "reception" {
		t.Errorf("the one is answered %s, the other %s", text(byKey), text(byNATS))
	}
	s.do(t, `{"id":"u-2","type":"unlock","lock":"`+front+`"}`)
	if data, code := p.ask("revoke", `{"id":"u-2","lock":"`+front+`","invitees":[{"email":"ana@example.test"}]}`); code != "" {
		t.Errorf("another's id is taken: %s", data)
	}
	if again := p.asks("unlock", unlock); c.Unlocks(front) != 3 {
		t.Errorf("asked again: %s, and the door was opened %d times", text(again), c.Unlocks(front))
	}
	page, _, err := s.ops.List(t.Context(), sharing.OperationQuery{Caller: "reception", Limit: 10})
	must(t, err)
	if len(page) != 4 {
		t.Errorf("%d operations of the name: %s", len(page), text(page))
	}
	for _, other := range []string{"key:reception", "nats", "key:"} {
		if page, _, err := s.ops.List(t.Context(), sharing.OperationQuery{Caller: other, Limit: 10}); err != nil || len(page) != 0 {
			t.Errorf("%q: %s, %v", other, text(page), err)
		}
	}
}

func TestHowLongAnAnswerMayWait(t *testing.T) {
	for _, row := range []struct {
		operation, body string
		wait            time.Duration
		rest            string
	}{
		{"share", `{"id":"a"}`, 0, `{"id":"a"}`},
		{"share", `{"id":"a","wait":7}`, 7 * time.Second, `{"id":"a"}`},
		{"share", `{"wait":60}`, time.Minute, `{}`},
		{"share", `{"wait":61}`, time.Minute, `{}`},
		{"share", `{"wait":9223372036854775807}`, time.Minute, `{}`},
		{"unlock", `{"id":"a"}`, 30 * time.Second, `{"id":"a"}`},
		{"unlock", `{"wait":0}`, 0, `{}`},
		{"share", `[]`, 0, `[]`},
		{"share", `{"id":"a","id":"b","wait":7}`, 0, `{"id":"a","id":"b","wait":7}`}, // whose names are judged with the rest
	} {
		rest, wait, err := sharing.TakeWait(row.operation, []byte(row.body))
		if err != nil || wait != row.wait || string(rest) != row.rest {
			t.Errorf("%s %s: %s, %v, %v", row.operation, row.body, rest, wait, err)
		}
	}
	for _, wrong := range []string{`-1`, `"7"`, `1.5`, `1e3`, `9223372036854775808`, `[]`} {
		if _, _, err := sharing.TakeWait("share", []byte(`{"wait":`+wrong+`}`)); err == nil {
			t.Errorf("wait %s is taken", wrong)
		}
	}
}

// What an error says is a contract.
func TestAskingWrongly(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c).open(t)
	p := s.mint(t, reception())
	share := func(more string) string {
		return `{"lock":"` + front + `","invitees":[{"email":"ana@example.test"` + more + `}]}`
	}
	if _, code := p.ask("share", `{"id":"taken",`+share("")[1:]); code != "" {
		t.Fatal(code)
	}
	for _, row := range []struct{ name, operation, body, code, word, detail string }{
		{"nothing", "share", ``, "400", "invalid_request", "JSON object"},
		{"no JSON", "share", `{`, "400", "invalid_request", "JSON object"},
		{"another type", "share", `{"type":"unlock","lock":"` + front + `"}`, "400", "invalid_request", "must be share here"},
		{"an unknown field", "unlock", `{"lock":"` + front + `","now":true}`, "400", "invalid_request", "is not a field"},
		{"bytes that are no text", "unlock", "{\"lock\":\"" + front + "\",\"id\":\"\xff\"}", "400", "invalid_request", "UTF-8"},
		{"a long wait in words", "share", share("")[:len(share(""))-1] + `,"wait":"long"}`, "400", "invalid_request", "whole number"},
		{"a wait for a time that is over", "share", share("")[:len(share(""))-1] + `,"wait":-1}`, "400", "invalid_request", "whole number"},
		{"a lookup that waits", "lookup", `{"invitees":[{"email":"a@b"}],"wait":1}`, "400", "invalid_request", "wait"},
		{"too much", "share", strings.Repeat(" ", 256<<10) + "{}", "413", "too_large", "256"},
		{"depth", "share", strings.Repeat(`{"invitees":[`, 20_000), "400", "invalid_request", "JSON object"},
		{"depth that ends", "share", `{"invitees":` + strings.Repeat(`[`, 50_000) + strings.Repeat(`]`, 50_000) + `}`, "400", "invalid_request", ""},
		{"an administrator", "share", share(`,"role":"ADMIN"`), "403", "forbidden", "USER"},
		{"somebody unknown", "share", `{"lock":"` + front + `","invitees":[{"foreign_key":"v","email":"v@example.test","provision":true}]}`, "403", "forbidden", "known"},
		{"an id that is taken", "share", `{"id":"taken","lock":"` + loading + `","invitees":[{"email":"ana@example.test"}]}`, "409", "id_taken", ""},
		{"no door", "door", `{"lock":"7a1d2c30-0002-11f0-8000-0000000fffff"}`, "404", "lock_not_found", ""},
		{"a door that is none", "door", `{"lock":"front"}`, "400", "invalid_request", "UUID"},
		{"a page of nothing", "doors", `{"limit":0}`, "400", "invalid_request", "limit"},
		{"a cursor of somebody's", "doors", `{"after":"!"}`, "400", "invalid_request", "cursor"},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, err := p.Request("gatehouse.ask.acme."+row.operation+".reception", []byte(row.body), 30*time.Second)
			must(t, err)
			var body struct{ Error, Field, Detail string }
			if err := json.Unmarshal(m.Data, &body); err != nil || m.Header.Get(micro.ErrorCodeHeader) != row.code || body.Error != row.word ||
				!strings.Contains(body.Field+": "+body.Detail, row.detail) || !strings.HasPrefix(m.Header.Get(micro.ErrorHeader), row.word+": ") {
				t.Errorf("%v %.300s", m.Header, m.Data)
			}
		})
	}
	ghosts := s.mint(t, natsauth.Grant{Name: "ghosts", Ask: map[string][]string{"nobody": {"share", "doors"}, "acme.door": {"doors"}}})
	for subject, word := range map[string]string{
		"gatehouse.ask.nobody.share.ghosts":      "no_identity",
		"gatehouse.ask.nobody.doors.ghosts":      "no_identity",
		"gatehouse.ask.acme%2Edoor.doors.ghosts": "invalid_request",
	} {
		body := share("")
		if strings.Contains(subject, "doors") {
			body = ""
		}
		m, err := ghosts.Request(subject, []byte(body), 30*time.Second)
		must(t, err)
		if !strings.Contains(string(m.Data), `"error":"`+word+`"`) {
			t.Errorf("%s: %s", subject, m.Data)
		}
	}
	if n := len(c.Ledger()); n != 1 {
		t.Errorf("%d operations were sent, want the one that was right", n)
	}
	if strings.Contains(s.log.String(), "level=ERROR") {
		t.Error(s.log.String())
	}
}

// Doordeck that does not answer holds up those who ask about doors, and nobody else.
func TestASlowDoordeckHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	c := newCloud(t, strict())
	s := newStation(t, c).open(t)
	p, other := s.mint(t, reception()), s.mint(t, natsauth.Grant{Name: "other", Ask: map[string][]string{"acme": {"share", "doors"}}})
	c.Faults().Inject(doordecksim.Fault{Route: doordecksim.RouteShareable, N: -1, Delay: 10 * time.Second})
	const many = 40
	answers := make(chan *nats.Msg, many)
	_, err := p.ChanSubscribe("_INBOX.reception.many", answers)
	must(t, err)
	for range many {
		must(t, p.PublishRequest("gatehouse.ask.acme.doors.reception", "_INBOX.reception.many", nil))
	}
	must(t, p.Flush())
	busy := 0
	for busy < many-16 {
		m := <-answers
		if m.Header.Get(micro.ErrorCodeHeader) != "429" || !strings.Contains(string(m.Data), `"error":"busy"`) {
			t.Fatalf("%v %s", m.Header, m.Data)
		}
		busy++
	}
	for i, who := range []*program{p, other} {
		a := who.asks("share", fmt.Sprintf(`{"id":"s-%d","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, i, front))
		if len(answers) > 0 {
			t.Errorf("a share was answered behind a question about doors: %s", text(a))
		}
	}
	for range many - busy {
		if m := <-answers; m.Header.Get(micro.ErrorCodeHeader) != "" {
			t.Errorf("%v %s", m.Header, m.Data)
		}
	}
}

// When the gateway stops, those who wait hear how it stands, and what has come is answered.
func TestTheServiceStopsInOrder(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c)
	stop := during(t, s.service.Run) // nobody runs operations: a wait would last
	s.answers(t)
	p := s.mint(t, reception())
	const many = 30
	answers := make(chan *nats.Msg, many)
	_, err := p.ChanSubscribe("_INBOX.reception.many", answers)
	must(t, err)
	for i := range many {
		body := fmt.Sprintf(`{"id":"s-%d","lock":"%s","invitees":[{"email":"ana@example.test"}],"wait":60}`, i, front)
		must(t, p.PublishRequest("gatehouse.ask.acme.share.reception", "_INBOX.reception.many", []byte(body)))
	}
	must(t, p.Flush())
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		page, _, err := s.ops.List(t.Context(), sharing.OperationQuery{Limit: 100})
		must(t, err)
		if len(page) == many {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d are stored", len(page), many)
		}
	}
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > 20*time.Second { // what was asked for waits a minute
		t.Errorf("it took %v to stop", took)
	}
	for range many {
		select {
		case m := <-answers:
			if !strings.Contains(string(m.Data), `"status":"accepted"`) {
				t.Errorf("%v %s", m.Header, m.Data)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("somebody is not answered")
		}
	}
	if _, err := p.Request("gatehouse.ask.acme.doors.reception", nil, 2*time.Second); err == nil {
		t.Error("a service that has stopped answers")
	}
}

// In an account that programs share with the gateway, an answer would go wherever the request says.
func TestAnAnswerIsNothingThatTheGatewaySays(t *testing.T) {
	s := newStation(t, newCloud(t, strict())).open(t)
	heard, err := s.bus.Conn.SubscribeSync("gatehouse.event.>")
	must(t, err)
	commands := s.left(t).State.LastSeq
	must(t, s.bus.Conn.Publish("gatehouse.ask.acme.doors.reception", nil))
	for _, reply := range []string{"gatehouse.event.hX9aQ2.access.granted", "gatehouse.command.acme.unlock.reception", "$JS.API.STREAM.DELETE.GATEHOUSE"} {
		must(t, s.bus.Conn.PublishRequest("gatehouse.ask.acme.doors.reception", reply, nil))
	}
	m, err := s.bus.Conn.Request("gatehouse.ask.acme.doors.reception", nil, 20*time.Second) // behind the others
	must(t, err)
	if m.Header.Get(micro.ErrorCodeHeader) != "" {
		t.Errorf("%v %s", m.Header, m.Data)
	}
	if n := s.counted(t, "gatehouse_asks_total", "unanswerable"); n != 4 { // with the one that named no reply
		t.Errorf("%v were not answered, want 4", n)
	}
	must(t, s.bus.Conn.Flush())
	if n, _, _ := heard.Pending(); n != 0 || s.left(t).State.LastSeq != commands {
		t.Error("an answer went where the request said")
	}
}

// The service describes itself, and what it describes is what it takes.
func TestTheServiceDescribesItself(t *testing.T) {
	s := newStation(t, newCloud(t, strict())).open(t)
	m, err := s.bus.Conn.Request("$SRV.INFO.gatehouse", nil, 30*time.Second)
	must(t, err)
	var info micro.Info
	must(t, json.Unmarshal(m.Data, &info))
	if len(info.Endpoints) != 6 {
		t.Fatalf("%d endpoints", len(info.Endpoints))
	}
	fields := sharing.RequestFields()
	for _, e := range info.Endpoints {
		if e.Subject != "gatehouse.ask.*."+e.Name+".*" || e.QueueGroup != "gatehouse" {
			t.Errorf("%+v", e)
		}
		var request, response struct {
			Properties map[string]struct {
				Items struct{ Properties map[string]json.RawMessage }
			}
		}
		must(t, json.Unmarshal([]byte(e.Metadata["request_schema"]), &request))
		must(t, json.Unmarshal([]byte(e.Metadata["response_schema"]), &response))
		if len(response.Properties) == 0 {
			t.Errorf("%s answers %s", e.Name, e.Metadata["response_schema"])
		}
		for name, property := range request.Properties {
			if !fields[name] && name != "wait" && e.Name != "doors" {
				t.Errorf("%s: %s is described and not taken", e.Name, name)
			}
			for inner := range property.Items.Properties {
				if !fields["invitees."+inner] {
					t.Errorf("%s: invitees.%s is described and not taken", e.Name, inner)
				}
			}
		}
		if e.Name == "share" {
			for name := range fields {
				outer, inner, nested := strings.Cut(name, ".")
				if _, ok := request.Properties[outer]; !ok {
					t.Errorf("%s is taken and not described", outer)
				} else if _, ok := request.Properties[outer].Items.Properties[inner]; nested && !ok && !strings.Contains("provision email_verified telephone_verified display_name", inner) {
					t.Errorf("%s is taken and not described", name)
				}
			}
		}
	}
}
