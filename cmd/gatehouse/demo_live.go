package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/nats-io/nats.go"

	"gatehouse/sharing"
)

// introduce says what runs where.
func (d *demo) introduce() {
	d.say("Two simulated clouds, and between them the real gateway. All people and doors are invented.\n")
	for _, line := range [][2]string{
		{"DoorFlow, simulated", d.app.config.DoorflowAPIURL.String()},
		{"Doordeck, simulated", d.app.config.DoordeckAPIURL.String()},
		{"Gatehouse", d.api.URL.String()},
		{"its NATS server", d.natsURL()},
	} {
		d.say("   %-20s %s", line[0], line[1])
	}
}

// live goes on after the story until ctx ends: something happens every second, and the desk goes on with its work.
func (d *demo) live(ctx context.Context) error {
	d.desk.deaf()
	var link signInLink
	if err := d.api.do(ctx, http.MethodPost, "/v1/sign-in-links", nil, struct{}{}, &link); err != nil {
		return err
	}
	d.invite(link)
	for _, subject := range []string{"gatehouse.event.>", "gatehouse.operation." + ada + ".>", "gatehouse.operation." + ben + ".>"} {
		if _, err := d.desk.conn.Subscribe(subject, func(m *nats.Msg) { d.report(read(m)) }); err != nil {
			return fmt.Errorf("subscribing on NATS: %w", err)
		}
	}
	return emit(ctx, d.doorflow, time.Second)
}

// invite says what to look at meanwhile.
func (d *demo) invite(link signInLink) {
	d.say("\nIt goes on: a door event a second, and whoever is let in by PIN gets the Meeting Room for an hour.")
	d.say("Look on in your browser; this link signs you in, once, within ten minutes:\n")
	d.say("   %s\n", link.URL)
	d.say("Or look around in another terminal:\n")
	d.say("   export GATEHOUSE_URL=%s GATEHOUSE_TOKEN=%s", d.api.URL, d.api.Token.Reveal())
	if alias := thisProgram(); alias != "" {
		d.say("   alias gatehouse=%s", alias)
	}
	d.say("")
	for _, line := range [][2]string{
		{"gatehouse doors ada", "the doors that Ada may share"},
		{"gatehouse operations", "what was asked of doors, and what became of it"},
		{"gatehouse endpoints", "where the building gets its events, and how well"},
		{"gatehouse messages tail", "everything that the gateway says, as it comes"},
		{"gatehouse identities", "Ada and Ben"},
		{"gatehouse audit", "who did what"},
	} {
		d.say("   %-26s %s", line[0], line[1])
	}
	d.say("\nOpen the Meeting Room yourself, give it to somebody, or see who has it:\n")
	for _, command := range []string{"unlock ada %s --wait 10s", "share ada %s --foreign-key " + guest(1) + " --end 2h --wait 10s", "doors ada %s --users"} {
		d.say("   gatehouse "+command, meetingRoom)
	}
	d.say("\nCtrl-C ends it, and nothing is left behind.\n")
}

// thisProgram is where it lies, "" when that is what the shell finds.
func thisProgram() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	if found, err := exec.LookPath("gatehouse"); err == nil && found == self {
		return ""
	}
	return self
}

// report prints what the desk hears.
func (d *demo) report(h heard) {
	switch {
	case h.kind() == "operation":
		d.tell("%s", d.operationLine(h.operation()))
	case h.event().Label != "":
		d.tell("%s", doorLine(h))
	default:
		d.tell("%s", h.About)
	}
}

// operationLine is an outcome in words.
func (d *demo) operationLine(a sharing.Answer) string {
	what := a.Type
	switch {
	case len(a.Results) == 1:
		what += " with " + d.personName(a.Results[0].Invitee)
	case len(a.Results) > 1:
		what += fmt.Sprintf(" with %d people", len(a.Results))
	}
	return fmt.Sprintf("%-14s %s: %s%s", cmp.Or(doorNames[a.Lock], a.Lock), what, a.Status, because(a))
}

func (d *demo) personName(n sharing.Named) string {
	if u, known := d.doordeck.User(n.ForeignKey); known {
		return u.Name
	}
	return n.String()
}
