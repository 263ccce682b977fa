package oauth

// words say what the scopes of DoorFlow's API description allow:
// https://developer.doorflow.com/guides/getting-started/choosing-scopes
var words = map[string]string{
	"account.person":                     "see, add and change people and their credentials",
	"account.person.readonly":            "see people and their credentials",
	"account.credential_type.readonly":   "see which kinds of credentials there are",
	"account.channel.readonly":           "see doors",
	"account.channel.admit":              "open, unlock and lock down doors",
	"account.channel.admit.person":       "open doors for a named person",
	"account.event.access.readonly":      "see who went through which door, and when",
	"account.group.readonly":             "see groups",
	"account.role.readonly":              "see roles",
	"account.site.readonly":              "see sites",
	"account.reservation":                "see, make and cancel reservations",
	"account.reservation.readonly":       "see reservations",
	"account.group_reservation":          "see, make and cancel reservations of groups",
	"account.group_reservation.readonly": "see reservations of groups",
	"account.notification_rule":          "see and change notification rules",
	"account.notification_rule.readonly": "see notification rules",
	"account.sync":                       "send changes to the door controllers",
	"account.shift.readonly":             "see shifts",
	"account.event.readonly":             "see events",
	"account.reports.readonly":           "see reports",
}

// describe puts scopes in plain words, and by name where we have none.
func describe(scopes []string) []string {
	var out []string
	for _, s := range scopes {
		if said, ok := words[s]; ok {
			out = append(out, said+" ("+s+")")
		} else {
			out = append(out, s)
		}
	}
	return out
}

// Describe says in plain words what a scope allows, "" where we have none.
func Describe(scope string) string { return words[scope] }
