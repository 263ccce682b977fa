package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/sharing"
)

// One of DoorFlow's people, with her PIN, and a door.
const (
	anaPereira = 4821
	anaPIN     = "604219"
	workshop   = 5027
)

// visitor types a PIN, and gets the meeting room for an hour by the desk's own doing.
func (d *demo) visitor(ctx context.Context) error {
	e := d.doorflow.Emit(doorflowsim.AccountA, doorflowsim.EventSpec{
		Code: admittedByPIN, PersonID: anaPereira, ChannelID: workshop, CredentialsNumber: anaPIN,
	})
	d.tell("Ana Pereira types a PIN at the Workshop. DoorFlow sends a signed webhook.")
	h, err := d.said(ctx, fmt.Sprintf("events/%d", e.ID))
	switch {
	case err != nil:
		return err
	case h.event().Person != anaPereira || h.event().Label == "":
		return fmt.Errorf("the event on NATS is not about Ana Pereira: %s", h.Data)
	case strings.Contains(string(h.Data), anaPIN):
		return errors.New("the event on NATS shows her PIN")
	}
	d.tell("The gateway proves it, stores it, fetches the event, and publishes it on NATS:")
	d.tell("%s, at the %s.", h.event().Label, h.event().Door)
	d.tell("The reception desk's program hears that, and asks for the Meeting Room for an hour, as Ada.")
	if _, err := d.outcome(ctx, "the share of the Meeting Room with Ana Pereira", h.ID, sharing.Applied); err != nil {
		return err
	}
	m, has := d.access(meetingRoom, foreignKey(anaPereira))
	until := d.arrived(e)
	switch {
	case !has:
		return errors.New("the gateway says that Ana Pereira has the Meeting Room, and Doordeck's list of its users does not show her")
	case !m.End.Equal(until):
		return fmt.Errorf("the Meeting Room opens for Ana Pereira until %s, not until %s", clock(m.End), clock(until))
	}
	d.tell("Applied: the Meeting Room opens for Ana Pereira until %s.", clock(m.End))
	return nil
}

// arrived notes who came in by PIN, and until when that gives them the meeting room.
func (d *demo) arrived(e doorflowsim.Event) time.Time {
	until := e.CreatedAt.Add(visit).Truncate(time.Second)
	subject := foreignKey(*e.PersonID)
	d.came[subject] = append(d.came[subject], until)
	return until
}

// said waits for the event about something.
func (d *demo) said(ctx context.Context, about string) (heard, error) {
	ctx, stop := d.within(ctx, "Ana Pereira's event was to come over NATS")
	defer stop()
	return d.desk.ear.first(ctx, func(h heard) bool { return h.About == about && h.kind() == "event" })
}

// clock is a time of today's, for people.
func clock(t time.Time) string {
	if t.IsZero() {
		return "for ever"
	}
	return t.Local().Format("15:04")
}
