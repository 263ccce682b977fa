package natsauth_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/events"
	"gatehouse/internal/natsauth"
)

// Each kind of credential, by its name.
func everyKind() map[string]natsauth.Grant {
	operations := map[string][]string{"acme": {"share", "revoke", "unlock", "lookup", "doors", "door"}}
	commands := map[string][]string{"acme": {"share", "revoke", "unlock"}}
	return map[string]natsauth.Grant{
		"one":     {Events: []string{"hX9aQ2"}},
		"all":     {Events: []string{"*"}},
		"ask":     {Ask: map[string][]string{"acme": {"doors"}}},
		"command": {Command: map[string][]string{"acme": {"share"}}},
		"durable": {Events: []string{"hX9aQ2"}, Durable: true},
		"full":    {Events: []string{"hX9aQ2"}, Ask: operations, Command: commands, Durable: true},
		"both":    {Ask: operations, Command: commands},
	}
}

// row is a subject and who may do what with it; nobody else may. NAME is the credential's own name.
type row struct {
	subject            string
	publish, subscribe string
}

const (
	hearOne     = "one all durable full"
	hearAcme    = "ask command full both"
	withDurable = "durable full"
)

// table is by the kinds of the contract, and others that a stranger would try.
var table = map[string][]row{
	"notification": {
		{"gatehouse.notification.hX9aQ2.event.create", "", hearOne},
		{"gatehouse.notification.hX9aQ2.>", "", hearOne},
		{"gatehouse.notification.bT4kW8.event.create", "", "all"},
		{"gatehouse.notification.>", "", "all"},
	},
	"event": {
		{"gatehouse.event.hX9aQ2.access.granted", "", hearOne},
		{"gatehouse.event.hX9aQ2.>", "", hearOne},
		{"gatehouse.event.bT4kW8.access.granted", "", "all"},
		{"gatehouse.event.hX9aQ22.access.granted", "", "all"},
		{"gatehouse.event.*.access.granted", "", "all"},
		{"gatehouse.event.>", "", "all"},
		{"gatehouse.event", "", ""},
	},
	"connection": {
		{"gatehouse.connection.hX9aQ2.active", "", hearOne},
		{"gatehouse.connection.bT4kW8.active", "", "all"},
		{"gatehouse.connection.*.active", "", "all"},
	},
	"operation": {
		{"gatehouse.operation.acme.applied", "", hearAcme},
		{"gatehouse.operation.acme.>", "", hearAcme},
		{"gatehouse.operation.other.applied", "", ""},
		{"gatehouse.operation.>", "", ""},
	},
	"identity": {
		{"gatehouse.identity.acme.ready", "", hearAcme},
		{"gatehouse.identity.other.ready", "", ""},
		{"gatehouse.identity.*.ready", "", ""},
	},
	"endpoint": {{"gatehouse.endpoint.0193.failing", "", ""}, {"gatehouse.endpoint.>", "", ""}},
	"audit":    {{"gatehouse.audit.head", "", ""}, {"gatehouse.audit.>", "", ""}},
	"command": {
		{"gatehouse.command.acme.share.NAME", "command full both", ""},
		{"gatehouse.command.acme.unlock.NAME", "full both", ""},
		{"gatehouse.command.acme.share.other", "", ""},
		{"gatehouse.command.other.share.NAME", "", ""},
		{"gatehouse.command.acme.doors.NAME", "", ""},
		{"gatehouse.command.acme.share", "", ""},
		{"gatehouse.command.acme.share.NAME.more", "", ""},
		{"gatehouse.command.>", "", ""},
	},
	"ask": {
		{"gatehouse.ask.acme.doors.NAME", "ask full both", ""},
		{"gatehouse.ask.acme.share.NAME", "full both", ""},
		{"gatehouse.ask.acme.doors.other", "", ""},
		{"gatehouse.ask.other.doors.NAME", "", ""},
		{"gatehouse.ask.acme.doors.NAME.more", "", ""},
		{"gatehouse.ask.>", "", ""},
	},
	"inbox": {
		{"_INBOX.NAME.x", "", "one all ask command durable full both"},
		{"_INBOX.NAME.>", "", "one all ask command durable full both"},
		{"_INBOX.other.x", "", ""},
		{"_INBOX.>", "", ""},
	},
	"consumer": {
		{"gatehouse.js.CONSUMER.MSG.NEXT.GATEHOUSE.NAME", withDurable, ""},
		{"gatehouse.js.CONSUMER.INFO.GATEHOUSE.NAME", withDurable, ""},
		{"$JS.ACK.GATEHOUSE.NAME.1.1.1.1.1", withDurable, ""},
		{"gatehouse.js.CONSUMER.MSG.NEXT.GATEHOUSE.other", "", ""},
		{"gatehouse.js.CONSUMER.INFO.GATEHOUSE.other", "", ""},
		{"gatehouse.js.CONSUMER.MSG.NEXT.GATEHOUSE_COMMANDS.NAME", "", ""},
		{"$JS.ACK.GATEHOUSE.other.1.1.1.1.1", "", ""},
		{"$JS.ACK.GATEHOUSE_COMMANDS.NAME.1.1.1.1.1", "", ""},
		{"$JS.ACK.>", "", ""},
	},
	"wildcards": {{">", "", ""}, {"gatehouse.>", "", ""}, {"*.event.hX9aQ2.>", "", ""}, {"*", "", ""}, {"gatehouse.*.hX9aQ2.>", "", ""}},
	"server": {
		{"$SYS.>", "", ""},
		{"$SYS.REQ.SERVER.PING", "", ""},
		{"$SYS.REQ.USER.INFO", "", ""},
		{"$SYS.REQ.ACCOUNT.PING.CONNZ", "", ""},
		{"$SYS.REQ.CLAIMS.UPDATE", "", ""},
		{"$SRV.PING", "", ""},
		{"_R_.x", "", ""},
		{"$KV.x.y", "", ""},
		{"$O.x.C.y", "", ""},
		{"$JS.FC.GATEHOUSE.x", "", ""},
		{"$JS.EVENT.>", "", ""},
		{"$JS.>", "", ""},
		{"gatehouse.js.>", "", ""},
	},
}

// forbidden is the part of JetStream's API that nobody is granted, under its own prefix and the gateway's.
var forbidden = []string{
	"INFO", "ACCOUNT.PURGE.x", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.GATEHOUSE", "STREAM.CREATE.MINE", "STREAM.CREATE.GATEHOUSE",
	"STREAM.UPDATE.GATEHOUSE", "STREAM.PURGE.GATEHOUSE", "STREAM.DELETE.GATEHOUSE", "STREAM.MSG.DELETE.GATEHOUSE", "STREAM.MSG.GET.GATEHOUSE",
	"DIRECT.GET.GATEHOUSE", "DIRECT.GET.GATEHOUSE.gatehouse.event.hX9aQ2.access.granted", "STREAM.SNAPSHOT.GATEHOUSE", "STREAM.RESTORE.GATEHOUSE",
	"STREAM.LEADER.STEPDOWN.GATEHOUSE", "STREAM.PURGE.GATEHOUSE_COMMANDS", "STREAM.MSG.GET.GATEHOUSE_COMMANDS",
	"CONSUMER.CREATE.GATEHOUSE", "CONSUMER.CREATE.GATEHOUSE.NAME", "CONSUMER.CREATE.GATEHOUSE.NAME.gatehouse.event.>", "CONSUMER.DURABLE.CREATE.GATEHOUSE.NAME",
	"CONSUMER.CREATE.GATEHOUSE_COMMANDS.x", "CONSUMER.NAMES.GATEHOUSE", "CONSUMER.LIST.GATEHOUSE", "CONSUMER.DELETE.GATEHOUSE.NAME",
	"CONSUMER.PAUSE.GATEHOUSE.NAME", "CONSUMER.RESET.GATEHOUSE.NAME", "CONSUMER.UNPIN.GATEHOUSE.NAME", "CONSUMER.LEADER.STEPDOWN.GATEHOUSE.NAME",
	"SERVER.REMOVE", "META.LEADER.STEPDOWN",
}

// Every kind of subject with every kind of credential: publishing and subscribing succeed where the table
// says so and nowhere else, and what is refused leaves no trace.
func TestWhoMayDoWhat(t *testing.T) {
	for _, kind := range events.Kinds() {
		if len(table[kind]) == 0 {
			t.Errorf("no row is about the subjects of kind %s", kind)
		}
	}
	rows := slices.Concat(slices.Collect(func(yield func([]row) bool) {
		for _, r := range table {
			if !yield(r) {
				return
			}
		}
	})...)
	for _, api := range forbidden {
		rows = append(rows, row{"$JS.API." + api, "", ""}, row{natsauth.APIPrefix + "." + api, "", ""})
	}
	rows = append(rows, row{"$JS.API.CONSUMER.MSG.NEXT.GATEHOUSE.NAME", "", ""}, row{"$JS.API.CONSUMER.INFO.GATEHOUSE.NAME", "", ""})
	s := newSite(t)
	s.say(t, "gatehouse.event.hX9aQ2.access.granted", "1")
	for kind, grant := range everyKind() {
		grant.Name = kind + "-app"
		file := s.mint(t, grant)
		t.Run(kind, func(t *testing.T) {
			a := s.connect(t, grant.Name, file)
			before, commands := s.stored(t), s.commands(t)
			for _, r := range rows {
				subject := strings.ReplaceAll(r.subject, "NAME", grant.Name)
				if got, want := a.maySubscribe(t, subject), slices.Contains(strings.Fields(r.subscribe), kind); got != want {
					t.Errorf("subscribing to %s: allowed %v, want %v", subject, got, want)
				}
				if strings.HasSuffix(subject, ">") || strings.Contains(subject, "*") {
					continue // no subject to publish to
				}
				want := slices.Contains(strings.Fields(r.publish), kind)
				if got := a.mayPublish(t, subject); got != want {
					t.Errorf("publishing to %s: allowed %v, want %v", subject, got, want)
				}
				if want && strings.HasPrefix(subject, "gatehouse.command.") {
					commands++
				}
			}
			if got := s.stored(t); got != before {
				t.Errorf("the stream was %s, and is %s", before, got)
			}
			if got := s.commands(t); got != commands {
				t.Errorf("%d commands are stored, want %d", got, commands)
			}
		})
	}
}
