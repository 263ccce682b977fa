package doorflowsim_test

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/doorflow/doorflowsim"
)

// TestScopes walks all routes: without a token, with every scope but the needed ones, and with each of them.
func TestScopes(t *testing.T) {
	known := []string{
		"account.person.readonly", "account.person", "account.credential_type.readonly", "account.channel.readonly",
		"account.channel.admit", "account.channel.admit.person", "account.event.access.readonly",
		"account.group.readonly", "account.role.readonly", "account.site.readonly", "account.reservation.readonly",
		"account.reservation", "account.group_reservation.readonly", "account.group_reservation", "account.sync",
	}
	c := newCloud(t)
	for _, route := range doorflowsim.Routes() {
		t.Run(route.Method+" "+route.Pattern, func(t *testing.T) {
			path := strings.NewReplacer("{person}", "4821", "{id}", "987654").Replace(route.Pattern)
			wantStatus(t, c.api("", route.Method, path, ""), http.StatusUnauthorized)

			sufficient := map[string]bool{}
			for _, scope := range route.Scopes {
				sufficient[scope], sufficient[strings.TrimSuffix(scope, ".readonly")] = true, true
			}
			var others []string
			for _, scope := range known {
				if !sufficient[scope] {
					others = append(others, scope)
				}
			}
			access, _ := c.Grant(doorflowsim.AccountA, others...)
			a := c.api(access, route.Method, path, "")
			if len(route.Scopes) == 0 {
				wantStatus(t, a, http.StatusOK)
				return
			}
			wantStatus(t, a, http.StatusForbidden)
			if got := a.json(t)["error"]; got != "forbidden" {
				t.Errorf("error = %v", got)
			}
			for scope := range sufficient {
				access, _ := c.Grant(doorflowsim.AccountA, scope)
				if got := c.api(access, route.Method, path, "").status; got == 401 || got == 403 {
					t.Errorf("with %s: status %d", scope, got)
				}
			}
		})
	}
}

func TestPathsAreNormalised(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, "account.person")
	for _, path := range []string{"/api/3/people/4821", "/api/3/people/4821.json", "/api/3/person/4821", "/api/3/person/4821.json"} {
		if got := c.api(access, "GET", path, "").json(t)["first_name"]; got != "Ana" {
			t.Errorf("%s: first_name = %v", path, got)
		}
	}
	for _, path := range []string{"/api/3/nothing", "/api/3/people/1", "/api/3/people/x"} {
		a := c.api(access, "GET", path, "")
		wantStatus(t, a, http.StatusNotFound)
		if got := a.json(t)["error"]; got != "not_found" {
			t.Errorf("%s: error = %v", path, got)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, "account.person")
	a := c.api(access, "POST", "/api/3/people", strings.Repeat(" ", 1<<20+1))
	wantStatus(t, a, http.StatusRequestEntityTooLarge)
}

func TestAccountsAreSeparate(t *testing.T) {
	c := newCloud(t)
	a, _ := c.Grant(doorflowsim.AccountA, events, "account.person", "account.channel.readonly")
	e := c.Emit(doorflowsim.AccountB, doorflowsim.EventSpec{Code: 11, PersonID: 7315, ChannelID: 6104})
	for _, path := range []string{"/api/3/people/7315", "/api/3/channels/6104", eventPath(e)} {
		wantStatus(t, c.api(a, "GET", path, ""), http.StatusNotFound)
	}
}
