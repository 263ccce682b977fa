package webhooks

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"gatehouse/events"
	"gatehouse/standardwebhooks"
)

// Why an endpoint is disabled.
const (
	// DisabledByHand: somebody asked for it.
	DisabledByHand = "by_hand"
	// DisabledGone: it answered 410, with which an endpoint says that it wants nothing any more.
	DisabledGone = "gone"
	// DisabledFailing: nothing has reached it for too long.
	DisabledFailing = "failing"
)

// Endpoint is a URL of a building-management system that wants messages. It is never changed once it is made,
// and shared by those who use it.
type Endpoint struct {
	ID          string `json:"id"`
	URL         string `json:"url"`
	Description string `json:"description"`
	// Subjects are NATS subject patterns: it wants what matches any of them.
	Subjects []string `json:"subjects"`
	Enabled  bool     `json:"enabled"`
	// DisabledReason is one of the words above, "" while it is enabled.
	DisabledReason string `json:"disabled_reason,omitempty"`
	// Ordered endpoints get one message at a time, in the order in which they were said.
	Ordered bool `json:"ordered"`
	// Concurrency is how many deliveries may be under way at once where they are not ordered.
	Concurrency int `json:"concurrency"`
	// Accounts and Identities are the limits of the key that made it, to which it is held for good; nil means all,
	// an empty list none.
	Accounts   []string `json:"accounts,omitzero"`
	Identities []string `json:"identities,omitzero"`
	// MadeBy is the name of that key.
	MadeBy string `json:"made_by"`
	// OldSecretUntil is how long the secret before the last rotation signs too.
	OldSecretUntil time.Time `json:"old_secret_until,omitzero"`
	// FailingSince is when it failed first after it had succeeded last, and Failures how often since.
	FailingSince  time.Time `json:"failing_since,omitzero"`
	Failures      int64     `json:"failures"`
	LastError     string    `json:"last_error,omitempty"`
	LastSuccessAt time.Time `json:"last_success_at,omitzero"`
	LastFailureAt time.Time `json:"last_failure_at,omitzero"`
	CreatedAt     time.Time `json:"created_at"`
	ChangedAt     time.Time `json:"changed_at"`

	wants     []events.Filter
	began     map[int64]int64 // where each writer's log stood
	secrets   []signingSecret
	unsealing error
}

// Name is what people call it: its description, else the host of its URL.
func (e *Endpoint) Name() string { return cmp.Or(e.Description, hostOf(e.URL)) }

type signingSecret struct {
	secret standardwebhooks.Secret
	until  time.Time // zero for the current one
}

// Wants tells whether a message of that account and subject is for the endpoint: it matches one of its patterns,
// and its maker might see it.
func (e *Endpoint) Wants(account, subject string) bool {
	return slices.ContainsFunc(e.wants, func(f events.Filter) bool { return f.Match(account, subject) })
}

// After tells whether a row of the log is later than the endpoint's making, or than the last time it was enabled.
// What was committed together with either may count as later.
func (e *Endpoint) After(writer, seq int64) bool { return seq > e.began[writer] }

// errNoSecret says that an endpoint's secret cannot be opened: the database was changed by hand, or the key is gone.
var errNoSecret = errors.New("webhooks: the endpoint's secret cannot be opened; rotate it")

// Secrets are what its deliveries are signed with: the current secret first, then the one before the last rotation
// for as long as receivers may still go by it.
func (e *Endpoint) Secrets(now time.Time) ([]standardwebhooks.Secret, error) {
	if e.unsealing != nil {
		return nil, e.unsealing
	}
	var all []standardwebhooks.Secret
	for _, s := range e.secrets {
		if s.until.IsZero() || now.Before(s.until) {
			all = append(all, s.secret)
		}
	}
	return all, nil
}

// Limits are the accounts and identities that somebody is held to; nil means all, an empty list none. Who is held
// to accounts and says nothing of identities has none, as in events.Filter.
type Limits struct{ Accounts, Identities []string }

// none tells that nothing is limited.
func (l Limits) none() bool { return l.Accounts == nil && l.Identities == nil }

// within tells whether whatever passes l passes other too.
func (l Limits) within(other Limits) bool {
	if other.none() {
		return true
	}
	return !l.none() && narrower(l.Accounts, other.Accounts) && narrower(l.identities(), other.identities())
}

func (l Limits) identities() []string {
	if l.Identities == nil && l.Accounts != nil {
		return []string{}
	}
	return l.Identities
}

func narrower(list, than []string) bool {
	if than == nil {
		return true
	}
	return list != nil && !slices.ContainsFunc(list, func(id string) bool { return !slices.Contains(than, id) })
}

func (e *Endpoint) limits() Limits { return Limits{e.Accounts, e.Identities} }
