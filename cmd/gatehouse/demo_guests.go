package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/sharing"
)

// guests are given the hall in one command. Ben signs with the key that he has just proven.
func (d *demo) guests(ctx context.Context) error {
	people := make([]map[string]string, 0, guestCount)
	for n := 1; n <= guestCount; n++ {
		people = append(people, map[string]string{"foreign_key": guest(n)})
	}
	const id = "open-day"
	command, err := json.Marshal(map[string]any{"id": id, "lock": mainHall, "invitees": people})
	if err != nil {
		return err
	}
	d.tell("For the open day, the desk commands on NATS that Ben shares the Main Hall with %d guests.", guestCount)
	if err := d.desk.command(ben, command); err != nil {
		return err
	}
	if _, err := d.outcome(ctx, fmt.Sprintf("the share of the Main Hall with %d guests", guestCount), id, sharing.Applied); err != nil {
		return err
	}
	if sizes := d.signedByBen(); !slices.Equal(sizes, []int{25, guestCount - 25}) {
		return fmt.Errorf("two operations signed by Ben were to reach Doordeck, for 25 and %d people; what came was for %v", guestCount-25, sizes)
	}
	for n := 1; n <= guestCount; n++ {
		if _, has := d.access(mainHall, guest(n)); !has {
			return errors.New("the gateway says that all guests have the Main Hall, and Doordeck's list of its users does not show " + guest(n))
		}
	}
	d.tell("Applied: Doordeck got two signed operations, for 25 and %d people, and lists them all.", guestCount-25)
	return nil
}

// signedByBen are how many people each operation on the hall was for that Doordeck has proven and done, most first.
func (d *demo) signedByBen() (sizes []int) {
	user, _ := d.doordeck.User(benSubject)
	for _, e := range d.doordeck.Ledger() {
		if e.Lock == mainHall && e.Outcome == doordecksim.Applied && e.Caller == user.ID {
			sizes = append(sizes, len(e.Targets))
		}
	}
	slices.Sort(sizes)
	slices.Reverse(sizes)
	return sizes
}
