package doorflowsim

import (
	"slices"
	"strings"
)

// The scopes that decide which webhooks an account's grant allows.
const (
	scopeEvents     = "account.event.access.readonly"
	scopePersonRead = "account.person.readonly"
)

// knownScopes are those of the OpenAPI description and three that only an older guide lists.
func knownScopes() []string {
	return []string{
		"account.person.readonly", "account.person",
		"account.credential_type.readonly",
		"account.channel.readonly", "account.channel.admit", "account.channel.admit.person",
		"account.event.access.readonly",
		"account.group.readonly", "account.role.readonly", "account.site.readonly",
		"account.reservation.readonly", "account.reservation",
		"account.group_reservation.readonly", "account.group_reservation",
		"account.notification_rule.readonly", "account.notification_rule",
		"account.sync",
		"account.shift.readonly", "account.event.readonly", "account.reports.readonly",
	}
}

// parseScopes reads a space separated list. It is false for an empty list and for an unknown scope.
func parseScopes(s string) ([]string, bool) {
	scopes := strings.Fields(s)
	known := knownScopes()
	for _, scope := range scopes {
		if !slices.Contains(known, scope) {
			return nil, false
		}
	}
	return scopes, len(scopes) > 0
}

// allows says whether the granted scopes include one of those needed. A write scope includes its reading one.
func allows(granted, needed []string) bool {
	for _, n := range needed {
		if slices.Contains(granted, n) || slices.Contains(granted, strings.TrimSuffix(n, ".readonly")) {
			return true
		}
	}
	return len(needed) == 0
}
