package natsauth

import (
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"gatehouse/events"
	"gatehouse/internal/invalid"
)

// Grant is what a credential may do. Nothing that it does not name is possible with it.
type Grant struct {
	// Name is the caller's: the last token of the subjects it asks and commands on, its inbox and its consumer.
	Name string `json:"name"`
	// Events are the accounts whose notifications, events and connections may be heard; "*" alone is all.
	Events []string `json:"events,omitempty"`
	// Ask and Command are the operations by identity. The outcomes of these identities may be heard.
	Ask     map[string][]string `json:"ask,omitempty"`
	Command map[string][]string `json:"command,omitempty"`
	// Durable gives it a consumer on the stream, which keeps its place while the app is away.
	Durable bool `json:"durable"`
}

// The kinds of subjects that a grant is about. Of the others, endpoints and the audit head, nothing is granted.
const (
	askKind     = "ask"
	commandKind = "command"
)

var (
	accountKinds  = []string{"notification", "event", "connection"}
	identityKinds = []string{"operation", "identity"}
	heardKinds    = slices.Concat(accountKinds, identityKinds)

	askOperations     = []string{"share", "revoke", "unlock", "lookup", "doors", "door"}
	commandOperations = []string{"share", "revoke", "unlock"}
)

const (
	everyAccount = "*"
	maxNamed     = 64  // accounts or identities in one grant
	maxID        = 256 // bytes of an account or identity
)

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// reserved would read as another command at the command line.
	reserved = []string{"list", "revoke"}
)

// check refuses what cannot be granted, and puts the lists in order.
func (g *Grant) check() error {
	if !namePattern.MatchString(g.Name) {
		return invalid.Field("name", "must be 1 to 64 letters, digits, - or _")
	}
	if slices.Contains(reserved, g.Name) {
		return invalid.Field("name", "must not be list or revoke: these are commands")
	}
	if err := checkIDs("events", "account", g.Events); err != nil {
		return err
	}
	if g.every() && len(g.Events) > 1 {
		return invalid.Field("events", "must be accounts, or * alone for all of them")
	}
	if err := checkOperations("ask", g.Ask, askOperations); err != nil {
		return err
	}
	if err := checkOperations("command", g.Command, commandOperations); err != nil {
		return err
	}
	if len(g.Events)+len(g.Ask)+len(g.Command) == 0 {
		return invalid.Field("events", "nothing is granted: name accounts, or operations in ask or command")
	}
	g.Events = ordered(g.Events)
	for _, operations := range []map[string][]string{g.Ask, g.Command} {
		for identity, list := range operations {
			operations[identity] = ordered(list)
		}
	}
	return nil
}

func checkOperations(field string, granted map[string][]string, known []string) error {
	identities := slices.Sorted(maps.Keys(granted))
	if err := checkIDs(field, "identity", identities); err != nil {
		return err
	}
	for _, identity := range identities {
		if identity == everyAccount {
			return invalid.Field(field, "must name its identities; there is no * for them")
		}
		operations := granted[identity]
		if len(operations) == 0 || slices.ContainsFunc(operations, func(o string) bool { return !slices.Contains(known, o) }) {
			return invalid.Field(field, "must name, for each identity, operations out of %v", known)
		}
	}
	return nil
}

func checkIDs(field, what string, ids []string) error {
	if len(ids) > maxNamed {
		return invalid.Field(field, "must name at most %d of them", maxNamed)
	}
	for _, id := range ids {
		if id == "" || len(id) > maxID || !utf8.ValidString(id) {
			return invalid.Field(field, "every %s must have 1 to %d bytes of UTF-8", what, maxID)
		}
	}
	return nil
}

func ordered(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// every tells whether the grant is for the events of all accounts.
func (g *Grant) every() bool { return slices.Contains(g.Events, everyAccount) }

// Identities are those whose operations may be asked for, in order.
func (g *Grant) Identities() []string {
	return ordered(slices.AppendSeq(slices.Collect(maps.Keys(g.Ask)), maps.Keys(g.Command)))
}

// Hears returns the subjects that the gateway says to the credential: what it may subscribe to, and what its
// consumer is filtered to. No two of them overlap.
func (g *Grant) Hears() []string {
	var subjects []string
	for _, kind := range accountKinds {
		for _, account := range g.Events {
			if account == everyAccount {
				subjects = append(subjects, events.Subject(kind)+".>")
			} else {
				subjects = append(subjects, events.Subject(kind, account)+".>")
			}
		}
	}
	for _, kind := range identityKinds {
		for _, identity := range g.Identities() {
			subjects = append(subjects, events.Subject(kind, identity)+".>")
		}
	}
	return subjects
}

// Asks returns the subjects of the requests it may make of the gateway, each with its own name at the end.
func (g *Grant) Asks() []string {
	var subjects []string
	for kind, granted := range map[string]map[string][]string{askKind: g.Ask, commandKind: g.Command} {
		for identity, operations := range granted {
			for _, operation := range operations {
				subjects = append(subjects, events.Subject(kind, identity, operation, g.Name))
			}
		}
	}
	slices.Sort(subjects)
	return subjects
}

// inbox is where its answers come.
func (g *Grant) inbox() string { return "_INBOX." + g.Name + ".>" }

// Exports returns the subjects that the gateway's account lets others hear, and those it answers on.
func Exports() (streams, services []string) {
	for _, kind := range heardKinds {
		streams = append(streams, all(kind))
	}
	return streams, []string{all(askKind), all(commandKind)}
}

func all(kind string) string { return events.Subject(kind) + ".>" }

// APIPrefix stands before the part of JetStream's API that a durable credential has.
const APIPrefix = "gatehouse.js"

func nextOf(consumer string) string {
	return "CONSUMER.MSG.NEXT." + events.StreamName + "." + consumer
}

func infoOf(consumer string) string { return "CONSUMER.INFO." + events.StreamName + "." + consumer }

func ackOf(consumer string) string { return "$JS.ACK." + events.StreamName + "." + consumer + ".>" }
