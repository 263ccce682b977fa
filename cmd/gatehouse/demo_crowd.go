package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/sharing"
)

const crowdSize = 20

// crowd is twenty events. Each is said once as a notification and once as an event, and acknowledged at DoorFlow;
// whoever was let in by PIN gets the meeting room once for it, and nobody else does.
func (d *demo) crowd(ctx context.Context) error {
	d.tell("Now %d at once. Everybody who was let in by PIN gets the Meeting Room.", crowdSize)
	for n := range crowdSize {
		e := d.doorflow.Emit(doorflowsim.AccountA, d.happening(n))
		d.happened[fmt.Sprintf("events/%d", e.ID)] = e
		if e.EventCode == admittedByPIN {
			d.arrived(e)
		}
	}
	byPIN := pins(d.happened)
	waiting, stop := d.within(ctx, fmt.Sprintf("all %d events were to come over NATS, and %d shares of the Meeting Room to be applied", crowdSize, byPIN))
	defer stop()
	shown := 0
	err := d.desk.ear.await(waiting, func(all []heard) (bool, error) {
		for ; shown < len(all); shown++ {
			if h := all[shown]; d.happened[h.About].ID != 0 && h.kind() == "event" {
				d.tell("%s", doorLine(h))
			}
		}
		return everything(all, d.happened)
	})
	if err != nil {
		return err
	}
	if err := d.acknowledged(ctx); err != nil {
		return err
	}
	if err := d.delivered(ctx); err != nil {
		return err
	}
	if err := d.listed(); err != nil {
		return err
	}
	d.tell("All %d webhooks were proven, stored, fetched, acknowledged, and published exactly once.", crowdSize)
	d.tell("The building has got each once as well, and proven it by its signatures.")
	d.tell("After each of the %d PINs the Meeting Room was shared, once. Doordeck lists them all.", byPIN)
	return nil
}

// happening is what happens as the nth. Some of it brings nobody a room.
func (d *demo) happening(n int) doorflowsim.EventSpec {
	switch n {
	case 3:
		return doorflowsim.EventSpec{Code: 10, PersonID: 4857, ChannelID: workshop, CredentialsNumber: "00412877"} // a card
	case 8:
		return doorflowsim.EventSpec{Code: 24, ChannelID: workshop, CredentialsNumber: "271828"} // a PIN that is nobody's
	case 13:
		return doorflowsim.EventSpec{Code: 32, ChannelID: workshop, Perimeter: true} // held open
	}
	return d.doorflow.Random(doorflowsim.AccountA)
}

// everything tells whether all was said that was to be said; something that was not is an error.
func everything(all []heard, happened map[string]doorflowsim.Event) (bool, error) {
	said, byID := map[string]bool{}, map[string]doorflowsim.Event{}
	for _, h := range all {
		e := happened[h.About]
		if e.ID == 0 {
			continue
		}
		if said[h.kind()+h.About] {
			return false, fmt.Errorf("%q was published twice, as %s", e.EventLabel, h.On)
		}
		said[h.kind()+h.About], byID[h.ID] = true, e
	}
	shares := 0
	for _, h := range all {
		a := h.operation()
		e := byID[a.ID]
		switch {
		case h.kind() != "operation" || e.ID == 0:
		case e.EventCode != admittedByPIN:
			return false, fmt.Errorf("the Meeting Room was shared for %q", e.EventLabel)
		case a.Status != sharing.Applied:
			return false, fmt.Errorf("a share of the Meeting Room ended as %s%s", a.Status, because(a))
		default:
			shares++
		}
	}
	byPIN := pins(happened)
	if shares > byPIN {
		return false, fmt.Errorf("the Meeting Room was shared %d times for %d PINs", shares, byPIN)
	}
	return len(said) == 2*len(happened) && shares == byPIN, nil
}

// pins are how many people were let in by PIN.
func pins(happened map[string]doorflowsim.Event) (n int) {
	for _, e := range happened {
		if e.EventCode == admittedByPIN {
			n++
		}
	}
	return n
}

// acknowledged waits until DoorFlow knows that each event was fetched for its webhook.
func (d *demo) acknowledged(ctx context.Context) error {
	ctx, stop := d.within(ctx, "every webhook was to be acknowledged at DoorFlow")
	defer stop()
	err := d.doorflow.WaitLedger(ctx, func(entries []doorflowsim.LedgerEntry) bool {
		n := 0
		for _, e := range entries {
			if d.happened["events/"+e.ResourceID].ID != 0 && e.Delivered && e.Acknowledged {
				n++
			}
		}
		return n == len(d.happened)
	})
	if err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// listed compares Doordeck's list of the meeting room's users with who came: each until an hour after, and nobody
// else but Ada.
func (d *demo) listed() error {
	missing := map[string]bool{}
	for subject := range d.came {
		missing[subject] = true
	}
	for _, m := range d.doordeck.Users(meetingRoom) {
		u, _ := d.doordeck.User(m.User)
		delete(missing, u.Subject)
		if m.Role == doordecksim.RoleUser && !slices.ContainsFunc(d.came[u.Subject], m.End.Equal) {
			return fmt.Errorf("%s has the Meeting Room until %s at Doordeck, which nobody asked for", u.Name, clock(m.End))
		}
	}
	for subject := range missing {
		u, _ := d.doordeck.User(subject)
		return fmt.Errorf("%s came in by PIN, and Doordeck does not list %s for the Meeting Room", u.Name, strings.Fields(u.Name)[0])
	}
	return nil
}

// doorLine is an event in words.
func doorLine(h heard) string {
	e := h.event()
	return fmt.Sprintf("%-14s %s", e.Door, e.Label)
}
