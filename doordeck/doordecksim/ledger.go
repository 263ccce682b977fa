package doordecksim

import (
	"context"
	"slices"
	"time"
)

// Bounds of what is remembered; the oldest is forgotten.
const (
	maxLedger  = 20_000
	maxTargets = 200_000 // of all entries together
	maxNoted   = 200     // bytes of a jti or a type
)

// What became of an operation.
const (
	Refused = "refused"
	Applied = "applied" // at once, or after having been queued
	Queued  = "queued"
	Dropped = "dropped" // it was queued, and too old before its lock could take it
)

// LedgerEntry says what became of one call of /execute whose auth token was good.
type LedgerEntry struct {
	At        time.Time `json:"at"`
	Lock      string    `json:"lock"`   // of the path
	Caller    string    `json:"caller"` // Doordeck user id of the auth token
	JTI       string    `json:"jti"`    // as claimed, whether proven or not
	Operation string    `json:"operation"`
	Expires   int64     `json:"expires"` // exp as claimed, epoch seconds
	// Targets are the people of an operation that got as far as having its fields read.
	Targets []Member `json:"targets"`
	// Status is what the rules answered. A fault may have answered something else, or nothing.
	Status  int    `json:"status"`
	Outcome string `json:"outcome"`
	// Step is the number of the check that refused, Check its name, and Reason what it found; 0 and "" if none did.
	Step   int    `json:"step"`
	Check  string `json:"check"`
	Reason string `json:"reason"`
	// Order numbers applied operations as they took effect, from 1; 0 for one that did not.
	Order int `json:"order"`
	// Settled is when it was applied or dropped.
	Settled time.Time `json:"settled,omitzero"`
}

// ledger remembers operations. Sim.mu guards it.
type ledger struct {
	entries []*LedgerEntry
	targets int
	order   int
	changed chan struct{} // closed and replaced whenever something above has changed
}

func newLedger() ledger { return ledger{changed: make(chan struct{})} }

// note takes down what an unproven token says of itself.
func (e *LedgerEntry) note(payload object) {
	jti, _ := payload.text("jti")
	e.JTI = jti[:min(len(jti), maxNoted)]
	if exp, isNumber := payload.number("exp"); isNumber {
		if at, sane := epoch(exp); sane {
			e.Expires = at.Unix()
		}
	}
	if o, err := parseObject(payload["operation"]); err == nil {
		kind, _ := o.text("type")
		e.Operation = kind[:min(len(kind), maxNoted)]
	}
}

func (l *ledger) add(e *LedgerEntry) {
	l.entries = append(l.entries, e)
	l.targets += len(e.Targets)
	for len(l.entries) > maxLedger || (l.targets > maxTargets && len(l.entries) > 1) {
		l.targets -= len(l.entries[0].Targets)
		l.entries = l.entries[1:]
	}
	l.broadcast()
}

func (l *ledger) applied(e *LedgerEntry, at time.Time) {
	l.order++
	e.Outcome, e.Order, e.Settled = Applied, l.order, at
	l.broadcast()
}

func (l *ledger) dropped(e *LedgerEntry, at time.Time, reason string) {
	e.Outcome, e.Reason, e.Settled = Dropped, reason, at
	l.broadcast()
}

func (l *ledger) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *ledger) copied() []LedgerEntry {
	entries := make([]LedgerEntry, 0, len(l.entries))
	for _, e := range l.entries {
		c := *e
		c.Targets = slices.Clone(e.Targets)
		entries = append(entries, c)
	}
	return entries
}

// Ledger lists the operations that were asked for, oldest first.
func (s *Sim) Ledger() (entries []LedgerEntry) {
	s.locked(func() { entries = s.ledger.copied() })
	return entries
}

// JTICount says how many of the operations remembered had a jti.
func (s *Sim) JTICount(jti string) (n int) {
	s.locked(func() {
		for _, e := range s.ledger.entries {
			if e.JTI == jti {
				n++
			}
		}
	})
	return n
}

// WaitLedger waits until the ledger satisfies a condition. What becomes due by time is seen while Run runs.
func (s *Sim) WaitLedger(ctx context.Context, satisfied func([]LedgerEntry) bool) error {
	for {
		var entries []LedgerEntry
		var changed chan struct{}
		s.locked(func() { entries, changed = s.ledger.copied(), s.ledger.changed })
		if satisfied(entries) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// targets are an operation's people as the ledger shows them.
func (op operation) targets() []Member {
	var members []Member
	for _, p := range op.people {
		members = append(members, p.member())
	}
	return members
}
