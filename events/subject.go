package events

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// The kinds of subjects: the first token after the prefix. The stream GATEHOUSE holds what the gateway
// says, but for the audit head; commands have a stream of their own, and asks none.
const (
	kindNotification = "notification"
	kindEvent        = "event"
	kindConnection   = "connection"
	kindOperation    = "operation"
	kindIdentity     = "identity"
	kindEndpoint     = "endpoint"
	kindAudit        = "audit"
	kindCommand      = "command"
	kindAsk          = "ask"
)

// Kinds lists all kinds of subjects.
func Kinds() []string { return append(SpokenKinds(), kindAudit, kindCommand, kindAsk) }

// SpokenKinds are those of what passes through the log, and that the stream GATEHOUSE holds.
func SpokenKinds() []string {
	return []string{kindNotification, kindEvent, kindConnection, kindOperation, kindIdentity, kindEndpoint}
}

// Subject is a subject of a kind whose further tokens are escaped: gatehouse.{kind}.{token}….
func Subject(kind string, tokens ...string) string {
	subject := prefix + "." + kind
	for _, t := range tokens {
		subject += "." + Token(t)
	}
	return subject
}

const (
	prefix       = "gatehouse"
	maxToken     = 96
	hexDigits    = "0123456789ABCDEF"
	emptyToken   = "%"
	hashedPrefix = "%h"
)

// Topic is what a message is about: its kind, whose it is and what happened. It gives both the NATS
// subject and the CloudEvents type.
type Topic struct {
	kind  string
	owner string   // an account, or for an operation or identity the identity, or an endpoint
	rest  []string // already escaped
}

// NotificationTopic is gatehouse.notification.{account}.{resource_type}.{action}.
func NotificationTopic(account, resourceType, action string) Topic {
	return Topic{kindNotification, account, []string{Token(strings.ToLower(resourceType)), Token(strings.ToLower(action))}}
}

// EventTopic is gatehouse.event.{account}.{class}.{name}.
func EventTopic(account string, class Class) Topic {
	return Topic{kindEvent, account, []string{Token(class.Class), Token(class.Name)}}
}

// ConnectionTopic is gatehouse.connection.{account}.{status}.
func ConnectionTopic(account, status string) Topic {
	return Topic{kindConnection, account, []string{Token(status)}}
}

// OperationTopic is gatehouse.operation.{identity}.{status}.
func OperationTopic(identity, status string) Topic {
	return Topic{kindOperation, identity, []string{Token(status)}}
}

// IdentityTopic is gatehouse.identity.{identity}.{status}.
func IdentityTopic(identity, status string) Topic {
	return Topic{kindIdentity, identity, []string{Token(status)}}
}

// EndpointTopic is gatehouse.endpoint.{id}.{status}. It belongs to no account.
func EndpointTopic(id, status string) Topic {
	return Topic{kindEndpoint, id, []string{Token(status)}}
}

// AuditHeadTopic is gatehouse.audit.head, which belongs to nobody and is in no stream.
func AuditHeadTopic() Topic { return Topic{kind: kindAudit, rest: []string{"head"}} }

// Subject is the NATS subject.
func (t Topic) Subject() string {
	if t.kind == kindAudit {
		return t.Type()
	}
	return prefix + "." + t.kind + "." + Token(t.owner) + "." + strings.Join(t.rest, ".")
}

// Type is the CloudEvents type: the subject without the account or identity.
func (t Topic) Type() string {
	return prefix + "." + t.kind + "." + strings.Join(t.rest, ".")
}

func (t Topic) source() string {
	owner := Token(t.owner)
	if owner == emptyToken || strings.HasPrefix(owner, hashedPrefix) {
		owner = "%25" + owner[1:] // a source is a URI reference, in which these would not be escapes
	}
	switch {
	case ofIdentity(t.kind):
		return "/doordeck/identities/" + owner
	case t.kind == kindEndpoint:
		return "/gatehouse/endpoints/" + owner
	case t.kind == kindAudit:
		return "/gatehouse"
	}
	return "/doorflow/accounts/" + owner
}

// account is the DoorFlow account that the topic belongs to, "" if it belongs to none. One that cannot
// be an account, too long or with bytes that a database refuses, is named by its token.
func (t Topic) account() string {
	switch {
	case ofIdentity(t.kind), t.kind == kindEndpoint, t.kind == kindAudit:
		return ""
	case len(t.owner) > maxToken || !plain(t.owner):
		return Token(t.owner)
	}
	return t.owner
}

// ofIdentity tells whether what is said of this kind belongs to an identity, and not to an account.
func ofIdentity(kind string) bool { return kind == kindOperation || kind == kindIdentity }

// identityToken is the token of the identity that a subject is about, if it is about one.
func identityToken(subject string) (token string, ok bool) {
	rest, ok := strings.CutPrefix(subject, prefix+".")
	if !ok {
		return "", false
	}
	kind, rest, _ := strings.Cut(rest, ".")
	if !ofIdentity(kind) {
		return "", false
	}
	token, _, ok = strings.Cut(rest, ".")
	return token, ok
}

// Token escapes a string from outside into one token of a NATS subject. Letters, digits, `-` and `_`
// stand for themselves, every other byte is `%XX`; an empty string is `%`. No input can therefore end a
// token, be a wildcard, or read like the escape of another. What is too long becomes `%h` and a hash.
func Token(s string) string {
	if s == "" {
		return emptyToken
	}
	if len(s) > maxToken {
		sum := sha256.Sum256([]byte(s))
		return hashedPrefix + hex.EncodeToString(sum[:16])
	}
	plain := true
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isTokenByte(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

func isTokenByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_'
}

// ErrPattern says that a subject pattern cannot match any subject.
var ErrPattern = errors.New("a subject pattern has tokens between dots; `*` stands for one of them, a last `>` for all that follow")

// Pattern is a NATS subject pattern, such as gatehouse.event.*.access.>.
type Pattern struct{ tokens []string }

// ParsePattern checks and splits a pattern. The empty pattern matches everything.
func ParsePattern(s string) (Pattern, error) {
	if s == "" {
		return Pattern{}, nil
	}
	if len(s) > 512 {
		return Pattern{}, ErrPattern
	}
	tokens := strings.Split(s, ".")
	for i, t := range tokens {
		wildcard := t == "*" || (t == ">" && i == len(tokens)-1)
		if t == "" || (!wildcard && strings.ContainsAny(t, "*> \t\r\n\x00")) {
			return Pattern{}, ErrPattern
		}
	}
	return Pattern{tokens}, nil
}

// Match tells whether a subject fits the pattern, by NATS's rules.
func (p Pattern) Match(subject string) bool {
	if len(p.tokens) == 0 {
		return true
	}
	rest := subject
	for i, t := range p.tokens {
		if t == ">" {
			return rest != ""
		}
		head, tail, more := strings.Cut(rest, ".")
		if rest == "" || (t != "*" && t != head) {
			return false
		}
		if rest = tail; !more {
			return i == len(p.tokens)-1
		}
	}
	return false
}

// Spoken tells whether the pattern could match anything that the gateway says: audit heads, commands and asks
// never pass through the log.
func (p Pattern) Spoken() bool {
	fits := func(i int, words ...string) bool {
		return len(p.tokens) == 0 || p.tokens[len(p.tokens)-1] == ">" && len(p.tokens)-1 <= i ||
			i < len(p.tokens) && (p.tokens[i] == "*" || slices.Contains(words, p.tokens[i]))
	}
	return fits(0, prefix) && fits(1, SpokenKinds()...)
}

// like is what every match is LIKE, with ! before what stands for itself, for a database to narrow its search by; ""
// narrows nothing.
func (p Pattern) like() string {
	tokens := make([]string, len(p.tokens))
	for i, t := range p.tokens {
		if t == "*" || t == ">" {
			tokens[i] = "%"
		} else {
			tokens[i] = escaped.Replace(t)
		}
	}
	return strings.Join(tokens, ".")
}

var escaped = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")
