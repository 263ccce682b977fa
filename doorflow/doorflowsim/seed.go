package doorflowsim

import (
	"fmt"
	"time"
)

// The two seeded accounts. Their ids are of the form DoorFlow uses, the rest is invented.
const (
	AccountA = "hX9aQ2" // Harbour Makers
	AccountB = "nbYfy7" // Northgate Studios
)

// firstID is above 6e8, where DoorFlow's event ids have been for years: a client needs 64 bits in time.
const firstID = 700000001

// account is everything one customer has.
type account struct {
	id, name, timeZone string
	number             int // what IntegerAccountID shows
	owner              int // id of the user who connects the application
	sites              []Site
	groups             []Group
	roles              []Role
	types              []CredentialType
	channels           []*Channel
	people             []*Person
	credentials        []*Credential
	events             []Event // by id, oldest first
	admissions         []admission
	reservations       []Reservation
	groupReservations  []GroupReservation
	lastSync           time.Time
	nextPerson         int
}

func seedAccounts() map[string]*account {
	return map[string]*account{AccountA: harbourMakers(), AccountB: northgateStudios()}
}

func harbourMakers() *account {
	a := &account{
		id: AccountA, name: "Harbour Makers", timeZone: "Europe/London", number: 1177, owner: 90210, nextPerson: 4903,
		sites: []Site{{ID: 31, Name: "Harbour Site", TimeZone: "Europe/London", SiteIPs: []siteIP{{"203.0.113.0/24"}}}},
		types: []CredentialType{
			{ID: 8033, Label: "Pin", Slug: "pin", Code: CodePIN},
			{ID: 8047, Label: "Card", Slug: "credentials_number", Code: CodeCard},
			{ID: 8051, Label: "Key Fob", Slug: "key_fob", Code: CodeCard},
		},
	}
	a.addGroup(12, "Members")
	a.addGroup(19, "Night Owls")
	a.addRole(7, "Always", nil)
	a.addRole(11, "Office Hours", new(301))
	a.addChannel(5012, "Loading Bay", "online")
	a.addChannel(5027, "Workshop", "online")
	a.addChannel(5033, "Boat Shed", "offline")
	a.addPerson(4821, "Ana", "Pereira", "ana@example.test", 12)
	a.addPerson(4836, "Bram", "de Wit", "bram@example.test", 12)
	a.addPerson(4857, "Chidi", "Okafor", "chidi@example.test", 12, 19)
	a.addPerson(4902, "Dora", "Lindqvist", "", 19)
	a.addCredential("R7mKd0P", 4821, 8033, "604219")
	a.addCredential("T2vXc8L", 4836, 8033, "0731")
	a.addCredential("W5qNh3D", 4857, 8033, "918264")
	a.addCredential("Y9sBf6G", 4857, 8047, "00412877")
	return a
}

func northgateStudios() *account {
	a := &account{
		id: AccountB, name: "Northgate Studios", timeZone: "America/New_York", number: 2063, owner: 91344, nextPerson: 7390,
		sites: []Site{{ID: 58, Name: "Northgate", TimeZone: "America/New_York", SiteIPs: []siteIP{{"198.51.100.0/24"}}}},
		types: []CredentialType{
			{ID: 9204, Label: "Member card", Slug: "member_card", Code: CodeCard},
			{ID: 9219, Label: "Door code", Slug: "door_code", Code: CodePIN},
		},
	}
	a.addGroup(44, "Tenants")
	a.addRole(23, "Tenants", nil)
	a.addChannel(6104, "Street Door", "online")
	a.addChannel(6119, "Studio 3", "online")
	a.addPerson(7315, "Esme", "Whitlock", "esme@example.test", 44)
	a.addPerson(7388, "Farid", "Haddad", "farid@example.test", 44)
	a.addCredential("k3JdW8z", 7315, 9219, "27185")
	a.addCredential("p6TgM1x", 7388, 9219, "31415")
	return a
}

// seeded is when everything in the seed was made.
func seeded() Time { return Time{time.Date(2025, 10, 6, 9, 30, 0, 0, time.UTC)} }

func (a *account) addGroup(id int, name string) {
	a.groups = append(a.groups, Group{ID: id, Name: name, CreatedAt: seeded(), UpdatedAt: seeded()})
}

func (a *account) addRole(id int, name string, shift *int) {
	a.roles = append(a.roles, Role{ID: id, Name: name, ShiftID: shift, CreatedAt: seeded(), UpdatedAt: seeded()})
}

func (a *account) addChannel(id int, name, status string) {
	a.channels = append(a.channels, &Channel{
		ID: id, Name: name, Status: status, Unit: 1, Model: "IPBR-2", ModelLong: "Invented bridge 2",
		MACAddress:   fmt.Sprintf("02:00:00:00:%02d:%02d", id/100, id%100),
		SerialNumber: fmt.Sprintf("SIM-%05d", id), SiteID: a.sites[0].ID,
		CreatedAt: seeded(), UpdatedAt: seeded(),
		Sync: channelSync{Status: "ok", LastSyncCompleted: new(seeded())},
		Mode: channelMode{Description: modeNormal},
	})
}

func (a *account) addPerson(id int, first, last, email string, groups ...int) {
	p := &Person{ID: id, Groups: groups, Roles: []int{a.roles[0].ID}, CreatedAt: seeded(), UpdatedAt: seeded()}
	p.FirstName, p.LastName, p.Enabled = first, last, true
	if email != "" {
		p.Email = &email
	}
	p.SystemID = new(fmt.Sprintf("m-%d", id))
	a.people = append(a.people, p)
}

func (a *account) addCredential(id string, person, typeID int, value string) {
	a.credentials = append(a.credentials, &Credential{
		ID: id, PersonID: person, CredentialTypeID: typeID, Label: a.credentialType(typeID).Label,
		Value: &value, Status: "active",
	})
}
