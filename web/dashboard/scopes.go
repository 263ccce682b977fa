package dashboard

import (
	"slices"
	"strings"

	"gatehouse/apikeys"
)

// power is a scope of an API key in plain words.
type power struct {
	Scope, Does string
	Has         bool
}

// area is what some scopes are about.
type area struct {
	Name   string
	Powers []power
}

// areas are all scopes, as people read them.
var areas = []area{
	{"Everything", []power{{Scope: apikeys.ScopeAdmin, Does: "Do all of this, and make keys, identities and NATS credentials"}}},
	{"Messages", []power{
		{Scope: "messages:read", Does: "See what happens at the doors, as it comes and in the history"},
		{Scope: "messages:write", Does: "Say a message again"},
	}},
	{"Endpoints", []power{
		{Scope: "endpoints:read", Does: "See endpoints and what was delivered to them"},
		{Scope: "endpoints:write", Does: "Make, change and test endpoints; retry and replay"},
	}},
	{"Doors", []power{
		{Scope: "operations:read", Does: "See doors, who has access, and what was asked of them"},
		{Scope: "operations:write", Does: "Share doors with people, and take access back"},
		{Scope: "operations:unlock", Does: "Unlock doors"},
		{Scope: "operations:admin", Does: "Make people administrators of doors"},
		{Scope: "operations:provision", Does: "Make people known to Doordeck"},
	}},
	{"Identities", []power{
		{Scope: "identities:read", Does: "See the administrators that the gateway signs as"},
		{Scope: "identities:write", Does: "Register them and enter their codes"},
	}},
	{"Connections", []power{
		{Scope: "connections:read", Does: "See the DoorFlow accounts and how they stand"},
		{Scope: "connections:write", Does: "Connect and disconnect accounts"},
	}},
	{"DoorFlow itself", []power{
		{Scope: "doorflow:read", Does: "Read people, cards and doors at DoorFlow"},
		{Scope: "doorflow:write", Does: "Change people, cards and PINs at DoorFlow"},
		{Scope: "doorflow:doors", Does: "Admit, unlock and lock at DoorFlow’s doors"},
	}},
	{"Audit", []power{{Scope: "audit:read", Does: "See who did what, and have the log proven"}}},
}

// preset is a choice of scopes for what people often make a key for.
type preset struct {
	ID, Name, For string
	Scopes        []string
}

var presets = []preset{
	{"building", "Building management", "a system that hears of events at its own endpoint", []string{"endpoints:read", "endpoints:write", "messages:read"}},
	{"visitors", "Visitor app", "a reception that gives visitors people, PINs and doors", []string{
		"connections:read", "doorflow:read", "doorflow:write", "identities:read", "messages:read", "operations:read", "operations:write",
	}},
	{"read", "Read only", "somebody who looks and changes nothing", reading()},
}

// reading are the scopes that change nothing.
func reading() []string {
	return slices.DeleteFunc(apikeys.Scopes(), func(s string) bool { return !strings.HasSuffix(s, ":read") })
}

// chosen are the areas with the scopes that a form or a key has.
func chosen(scopes []string) []area {
	all := slices.Clone(areas)
	for i := range all {
		all[i].Powers = slices.Clone(all[i].Powers)
		for n, p := range all[i].Powers {
			all[i].Powers[n].Has = slices.Contains(scopes, p.Scope)
		}
	}
	return all
}

// held are only those areas in which a key may do something.
func held(scopes []string) []area {
	var some []area
	for _, a := range chosen(scopes) {
		a.Powers = slices.DeleteFunc(a.Powers, func(p power) bool { return !p.Has })
		if len(a.Powers) > 0 {
			some = append(some, a)
		}
	}
	return some
}
