package natsauth_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/events"
	"gatehouse/internal/natsauth"
)

// A request's answer goes to whatever reply subject the request names, and no permission is asked about that.
// So attackers name subjects that they may not publish to, with every service they have. The victim is
// another app with the same events: what is said to it, what is stored and what it has not acknowledged yet
// must stay as it is.
func TestAReplySubjectReachesNothing(t *testing.T) {
	s := newSite(t)
	answered := s.answerAsks(t)
	victim := s.connect(t, "victim", s.mint(t, natsauth.Grant{
		Name: "victim", Events: []string{"hX9aQ2"}, Command: map[string][]string{"acme": {"share"}}, Durable: true,
	}))
	for n := range 3 {
		s.say(t, "gatehouse.event.hX9aQ2.access.granted", fmt.Sprint(n))
	}
	ack := victim.fetch(t, 1)[0].Reply() // not acknowledged
	heard := make(chan *nats.Msg, 64)
	for _, subject := range []string{"gatehouse.event.hX9aQ2.>", "gatehouse.operation.acme.>", "_INBOX.victim.>"} {
		_, err := victim.ChanSubscribe(subject, heard)
		must(t, err)
	}
	must(t, victim.Flush())

	attackers := map[string]struct {
		grant    natsauth.Grant
		services []string
	}{
		"ask":     {natsauth.Grant{Ask: map[string][]string{"acme": {"doors"}}}, []string{"gatehouse.ask.acme.doors.attacker-ask"}},
		"command": {natsauth.Grant{Command: map[string][]string{"acme": {"share"}}}, []string{"gatehouse.command.acme.share.attacker-command"}},
		"durable": {natsauth.Grant{Events: []string{"hX9aQ2"}, Durable: true}, []string{
			"gatehouse.js.CONSUMER.MSG.NEXT.GATEHOUSE.attacker-durable", "gatehouse.js.CONSUMER.INFO.GATEHOUSE.attacker-durable",
			"$JS.ACK.GATEHOUSE.attacker-durable.1.1.1.1.1",
		}},
	}
	for kind, attacker := range attackers {
		name := "attacker-" + kind
		attacker.grant.Name = name
		file := s.mint(t, attacker.grant)
		t.Run(kind, func(t *testing.T) {
			a := s.connect(t, name, file)
			before, commands, asked := s.stored(t), s.commands(t), answered.Load()
			sent := int64(0)
			for _, service := range attacker.services {
				for _, reply := range []string{
					"gatehouse.command.acme.share.victim", "gatehouse.command.acme.share." + name, "gatehouse.command.acme.unlock." + name,
					"gatehouse.event.hX9aQ2.access.granted", "gatehouse.notification.hX9aQ2.event.create", "gatehouse.operation.acme.applied",
					"gatehouse.ask.acme.doors.victim", "gatehouse.ask.acme.doors." + name, "gatehouse.ask.acme.share." + name,
					ack, "$JS.ACK.GATEHOUSE.victim.1.2.2.1.0", "$JS.ACK.GATEHOUSE.victim.>",
					"_INBOX.victim.x", "gatehouse.js.CONSUMER.MSG.NEXT.GATEHOUSE.victim", "$JS.API.STREAM.PURGE.GATEHOUSE",
					"$JS.API.CONSUMER.DELETE.GATEHOUSE.victim", "$JS.API.STREAM.DELETE.GATEHOUSE", "_R_.abcdef.ghijkl", "$SYS.REQ.ACCOUNT.PING.CONNZ",
				} {
					for _, body := range []string{"", "+ACK", `{"batch":1,"no_wait":true}`} {
						must(t, a.PublishRequest(service, reply, []byte(body)))
						sent++
					}
					m := nats.NewMsg(service)
					m.Reply = reply
					m.Header.Set("Nats-Trace-Dest", reply)
					m.Header.Set("Nats-Expected-Stream", "ELSEWHERE") // refused by the stream: another kind of answer
					must(t, a.PublishMsg(m))
					sent++
				}
			}
			must(t, a.Flush())
			s.settled(t)
			if got := s.stored(t); got != before {
				t.Errorf("the stream was %s, and is %s", before, got)
			}
			if kind == "ask" && (s.commands(t) != commands || answered.Load()-asked > sent || answered.Load() == asked) {
				t.Errorf("%d requests brought %d commands, and %d asks", sent, s.commands(t)-commands, answered.Load()-asked)
			}
			if kind == "command" && (s.commands(t)-commands > uint64(sent) || answered.Load() != asked) {
				t.Errorf("%d commands became %d, and %d asks", sent, s.commands(t)-commands, answered.Load()-asked)
			}
			if kind == "durable" && (s.commands(t) != commands || answered.Load() != asked) {
				t.Errorf("%d commands, %d asks", s.commands(t)-commands, answered.Load()-asked)
			}
			s.onlyBy(t, name, commands)
			consumer, err := s.bus.JS.Consumer(t.Context(), events.StreamName, "victim")
			must(t, err)
			if i := consumer.CachedInfo(); i.NumAckPending != 1 || i.AckFloor.Stream != 0 || i.Delivered.Stream != 1 {
				t.Errorf("the victim's consumer: %d pending, acknowledged to %d, delivered to %d", i.NumAckPending, i.AckFloor.Stream, i.Delivered.Stream)
			}
			must(t, victim.Flush())
			select {
			case m := <-heard:
				t.Errorf("the victim heard %q on %s", m.Data, m.Subject)
			default:
			}
		})
	}
}

// answerAsks stands in for the service that answers asks: with a text, and as a micro service answers an
// error, which is a header without a body. It counts the asks.
func (s *site) answerAsks(t *testing.T) *atomic.Int64 {
	t.Helper()
	var count atomic.Int64
	_, err := s.bus.Conn.Subscribe("gatehouse.ask.>", func(m *nats.Msg) {
		if count.Add(1)%2 == 0 {
			_ = m.Respond([]byte(`{"lock":"x"}`))
			return
		}
		failed := nats.NewMsg("")
		failed.Header.Set("Nats-Service-Error", "no")
		_ = m.RespondMsg(failed)
	})
	must(t, err)
	must(t, s.bus.Conn.Flush())
	return &count
}

// settled waits until answers on their way have arrived: they go through the gateway's connection and
// JetStream, both of which answer in order.
func (s *site) settled(t testing.TB) {
	t.Helper()
	for range 3 {
		must(t, s.bus.Conn.Flush())
		s.stored(t)
		time.Sleep(50 * time.Millisecond) // an answer that does arrive shows on no connection of ours before
	}
}

// onlyBy checks that the commands stored since bear one caller's name.
func (s *site) onlyBy(t *testing.T, name string, since uint64) {
	t.Helper()
	stream, err := s.bus.JS.Stream(t.Context(), events.CommandsName)
	must(t, err)
	for seq := since + 1; seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		must(t, err)
		if m.Subject != "gatehouse.command.acme.share."+name {
			t.Fatalf("a command was stored on %s", m.Subject)
		}
	}
}

// fetch takes messages from the app's own consumer.
func (a *app) fetch(t testing.TB, n int) []jetstream.Msg {
	t.Helper()
	js, err := jetstream.NewWithAPIPrefix(a.Conn, natsauth.APIPrefix)
	must(t, err)
	consumer, err := js.Consumer(t.Context(), events.StreamName, a.name)
	must(t, err)
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(30*time.Second))
	must(t, err)
	var got []jetstream.Msg
	for m := range batch.Messages() {
		got = append(got, m)
	}
	must(t, batch.Error())
	if len(got) != n {
		t.Fatalf("%d messages, want %d", len(got), n)
	}
	return got
}
