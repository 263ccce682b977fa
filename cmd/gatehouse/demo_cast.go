package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"

	"gatehouse/doordeck/doordecksim"
)

const (
	customerName = "Harbour Makers" // doorflowsim.AccountA

	// The Doordeck locks. Ada administers all of them, Ben the hall.
	meetingRoom = "5e3c0f10-0002-4f00-8000-00000000d001"
	toolStore   = "5e3c0f10-0002-4f00-8000-00000000d002"
	mainHall    = "5e3c0f10-0002-4f00-8000-00000000d003"

	// The administrators: the gateway's names for them, and their subjects at Doordeck.
	ada, ben               = "ada", "ben"
	adaSubject, benSubject = "staff-ada", "staff-ben"

	guestCount = 40
)

var doorNames = map[string]string{meetingRoom: "Meeting Room", toolStore: "Tool Store", mainHall: "Main Hall"}

// visitors are DoorFlow's people with a PIN, by the id there. At Doordeck their foreign keys name that id.
var visitors = map[int]string{4821: "Ana Pereira", 4836: "Bram de Wit", 4857: "Chidi Okafor"}

func foreignKey(person int) string { return fmt.Sprintf("doorflow-%d", person) }

// known is somebody in Doordeck's directory whose address is proven.
func known(subject, name string) doordecksim.User {
	return doordecksim.User{Subject: subject, Name: name, Email: subject + "@example.test", EmailVerified: true}
}

func guest(n int) string { return fmt.Sprintf("guest-%02d", n) }

// furnish lets Doordeck know the people and the doors. Ben uses it already: a key of his telephone is registered.
func (d *demo) furnish() error {
	people := []doordecksim.User{known(adaSubject, "Ada Achterberg"), known(benSubject, "Ben Brannigan")}
	for person, name := range visitors {
		people = append(people, known(foreignKey(person), name))
	}
	for n := 1; n <= guestCount; n++ {
		people = append(people, known(guest(n), fmt.Sprintf("Guest %d", n)))
	}
	for _, p := range people {
		if _, err := d.doordeck.AddUser(p); err != nil {
			return err
		}
	}
	admin := func(subject string) doordecksim.Member {
		return doordecksim.Member{User: subject, Role: doordecksim.RoleAdmin}
	}
	for id, name := range doorNames {
		lock := doordecksim.Lock{
			ID: id, Name: name, Users: []doordecksim.Member{admin(adaSubject)},
			Capabilities: map[string]string{doordecksim.BatchSharing: doordecksim.Supported},
		}
		if id == mainHall {
			lock.Users = append(lock.Users, admin(benSubject))
		}
		if err := d.doordeck.AddLock(lock); err != nil {
			return err
		}
	}
	telephone, _, err := ed25519.GenerateKey(rand.Reader)
	return errors.Join(err, d.doordeck.RegisterKey(benSubject, telephone))
}

// access is what Doordeck's list of a lock's users holds of a person.
func (d *demo) access(lock, subject string) (doordecksim.Member, bool) {
	user, _ := d.doordeck.User(subject)
	for _, m := range d.doordeck.Users(lock) {
		if m.User == user.ID {
			return m, true
		}
	}
	return doordecksim.Member{}, false
}
