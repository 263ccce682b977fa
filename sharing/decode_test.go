package sharing_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/invalid"
	"gatehouse/sharing"
)

const lockID = "7a1d2c30-0002-11f0-8000-00000000b001"

var plainJWE = "eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.Y2lwaGVy.dGFn"

func TestDecode(t *testing.T) {
	people := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"foreign_key":"emp-%d"}`, i))
		}
		return `"invitees":[` + strings.Join(all, ",") + `]`
	}
	with := func(more string) string { return `{"type":"share","lock":"` + lockID + `",` + more + `}` }
	invitee := func(fields string) string { return with(`"invitees":[{` + fields + `}]`) }
	revoke := func(more string) string { return `{"type":"revoke","lock":"` + lockID + `",` + more + `}` }
	unlock := func(more string) string { return `{"type":"unlock","lock":"` + lockID + `"` + more + `}` }
	for _, row := range []struct{ name, kind, id, body, field string }{
		{"everything", "", "", `{"id":"visit-8841","type":"share","lock":"` + lockID + `","invitees":[{"email":"ana@example.test"},{"telephone":"+442034341020"},
			{"foreign_key":"emp-17"},{"user":"7A1D2C30-0003-11f0-8000-00000000c001"},{"identity_token":"` + plainJWE + `"},
			{"foreign_key":"visitor-77","email":"lee@example.test","email_verified":true,"display_name":"Lee Ann","provision":true}],
			"role":"USER","start":"2026-12-01T09:00:00Z","end":"2026-12-01T17:00:00Z","valid_for":"24h"}`, ""},
		{"a person's own role and times", "", "", invitee(`"email":"a@b.c","role":"ADMIN","start":"2026-12-01T09:00:00+01:00","end":"2026-12-02T09:00:00Z"`), ""},
		{"as many as may be", "", "", with(people(500)), ""},
		{"the road's type and id", "unlock", "visit-1", `{"id":"visit-1","type":"unlock","lock":"` + lockID + `"}`, ""},
		{"a type from the road alone", "unlock", "", `{"lock":"` + lockID + `"}`, ""},
		{"two weeks", "", "", with(people(1) + `,"valid_for":"336h"`), ""},
		{"a revoke that may wait", "", "", revoke(people(2) + `,"valid_for":"1h"`), ""},

		{"nothing", "", "", ``, "body"},
		{"null", "", "", `null`, "type"},
		{"a list", "", "", `[]`, "body"},
		{"two", "", "", unlock("") + unlock(""), "body"},
		{"unknown field", "", "", unlock(`,"reason":"x"`), "reason"},
		{"unknown field of a person", "", "", invitee(`"mail":"a@b.c"`), "mail"},
		{"another type than the road's", "unlock", "", with(people(1)), "type"},
		{"no type", "", "", `{"lock":"` + lockID + `"}`, "type"},
		{"a type there is not", "", "", `{"type":"lock","lock":"` + lockID + `"}`, "type"},
		{"no lock", "", "", `{"type":"unlock"}`, "lock"},
		{"a lock that is none", "", "", `{"type":"unlock","lock":"front"}`, "lock"},
		{"another id than the road's", "", "x", unlock(`,"id":"y"`), "id"},
		{"a long id", "", "", unlock(`,"id":"` + strings.Repeat("x", 129) + `"`), "id"},
		{"an id with a space", "", "", unlock(`,"id":"a b"`), "id"},
		{"an id that is a number", "", "", unlock(`,"id":1`), "id"},
		{"nobody", "", "", with(`"invitees":[]`), "invitees"},
		{"nobody at all", "", "", `{"type":"share","lock":"` + lockID + `"}`, "invitees"},
		{"too many", "", "", with(people(501)), "invitees"},
		{"people who are texts", "", "", with(`"invitees":["ana@example.test"]`), "invitees"},
		{"somebody unnamed", "", "", invitee(`"role":"USER"`), "invitees"},
		{"named by two", "", "", invitee(`"email":"a@b.c","foreign_key":"x"`), "invitees"},
		{"named twice", "", "", with(`"invitees":[{"email":"a@b.c"},{"email":"a@b.c","role":"ADMIN"}]`), "invitees"},
		{"no address", "", "", invitee(`"email":"ana"`), "invitees.email"},
		{"an address of two words", "", "", invitee(`"email":"ana @example.test"`), "invitees.email"},
		{"a number without plus", "", "", invitee(`"telephone":"02034341020"`), "invitees.telephone"},
		{"a foreign key with a control character", "", "", invitee(`"foreign_key":"a\u0000"`), "invitees.foreign_key"},
		{"a long foreign key", "", "", invitee(`"foreign_key":"` + strings.Repeat("x", 1025) + `"`), "invitees.foreign_key"},
		{"a user that is no UUID", "", "", invitee(`"user":"admin-1"`), "invitees.user"},
		{"a token that is not encrypted", "", "", invitee(`"identity_token":"a.b.c"`), "invitees.identity_token"},
		{"a role there is not", "", "", with(people(1) + `,"role":"OWNER"`), "role"},
		{"a person's role there is not", "", "", invitee(`"email":"a@b.c","role":"user"`), "invitees.role"},
		{"a start that is no time", "", "", with(people(1) + `,"start":"tomorrow"`), "start"},
		{"an end before the start", "", "", with(people(1) + `,"start":"2026-12-01T09:00:00Z","end":"2026-12-01T09:00:00Z"`), "end"},
		{"an end before a person's start", "", "", with(`"end":"2026-12-01T09:00:00Z","invitees":[{"email":"a@b.c","start":"2026-12-02T09:00:00Z"}]`), "end"},
		{"longer than two weeks", "", "", with(people(1) + `,"valid_for":"337h"`), "valid_for"},
		{"no time at all", "", "", with(people(1) + `,"valid_for":"0s"`), "valid_for"},
		{"no duration", "", "", with(people(1) + `,"valid_for":"a day"`), "valid_for"},
		{"a revoke as somebody", "", "", revoke(people(1) + `,"role":"USER"`), "role"},
		{"a revoke with an end", "", "", revoke(people(1) + `,"end":"2026-12-01T09:00:00Z"`), "end"},
		{"a revoke with a person's role", "", "", revoke(`"invitees":[{"email":"a@b.c","role":"USER"}]`), "invitees"},
		{"a revoke that makes known", "", "", revoke(`"invitees":[{"foreign_key":"x","email":"a@b.c","provision":true}]`), "invitees"},
		{"an unlock with people", "", "", unlock(`,` + people(1)), "invitees"},
		{"an unlock that waits", "", "", unlock(`,"valid_for":"1h"`), "valid_for"},
		{"an unlock as somebody", "", "", unlock(`,"role":"ADMIN"`), "role"},
		{"a newcomer without a key", "", "", invitee(`"email":"a@b.c","provision":true`), "invitees.provision"},
		{"a newcomer without an address", "", "", invitee(`"foreign_key":"x","provision":true`), "invitees.provision"},
		{"a newcomer with another's id", "", "", invitee(`"foreign_key":"x","email":"a@b.c","provision":true,"user":"` + lockID + `"`), "invitees.provision"},
		{"a verified number that is not there", "", "", invitee(`"foreign_key":"x","email":"a@b.c","provision":true,"telephone_verified":true`), "invitees.provision"},
		{"somebody known with a name", "", "", invitee(`"foreign_key":"x","display_name":"Lee"`), "invitees.display_name"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, _, err := sharing.Decode([]byte(row.body), row.kind, row.id)
			fault, refused := errors.AsType[*invalid.Error](err)
			switch {
			case row.field == "" && err != nil:
				t.Error(err)
			case row.field != "" && (!refused || fault.Field != row.field || fault.Detail == ""):
				t.Errorf("got %v, want the field %s named", err, row.field)
			}
		})
	}
}

// Whatever comes is refused with a field named, or is within the bounds and can be written down.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"type":"share","lock":"`+lockID+`","invitees":[{"email":"a@b.c"}],"valid_for":"24h"}`), "share", "visit-1")
	f.Add([]byte(`{"type":"revoke","lock":"`+lockID+`","invitees":[{"user":"`+lockID+`"},{"identity_token":"`+plainJWE+`"}]}`), "", "")
	f.Add([]byte(`{"lock":"`+lockID+`"}`), "unlock", "")
	f.Add([]byte(`{"type":"share","lock":"`+lockID+`","invitees":[{"foreign_key":"x","telephone":"+442034341020","provision":true,"role":"ADMIN"}]}`), "", "x")
	f.Fuzz(func(t *testing.T, body []byte, kind, id string) {
		callerID, people, needs, err := sharing.Decode(body, kind, id)
		if err != nil {
			if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field == "" || fault.Detail == "" || len(fault.Detail) > 300 {
				t.Fatalf("%v", err)
			}
			return
		}
		if !json.Valid(body) || people < 1 || people > sharing.MaxInvitees || len(needs) == 0 || len(callerID) > 128 || id != "" && callerID != id {
			t.Fatalf("%q: id %q, %d people, needs %v", body, callerID, people, needs)
		}
		if slices.Contains(needs, sharing.MayUnlock) && len(needs) != 1 {
			t.Fatalf("%q needs %v", body, needs)
		}
	})
}
