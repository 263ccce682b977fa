package sharing

import (
	"errors"
	"slices"
	"strings"

	"gatehouse/events"
)

// ErrForbidden says that the caller may not ask for such an operation.
var ErrForbidden = errors.New("the caller may not ask for this operation")

// Permission is one thing that a caller may ask for.
type Permission string

const (
	MayShare     Permission = "share"     // with people as users of the door
	MayRevoke    Permission = "revoke"    // anybody's access
	MayUnlock    Permission = "unlock"    // the door
	MayAppoint   Permission = "appoint"   // administrators of the door
	MayProvision Permission = "provision" // people whom Doordeck does not know
)

// Authority is who asks, and what they may ask for. Every road to an operation makes one of what it knows of its
// caller: HTTP of the scopes of a key, see OfScopes; NATS of the subject, see OfSubject.
type Authority struct {
	// Caller is the name that the operation is remembered under, with what kind of caller has it. One caller's ids
	// are nobody else's.
	Caller      string
	kind        callerKind
	Permissions []Permission
	// Identities are those that the caller is held to; nil means all, an empty list none.
	Identities []string
}

// callerKind tells an API key from NATS credentials: they may have the same name, and belong to different people.
type callerKind string

const (
	byKey  callerKind = "key"
	byNATS callerKind = "nats"
)

// stored is how a caller is written with an operation.
func (k callerKind) stored(name string) string { return string(k) + ":" + name }

// shownCaller is the name in what stored wrote.
func shownCaller(stored string) string {
	_, name, _ := strings.Cut(stored, ":")
	return name
}

// scopes are the permissions that a scope of an API key stands for.
var scopes = map[string][]Permission{
	"operations:write":     {MayShare, MayRevoke},
	"operations:unlock":    {MayUnlock},
	"operations:admin":     {MayAppoint},
	"operations:provision": {MayProvision},
	"admin":                {MayShare, MayRevoke, MayUnlock, MayAppoint, MayProvision},
}

// OfScopes is the authority of an API key.
func OfScopes(caller string, keyScopes, identities []string) Authority {
	a := Authority{Caller: caller, kind: byKey, Identities: identities}
	for _, scope := range keyScopes {
		a.Permissions = append(a.Permissions, scopes[scope]...)
	}
	return a
}

// The kinds of subjects on which something is asked of the gateway.
const (
	askKind     = "ask"
	commandKind = "command"
)

// Asked is what a subject says: who asks for which operation, of which identity.
type Asked struct {
	Identity, Operation string
	// By may ask for this operation of this identity and for nothing else.
	By Authority
}

// granted is what a subject that names an operation permits. There is none that permits to make administrators or
// people known: such a share is asked for over HTTP.
var granted = map[string][]Permission{
	Share: {MayShare}, Revoke: {MayRevoke}, Unlock: {MayUnlock}, askLookup: nil, askDoors: nil, askDoor: nil,
}

// OfSubject reads who asks on gatehouse.{kind}.{identity}.{operation}.{caller}. What it says is true as far as the
// NATS server pins it by its permissions, as the embedded one does: a program may publish on the subjects that
// bear its own name and what it was granted. ok is false for a subject that no program can have been granted:
// names of identities and callers stand for themselves in a subject, so that there is nothing to unescape.
func OfSubject(kind, subject string) (a Asked, ok bool) {
	rest, ok := strings.CutPrefix(subject, events.Subject(kind)+".")
	tokens := strings.SplitN(rest, ".", 4)
	if !ok || len(tokens) != 3 || !nameForm.MatchString(tokens[0]) || !nameForm.MatchString(tokens[2]) {
		return Asked{}, false
	}
	permissions, ok := granted[tokens[1]]
	if !ok || kind == commandKind && permissions == nil {
		return Asked{}, false
	}
	return Asked{tokens[0], tokens[1], Authority{tokens[2], byNATS, permissions, tokens[:1:1]}}, true
}

// covers tells whether the identity is among the caller's.
func (a Authority) covers(identity string) bool {
	return a.Identities == nil || slices.Contains(a.Identities, identity)
}

// check returns ErrForbidden unless the caller may ask for the operation.
func (a Authority) check(o *operation) error {
	for _, needed := range o.needs() {
		if !slices.Contains(a.Permissions, needed) {
			return ErrForbidden
		}
	}
	return nil
}

// needs are the permissions that an operation takes: for a share, those for each of its people.
func (o *operation) needs() []Permission {
	switch o.Type {
	case Revoke:
		return []Permission{MayRevoke}
	case Unlock:
		return []Permission{MayUnlock}
	}
	var needs []Permission
	for _, p := range o.parts {
		role := MayShare
		if p.Role == roleAdmin {
			role = MayAppoint
		}
		needs = append(needs, role)
		if p.Provision != "" {
			needs = append(needs, MayProvision)
		}
	}
	return needs
}
