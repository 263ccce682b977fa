package sharing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

func person(n int) string { return fmt.Sprintf("cmd-%04d", n) }

// people are known to Doordeck, each by their foreign key.
func (c *cloud) people(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		_, err := c.AddUser(doordecksim.User{Subject: person(i), Email: person(i) + "@example.test", EmailVerified: true})
		must(t, err)
	}
}

func TestCommands(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c).open(t)
	p := s.mint(t, reception())
	before := c.members(front)
	p.command("share", `{"id":"c-1","lock":"`+front+`","invitees":[{"email":"ana@example.test"}]}`)
	p.command("revoke", `{"id":"c-2","lock":"`+front+`","invitees":[{"email":"ana@example.test"}]}`)
	p.command("unlock", `{"id":"c-3","lock":"`+front+`"}`)
	p.command("share", `{"id":"c-1","lock":"`+front+`","invitees":[{"email":"ana@example.test"}]}`) // sent again
	s.taken(t, 60*time.Second)
	for id, status := range map[string]sharing.Status{"c-1": sharing.Applied, "c-2": sharing.Applied, "c-3": sharing.Applied} {
		told := s.awaitTold(t, id)
		if len(told) != 1 || told[0].Status != status && (id != "c-1" || told[0].Status != sharing.Cancelled) || told[0].Caller != "reception" || told[0].Operation == "" {
			t.Errorf("%s: %s", id, text(told))
		}
	}
	if now := c.members(front); now != before || c.Unlocks(front) != 1 {
		t.Errorf("the door has %s and was opened %d times", now, c.Unlocks(front))
	}
}

// awaitTold waits until the outcome of a caller's operation has been said, and returns all that was said of it.
func (s *station) awaitTold(t testing.TB, id string) []sharing.Answer {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if told := s.told(t)[id]; len(told) > 0 {
			return told
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is said of %s\n%s", id, s.log)
		}
	}
}

// What was published stands for one operation, whether it bears an id or not, however often it is delivered.
func TestACommandThatIsDeliveredAgainIsTheSame(t *testing.T) {
	t.Parallel()
	c := newCloud(t, strict())
	s := newStation(t, c)
	p := s.mint(t, reception())
	for range 3 { // three times the same, without an id: three operations
		p.command("unlock", `{"lock":"`+front+`"}`)
	}
	for range 3 { // with one message id, apart by more than JetStream remembers: one
		m := nats.NewMsg("gatehouse.command.acme.unlock.reception")
		m.Data = []byte(`{"lock":"` + loading + `"}`)
		m.Header.Set(jetstream.MsgIDHeader, "once")
		_, err := p.RequestMsg(m, 30*time.Second)
		must(t, err)
		time.Sleep(250 * time.Millisecond)
	}
	// Each is delivered twice: somebody takes it, and dies before it is acknowledged.
	consumer, err := s.bus.JS.CreateOrUpdateConsumer(t.Context(), events.CommandsName, sharing.ConsumerConfig())
	must(t, err)
	stored := func() int {
		page, _, err := s.ops.List(t.Context(), sharing.OperationQuery{Limit: 100})
		must(t, err)
		return len(page)
	}
	for {
		batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(time.Second))
		must(t, err)
		m, more := <-batch.Messages()
		if !more {
			break
		}
		s.commands.Take(t.Context(), &unacknowledged{m})
		n := stored()
		s.commands.Take(t.Context(), m)
		if again := stored(); again != n {
			t.Errorf("%d operations became %d", n, again)
		}
	}
	if n := stored(); n != 4 {
		t.Errorf("%d operations, want 4", n)
	}
}

// While one command is in hand, nobody gets the next: what is asked of a door is stored in the order of the stream.
func TestCommandsAreGivenOutOneByOne(t *testing.T) {
	s := newStation(t, newCloud(t, strict()))
	p := s.mint(t, reception())
	for range 2 {
		p.command("unlock", `{"lock":"`+front+`"}`)
	}
	consumer, err := s.bus.JS.CreateOrUpdateConsumer(t.Context(), events.CommandsName, sharing.ConsumerConfig())
	must(t, err)
	next := func(wait time.Duration) (jetstream.Msg, error) { return consumer.Next(jetstream.FetchMaxWait(wait)) }
	m, err := next(30 * time.Second)
	must(t, err)
	if _, err := next(300 * time.Millisecond); err == nil {
		t.Error("the second was given out before the first was acknowledged")
	}
	s.commands.Take(t.Context(), m)
	_, err = next(30 * time.Second)
	must(t, err)
}

// A stream that is made anew counts from one again. Its commands are not taken for those that had the numbers before.
func TestAStreamIsMadeAnew(t *testing.T) {
	s := newStation(t, newCloud(t, strict()))
	p := s.mint(t, reception())
	for range 2 {
		p.command("unlock", `{"lock":"`+front+`"}`)
		p.command("unlock", `{"lock":"front"}`)
		consumer, err := s.bus.JS.CreateOrUpdateConsumer(t.Context(), events.CommandsName, sharing.ConsumerConfig())
		must(t, err)
		for range 2 {
			m, err := consumer.Next(jetstream.FetchMaxWait(30 * time.Second))
			must(t, err)
			s.commands.Take(t.Context(), m)
		}
		must(t, s.bus.JS.DeleteStream(t.Context(), events.CommandsName))
		must(t, s.bus.Declare(t.Context()))
	}
	page, _, err := s.ops.List(t.Context(), sharing.OperationQuery{Limit: 100})
	must(t, err)
	if told := s.told(t)[""]; len(page) != 2 || len(told) != 2 {
		t.Errorf("%d operations of two, and %d of two refused are told", len(page), len(told))
	}
}

// Of a command that failed, and whose acknowledgement was lost, it is not heard later that it was done.
func TestWhatWasRefusedStaysRefused(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c)
	during(t, s.ops.Run)
	ben := s.mint(t, natsauth.Grant{Name: "reception", Command: map[string][]string{"later": {"unlock"}}})
	_, err := ben.Request("gatehouse.command.later.unlock.reception", []byte(`{"id":"early","lock":"`+front+`"}`), 30*time.Second)
	must(t, err)
	consumer, err := s.bus.JS.CreateOrUpdateConsumer(t.Context(), events.CommandsName, sharing.ConsumerConfig())
	must(t, err)
	next := func() jetstream.Msg {
		m, err := consumer.Next(jetstream.FetchMaxWait(30 * time.Second))
		must(t, err)
		return m
	}
	m := next()
	s.commands.Take(t.Context(), &unacknowledged{m})
	must(t, m.Nak())
	_, err = s.Create(t.Context(), sharing.IdentityRequest{Name: "later", Subject: doordecksim.AdminBen, Email: "ben@example.test", EmailVerified: true})
	must(t, err)
	s.commands.Take(t.Context(), &first{next()})
	page, _, err := s.ops.List(t.Context(), sharing.OperationQuery{Limit: 100})
	must(t, err)
	if told := s.told(t)["early"]; len(page) != 0 || len(told) != 1 || told[0].Error != "no_identity" || s.left(t).State.Msgs != 0 {
		t.Errorf("%s, and %s is stored", text(told), text(page))
	}
}

// A person's identity token is nowhere to be seen, whatever is wrong with what it came in.
func TestAnIdentityTokenIsNotShown(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c).open(t)
	p := s.mint(t, reception())
	secret := "eyJhbGciOiJSU0EtT0FFUCJ9.cGxhbnRlZA.aXY.c2VjcmV0LVBsYW50ZWRIZXJl.dGFn"
	share := `{"id":"%s","lock":"` + front + `","invitees":[{"identity_token":"` + secret + `"}]%s}`
	seen := ""
	for n, more := range []string{`,"wait":20`, `,"odd":1`, `,"role":"ADMIN"`, `,"end":7`, `,`, `}`} {
		answer, code := p.ask("share", fmt.Sprintf(share, fmt.Sprintf("a-%d", n), more))
		if seen += answer; (code == "") != (n == 0) {
			t.Errorf("%s: %s %s", more, code, answer)
		}
		p.command("share", fmt.Sprintf(share, fmt.Sprintf("c-%d", n), strings.Replace(more, `"wait":20`, `"valid_for":"1h"`, 1)))
	}
	answer, _ := p.ask("lookup", `{"invitees":[{"identity_token":"`+secret+`"}]}`)
	s.taken(t, 60*time.Second)
	s.awaitTold(t, "c-0")
	s.awaitTold(t, "a-0")
	families, err := s.reg.Gather()
	must(t, err)
	seen += answer + text(s.told(t)) + fmt.Sprint(families) + s.log.String()
	if strings.Contains(seen, secret) || strings.Contains(seen, "UGxhbnRlZEhlcmU") || strings.Contains(seen, "c2VjcmV0LVBsYW50") {
		t.Error("the token is shown")
	}
	if strings.Count(seen, "REDACTED") < 2 {
		t.Error("nothing was shown where the token would stand: this test proves nothing")
	}
}

// unacknowledged is a message of which the stream does not hear what became of it.
type unacknowledged struct{ jetstream.Msg }

func (unacknowledged) DoubleAck(context.Context) error  { return nats.ErrTimeout }
func (unacknowledged) NakWithDelay(time.Duration) error { return nats.ErrTimeout }

// first is a message that the stream takes for one that was never delivered, as after a crash.
type first struct{ jetstream.Msg }

func (m *first) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := m.Msg.Metadata()
	if err == nil {
		meta.NumDelivered = 1
	}
	return meta, err
}

func TestAnUnlockThatWaitedForTheGatewayIsNotDone(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c)
	p := s.mint(t, reception())
	p.command("unlock", `{"id":"old","lock":"`+front+`"}`)
	p.command("share", `{"id":"patient","lock":"`+front+`","valid_for":"1h","invitees":[{"email":"ana@example.test"}]}`)
	c.Advance(11 * time.Second) // the gateway is away
	s.advance(11 * time.Second)
	s.open(t)
	if told := s.awaitTold(t, "old"); len(told) != 1 || told[0].Status != sharing.Expired || c.Unlocks(front) != 0 {
		t.Errorf("%s, and the door was opened %d times", text(told), c.Unlocks(front))
	}
	if told := s.awaitTold(t, "patient"); told[0].Status != sharing.Applied {
		t.Error(text(told))
	}
}

// By a NATS server's clock that is ahead, an old command would seem new.
func TestACommandFromTheFutureIsRefused(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c)
	s.advance(-time.Minute)
	p := s.mint(t, reception())
	p.command("unlock", `{"id":"early","lock":"`+front+`"}`)
	s.open(t)
	if told := s.awaitTold(t, "early"); len(told) != 1 || told[0].Error != "age_unknown" || c.Unlocks(front) != 0 {
		t.Error(text(told))
	}
}

// hostile are commands that cannot be done, with the error that is said and a part of the detail.
func hostile() map[string][3]string {
	return map[string][3]string{
		"empty":             {``, "invalid_request", "JSON object"},
		"no JSON":           {`{"id":"h-1"`, "invalid_request", "JSON object"},
		"a list":            {`[]`, "invalid_request", "JSON object"},
		"null":              {`null`, "invalid_request", "lock"},
		"two":               {`{"lock":"` + front + `"}{}`, "invalid_request", "one JSON object"},
		"another type":      {`{"id":"h-2","type":"unlock","lock":"` + front + `"}`, "invalid_request", "must be share here"},
		"unknown field":     {`{"id":"h-3","lock":"` + front + `","wait":1}`, "invalid_request", "wait"},
		"a field's name":    {`{"id":"h-4","` + strings.Repeat("x", 100_000) + `":1}`, "invalid_request", "field"},
		"no text":           {"{\"id\":\"h-5\",\"lock\":\"\xff\xfe\"}", "invalid_request", "UTF-8"},
		"zero bytes":        {"{\"id\":\"h-6\",\"lock\":\"\\u0000\"}", "invalid_request", "lock"},
		"a zero byte's key": {`{"id":"h-7","lock":"` + front + `","invitees":[{"foreign_key":"a\u0000b"}]}`, "invalid_request", "foreign_key"},
		"deep":              {strings.Repeat(`{"id":`, 40_000), "invalid_request", "JSON object"},
		"deep and whole":    {`{"id":"h-8","invitees":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "invalid_request", ""},
		"an odd id":         {`{"id":["h"],"lock":"` + front + `"}`, "invalid_request", "id"},
		"a long id":         {`{"id":"` + strings.Repeat("h", 200) + `","lock":"` + front + `"}`, "invalid_request", "id"},
		"many people":       {`{"id":"h-9","lock":"` + front + `","invitees":[` + strings.Repeat(`{"user":"x"},`, 15_000) + `{}]}`, "invalid_request", "invitees"},
		"an administrator":  {`{"id":"h-10","lock":"` + front + `","role":"ADMIN","invitees":[{"email":"ana@example.test"}]}`, "forbidden", "USER"},
		"somebody unknown":  {`{"id":"h-11","lock":"` + front + `","invitees":[{"foreign_key":"v","email":"v@example.test","provision":true}]}`, "forbidden", "known"},
	}
}

// Whatever is published is taken once: it never comes again, and who asked hears that it failed.
func TestHostileCommands(t *testing.T) {
	c := newCloud(t, strict())
	s := newStation(t, c).open(t)
	p := s.mint(t, reception())
	want := 0
	for _, row := range hostile() {
		p.command("share", row[0])
		want++
	}
	ghosts := s.mint(t, natsauth.Grant{Name: "ghosts", Command: map[string][]string{"nobody": {"unlock"}, "acme.door": {"unlock"}}})
	// Of an identity that does not exist, of a name that is none (which nobody can be told), and behind them all
	// one that is right.
	for _, subject := range []string{"gatehouse.command.nobody.unlock.ghosts", "gatehouse.command.acme%2Edoor.unlock.ghosts"} {
		_, err := ghosts.Request(subject, []byte(`{"id":"ghost","lock":"`+front+`"}`), 30*time.Second)
		must(t, err)
	}
	for _, subject := range []string{"gatehouse.command.x", "gatehouse.command.acme.unlock", "gatehouse.command.acme.door.reception", "gatehouse.command.acme.unlock.a.b"} {
		_, err := s.bus.JS.Publish(t.Context(), subject, []byte(`{}`))
		must(t, err)
	}
	p.command("unlock", `{"id":"right","lock":"`+front+`"}`)
	if told := s.awaitTold(t, "right"); told[0].Status != sharing.Applied {
		t.Error(text(told))
	}
	s.taken(t, 60*time.Second)
	told := s.told(t)
	for name, row := range hostile() {
		found := false
		for _, answers := range told {
			for _, a := range answers {
				found = found || a.Status == sharing.Failed && a.Error == row[1] && strings.Contains(a.Detail, row[2]) && len(a.Detail) < 400 && a.Operation == ""
			}
		}
		if !found {
			t.Errorf("%s: nothing is said with %s", name, row[1])
		}
	}
	for n := range 11 {
		id := fmt.Sprintf("h-%d", n+1)
		if len(told[id]) != 1 && n != 0 && n != 7 { // these are no JSON
			t.Errorf("%s is said %d times", id, len(told[id]))
		}
	}
	if g := told["ghost"]; len(g) != 1 || g[0].Error != "no_identity" || g[0].Identity != "nobody" {
		t.Error(text(g))
	}
	if len(told[""]) != 9 {
		t.Errorf("%d are said without an id: %s", len(told[""]), text(told[""]))
	}
	refused := 0
	for kind := range map[string]bool{"share": true, "unlock": true} {
		entries, _, err := s.audit.List(t.Context(), audit.Query{Action: "operation." + kind, Limit: 100})
		must(t, err)
		for _, e := range entries {
			if e.Outcome == "refused" && e.ActorKind == "nats" && (e.Actor == "reception" || e.Actor == "ghosts") && strings.Contains(e.Target, " command-") {
				refused++
			}
		}
	}
	if refused != want+1 { // and the ghost's
		t.Errorf("the audit log has %d that were refused, want %d", refused, want+1)
	}
	if log := s.log.String(); strings.Contains(log, "panic") || strings.Contains(log, "level=ERROR") {
		t.Error(log)
	}
	// An id of what was refused is free.
	p.command("share", `{"id":"h-10","lock":"`+front+`","invitees":[{"email":"ana@example.test"}]}`)
	for deadline := time.Now().Add(20 * time.Second); len(s.told(t)["h-10"]) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an id that was refused once is not free")
		}
	}
}

// While the gateway is away, who publishes without end is refused; there is still room for the others.
func TestOneCallerDoesNotFillTheStream(t *testing.T) {
	t.Parallel()
	s := newStation(t, newCloud(t, strict()))
	older := s.left(t).Config // as a gateway before this bound made it
	older.MaxMsgsPerSubject, older.DiscardNewPerSubject = -1, false
	_, err := s.bus.JS.UpdateStream(t.Context(), older)
	must(t, err)
	must(t, s.bus.Declare(t.Context()))
	flood, other := s.mint(t, natsauth.Grant{Name: "flood", Command: map[string][]string{"acme": {"unlock"}}}), s.mint(t, reception())
	for range 1200 {
		must(t, flood.Publish("gatehouse.command.acme.unlock.flood", []byte(`{}`)))
	}
	m, err := flood.Request("gatehouse.command.acme.unlock.flood", []byte(`{}`), 30*time.Second)
	must(t, err)
	if !strings.Contains(string(m.Data), "maximum messages per subject exceeded") {
		t.Errorf("the stream answers %s", m.Data)
	}
	other.command("unlock", `{"id":"c-1","lock":"`+front+`"}`)
	if n := s.left(t).State.Msgs; n != 1001 {
		t.Errorf("%d commands are kept, want 1001", n)
	}
	during(t, s.commands.Run)
	s.taken(t, 60*time.Second)
	flood.command("unlock", `{}`)
}

// The next command does not depend on what the client does after this one: an unlock cannot wait until somebody
// notices that nothing was asked for.
func TestTheNextCommandIsAskedForBeforehand(t *testing.T) {
	t.Parallel()
	s := newStation(t, newCloud(t, strict()))
	p := s.mint(t, reception())
	taken, err := s.db.Writer().BeginTxx(t.Context(), nil) // the command stays in hand until it ends
	must(t, err)
	defer func() { must(t, taken.Rollback()) }()
	during(t, s.commands.Run)
	for range 2 {
		p.command("unlock", `{"lock":"`+front+`"}`)
	}
	consumer, err := s.bus.JS.CreateOrUpdateConsumer(t.Context(), events.CommandsName, sharing.ConsumerConfig())
	must(t, err)
	for {
		info, err := consumer.Info(t.Context())
		must(t, err)
		switch {
		case strings.Contains(s.log.String(), "could not be stored"):
			t.Fatalf("in hand %d, asked for %d", info.NumAckPending, info.NumWaiting)
		case info.NumAckPending == 1 && info.NumWaiting > 0:
			return
		}
	}
}

// What cannot be stored comes again until it can, in its order, and is told once.
func TestCommandsOutliveAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	c := newCloud(t, strict())
	s := newStation(t, c)
	p := s.mint(t, reception())
	taken, err := s.db.Writer().BeginTxx(t.Context(), nil) // nobody else writes until it ends
	must(t, err)
	during(t, s.commands.Run)
	const many = 5
	for n := range many {
		p.command("share", fmt.Sprintf(`{"id":"s-%d","lock":"%s","valid_for":"1h","invitees":[{"email":"ana@example.test"}]}`, n, front))
	}
	p.command("share", `{"id":"odd"}`)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.log.String(), "could not be stored; it comes again"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(s.log)
		}
	}
	if n := s.left(t).State.Msgs; n != many+1 {
		t.Errorf("%d commands are left, want all %d", n, many+1)
	}
	must(t, taken.Rollback())
	s.taken(t, 30*time.Second)
	page, _, err := s.ops.List(t.Context(), sharing.OperationQuery{Limit: 100})
	must(t, err)
	if len(page) != many {
		t.Fatalf("%d operations", len(page))
	}
	for n, a := range page { // newest first
		if want := fmt.Sprintf("s-%d", many-1-n); a.ID != want {
			t.Errorf("%s, want %s", a.ID, want)
		}
	}
	if odd := s.told(t)["odd"]; len(odd) != 1 {
		t.Errorf("%d are told of the one that was refused", len(odd))
	}
}

// Two gateways on one PostgreSQL and one NATS: each command is done once, in its order, whoever takes it; and asks
// are answered by either.
func TestTwoReplicasShareTheCommands(t *testing.T) {
	c := newCloud(t, strict())
	const many = 60
	c.people(t, many)
	_, bus := externalNATS(t)
	db, keys := sqldbtest.Postgres(t), keyset(t)
	var all []*station
	for range 2 {
		replica, err := events.Connect(t.Context(), bus)
		must(t, err)
		t.Cleanup(replica.Close)
		s := newStationOn(t, newDesk(t, db, keys, c), replica, c)
		s.open(t)
		all = append(all, s)
	}
	first := all[0]
	for n := range many {
		for _, kind := range []string{"share", "revoke"} {
			if kind == "revoke" && n%2 == 0 {
				continue
			}
			body := fmt.Sprintf(`{"id":"%s-%d","lock":"%s","invitees":[{"foreign_key":"%s"}]}`, kind, n, front, person(n))
			_, err := first.bus.JS.Publish(t.Context(), "gatehouse.command.acme."+kind+".reception", []byte(body))
			must(t, err)
		}
	}
	first.taken(t, 60*time.Second)
	took := 0
	for _, s := range all {
		if s.counted(t, "gatehouse_commands_total", "stored") > 0 {
			took++
		}
	}
	if took != 2 {
		t.Errorf("%d replicas took commands", took)
	}
	for n := range many {
		first.awaitTold(t, fmt.Sprintf("share-%d", n))
		if n%2 == 1 {
			first.awaitTold(t, fmt.Sprintf("revoke-%d", n))
		}
	}
	told, members := first.told(t), c.members(front)
	for n := range many {
		if has := strings.Contains(members, person(n)+":USER"); has != (n%2 == 0) {
			t.Errorf("%s has the door: %v", person(n), has)
		}
		for _, kind := range []string{"share", "revoke"} {
			if answers := told[fmt.Sprintf("%s-%d", kind, n)]; len(answers) > 1 {
				t.Errorf("%s-%d is told %d times", kind, n, len(answers))
			}
		}
	}
	for n := range 20 {
		body := fmt.Sprintf(`{"id":"u-%d","lock":"%s"}`, n, front)
		for range 2 { // the second hears of the first
			m, err := first.bus.Conn.Request("gatehouse.ask.acme.unlock.reception", []byte(body), 30*time.Second)
			must(t, err)
			if !strings.Contains(string(m.Data), `"status":"applied"`) {
				t.Errorf("%v %s", m.Header, m.Data)
			}
		}
	}
	if n := c.Unlocks(front); n != 20 {
		t.Errorf("the door was opened %d times, want 20", n)
	}
}

// counted is the value of a counter with a label.
func (s *station) counted(t testing.TB, name, label string) float64 {
	t.Helper()
	families, err := s.reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	t.Fatalf("there is no %s with %s", name, label)
	return 0
}
