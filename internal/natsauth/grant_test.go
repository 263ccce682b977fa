package natsauth_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb/sqldbtest"
)

func TestWhatIsNotGranted(t *testing.T) {
	c := natsauth.New(natsauth.Config{DB: sqldbtest.SQLite(t), Log: quiet})
	one := []string{"hX9aQ2"}
	many := map[string][]string{}
	for i := range 65 {
		many[strings.Repeat("x", i+1)] = []string{"share"}
	}
	for name, row := range map[string]struct {
		grant natsauth.Grant
		field string
	}{
		"no name":               {natsauth.Grant{Events: one}, "name"},
		"name with a dot":       {natsauth.Grant{Name: "a.b", Events: one}, "name"},
		"name with a wildcard":  {natsauth.Grant{Name: "*", Events: one}, "name"},
		"name with a space":     {natsauth.Grant{Name: "a b", Events: one}, "name"},
		"name with a line end":  {natsauth.Grant{Name: "a\n", Events: one}, "name"},
		"name with a slash":     {natsauth.Grant{Name: "../a", Events: one}, "name"},
		"long name":             {natsauth.Grant{Name: strings.Repeat("a", 65), Events: one}, "name"},
		"a command's name":      {natsauth.Grant{Name: "list", Events: one}, "name"},
		"another command's":     {natsauth.Grant{Name: "revoke", Events: one}, "name"},
		"nothing":               {natsauth.Grant{Name: "a", Durable: true}, "events"},
		"empty account":         {natsauth.Grant{Name: "a", Events: []string{""}}, "events"},
		"long account":          {natsauth.Grant{Name: "a", Events: []string{strings.Repeat("a", 257)}}, "events"},
		"bytes":                 {natsauth.Grant{Name: "a", Events: []string{"\xff"}}, "events"},
		"all and one":           {natsauth.Grant{Name: "a", Events: []string{"*", "hX9aQ2"}}, "events"},
		"too many":              {natsauth.Grant{Name: "a", Events: slices.Collect(maps.Keys(many))}, "events"},
		"too many identities":   {natsauth.Grant{Name: "a", Ask: many}, "ask"},
		"every identity":        {natsauth.Grant{Name: "a", Ask: map[string][]string{"*": {"share"}}}, "ask"},
		"no operation":          {natsauth.Grant{Name: "a", Ask: map[string][]string{"acme": {}}}, "ask"},
		"unknown operation":     {natsauth.Grant{Name: "a", Ask: map[string][]string{"acme": {"share", "*"}}}, "ask"},
		"asking as a command":   {natsauth.Grant{Name: "a", Command: map[string][]string{"acme": {"doors"}}}, "command"},
		"identity without name": {natsauth.Grant{Name: "a", Command: map[string][]string{"": {"share"}}}, "command"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := c.Mint(t.Context(), row.grant, time.Time{}); !invalidField(err, row.field) {
				t.Errorf("%v, want a fault in %s", err, row.field)
			}
		})
	}
	for name, expires := range map[string]time.Time{"in the past": time.Now().Add(-time.Hour), "now": time.Now(), "too late": time.Now().AddDate(11, 0, 0)} {
		if _, _, err := c.Mint(t.Context(), hears, expires); !invalidField(err, "expires_at") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if page, _, err := c.List(t.Context(), "", 10, natsauth.All); err != nil || len(page) > 0 {
		t.Errorf("%v, %v", page, err)
	}
}

// What an account or identity is called widens nothing: each name is one token.
func TestNamesAreTokens(t *testing.T) {
	s := newSite(t)
	creds := s.mint(t, natsauth.Grant{
		Name: "app", Events: []string{">", "a.b", "*.*", "hX9aQ2.>"}, Ask: map[string][]string{"acme.doors": {"share"}, ">": {"door"}}, Durable: true,
	})
	a := s.connect(t, "app", creds)
	for subject, want := range map[string]bool{
		"gatehouse.event.>":                        false,
		"gatehouse.event.a.b":                      false,
		"gatehouse.event.hX9aQ2.access.granted":    false,
		"gatehouse.event.%3E.access.granted":       true,
		"gatehouse.event.hX9aQ2%2E%3E.access.x":    true,
		"gatehouse.event.a%2Eb.>":                  true,
		"gatehouse.operation.acme.applied":         false,
		"gatehouse.operation.acme%2Edoors.applied": true,
	} {
		if got := a.maySubscribe(t, subject); got != want {
			t.Errorf("subscribing to %s: allowed %v, want %v", subject, got, want)
		}
	}
	for subject, want := range map[string]bool{
		"gatehouse.ask.acme.doors.share.app":   false,
		"gatehouse.ask.acme.door.app":          false,
		"gatehouse.ask.acme%2Edoors.share.app": true,
		"gatehouse.ask.%3E.door.app":           true,
	} {
		if got := a.mayPublish(t, subject); got != want {
			t.Errorf("publishing to %s: allowed %v, want %v", subject, got, want)
		}
	}
	s.say(t, "gatehouse.event.hX9aQ2.access.granted", "not for it")
	s.say(t, "gatehouse.event.%3E.access.granted", "for it")
	if m := a.fetch(t, 1)[0]; string(m.Data()) != "for it" {
		t.Errorf("its consumer brought %q", m.Data())
	}
}
