package doordecksim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// maxAudit bounds the audit entries kept per lock; the oldest are forgotten.
const maxAudit = 5_000

// auditEntry is something that happened at a lock.
type auditEntry struct {
	DeviceID        string       `json:"deviceId"`
	Timestamp       *json.Number `json:"timestamp"`
	Type            string       `json:"type"`
	Issuer          *auditPerson `json:"issuer,omitempty"`
	Subject         *auditPerson `json:"subject,omitempty"`
	Rejected        bool         `json:"rejected"`
	RejectionReason string       `json:"rejectionReason,omitempty"`

	at              time.Time
	issuer, subject *user // who did it, and to whom
}

type auditPerson struct {
	UserID      string `json:"userId"`
	Email       string `json:"email,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
}

func (u *user) audited() *auditPerson {
	if u == nil {
		return nil
	}
	return &auditPerson{UserID: u.id, Email: u.profile.Email, DisplayName: u.profile.Name}
}

func (l *lock) log(e auditEntry) {
	e.DeviceID = l.ID
	if len(l.audit) >= maxAudit {
		l.audit = l.audit[1:]
	}
	l.audit = append(l.audit, e)
}

// lockLog shows administrators what happened at a lock, newest first.
func lockLog(c *call) reply {
	l, m, problem := c.theLock()
	if problem != nil {
		return *problem
	}
	if m.Role != RoleAdmin {
		return fail(http.StatusForbidden, "only administrators see the log")
	}
	return c.log([]*lock{l}, func(auditEntry) bool { return true })
}

// userLog shows what somebody did, or had done to them, at the caller's locks.
func userLog(c *call) reply {
	u := c.sim.people.get(c.r.PathValue("id"))
	if u == nil {
		return notFound("there is no such user")
	}
	mine := c.mine(func(m *Member) bool { return m.Role == RoleAdmin })
	return c.log(mine, func(e auditEntry) bool { return e.issuer == u || e.subject == u })
}

func (c *call) log(locks []*lock, wanted func(auditEntry) bool) reply {
	start, validStart := c.bound("start", time.Unix(0, 0))
	end, validEnd := c.bound("end", c.now)
	if !validStart || !validEnd {
		return badRequest("start and end have to be epoch seconds")
	}
	entries := []auditEntry{}
	for _, l := range locks {
		for _, e := range l.audit {
			if e.at.Before(start) || e.at.After(end) || !wanted(e) {
				continue
			}
			e.Timestamp, e.Issuer, e.Subject = c.seconds(e.at), e.issuer.audited(), e.subject.audited()
			entries = append(entries, e)
		}
	}
	slices.SortStableFunc(entries, func(a, b auditEntry) int { return b.at.Compare(a.at) })
	return ok(entries)
}

func (c *call) bound(name string, otherwise time.Time) (time.Time, bool) {
	if !c.query.Has(name) {
		return otherwise, true
	}
	value, err := strconv.ParseFloat(c.query.Get(name), 64)
	if err != nil {
		return time.Time{}, false
	}
	return epoch(value)
}

// Audit is one entry of a lock's log, for tests.
type Audit struct {
	At              time.Time `json:"at"`
	Type            string    `json:"type"`
	Issuer          string    `json:"issuer,omitempty"`  // Doordeck user id
	Subject         string    `json:"subject,omitempty"` // likewise
	Rejected        bool      `json:"rejected"`
	RejectionReason string    `json:"rejection_reason,omitempty"`
}

// Audit lists what happened at a lock, oldest first; nil for an unknown one.
func (s *Sim) Audit(lockID string) (entries []Audit) {
	s.locked(func() {
		l := s.locks.get(lockID)
		if l == nil {
			return
		}
		for _, e := range l.audit {
			a := Audit{At: e.at, Type: e.Type, Rejected: e.Rejected, RejectionReason: e.RejectionReason}
			if e.issuer != nil {
				a.Issuer = e.issuer.id
			}
			if e.subject != nil {
				a.Subject = e.subject.id
			}
			entries = append(entries, a)
		}
	})
	return entries
}
