package events

import (
	"slices"
	"strings"
	"time"
)

// Filter says which messages somebody wants to see. The zero Filter lets all pass.
type Filter struct {
	Pattern Pattern
	Account string
	// Accounts are those the caller is held to; nil means all.
	Accounts []string
	// Identities are those the caller is held to; nil means all, unless there are Accounts.
	Identities []string
	// Person and Door are an id, or a part of a name in any case; see about.
	Person, Door string
}

// Match tells whether a message of that account and subject passes.
func (f Filter) Match(account, subject string) bool {
	return (f.Account == "" || f.Account == account) && f.allows(account, subject) && f.Pattern.Match(subject)
}

// allows holds a message to the caller's limits. What belongs to no account is hidden from a caller with
// limits of either kind, unless it is of an identity that they name.
func (f Filter) allows(account, subject string) bool {
	switch {
	case f.Accounts == nil && f.Identities == nil:
		return true
	case account != "":
		return f.Accounts == nil || slices.Contains(f.Accounts, account)
	}
	token, ok := identityToken(subject)
	return ok && slices.ContainsFunc(f.Identities, func(identity string) bool { return Token(identity) == token })
}

// where narrows a query to rows that may match; Match has the last word. The subject is compared by
// LIKE, to which case counts on PostgreSQL and not on SQLite, and not by a range, which would follow PostgreSQL's collation.
func (f Filter) where() (clause string, args []any) {
	if f.Account != "" {
		clause, args = clause+` AND account = ?`, append(args, f.Account)
	}
	if f.Accounts != nil {
		clause += ` AND account IN (''` + strings.Repeat(`, ?`, len(f.Accounts)) + `)`
		for _, a := range f.Accounts {
			args = append(args, a)
		}
	}
	if like := f.Pattern.like(); like != "" {
		clause, args = clause+` AND subject LIKE ? ESCAPE '!'`, append(args, like)
	}
	return clause, args
}

func (f Filter) empty() bool {
	return f.Account == "" && f.Person == "" && f.Door == "" && f.Accounts == nil && f.Identities == nil && len(f.Pattern.tokens) == 0
}

// Stored is a message as the log has it.
type Stored struct {
	ID          string
	Subject     string
	Account     string
	CommittedAt time.Time
	Body        []byte // the CloudEvent
}

func (r Row) stored() Stored {
	return Stored{ID: r.ID, Subject: r.Subject, Account: r.Account, CommittedAt: time.UnixMilli(r.At).UTC(), Body: r.Body}
}
