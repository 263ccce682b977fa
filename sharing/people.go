package sharing

import (
	"slices"
	"strings"
	"time"

	"gatehouse/doordeck"
)

// sameTerms tells whether two of an operation's people get the same.
func (p *part) sameTerms(q *part) bool {
	return p.Role == q.Role && p.StartAt == q.StartAt && p.EndAt == q.EndAt
}

// pair finds people who were named more than once, in different ways. Doordeck is asked for each of them once,
// and the outcome is that of all; where they are to get different things the first counts.
func (o *operation) pair() {
	first := map[string]*part{}
	for _, p := range o.parts {
		p.twin = nil
		switch q := first[p.UserID]; {
		case p.UserID == "":
		case q == nil:
			first[p.UserID] = p
		case p.sameTerms(q):
			p.twin = q
		case p.Status == Accepted:
			p.Status, p.Error = Failed, whyTwice
		}
	}
}

// twins gives those who were named twice what became of them.
func (o *operation) twins() {
	for _, p := range o.parts {
		if q := p.twin; q != nil {
			p.Status, p.Error, p.Tries, p.ExpiresAt, p.GuardAt = q.Status, q.Error, q.Tries, q.ExpiresAt, q.GuardAt
		}
	}
}

// usersByID makes a door's list of users searchable.
func usersByID(users []doordeck.LockUser) map[string]doordeck.LockUser {
	has := make(map[string]doordeck.LockUser, len(users))
	for _, u := range users {
		has[strings.ToLower(string(u.ID))] = u
	}
	return has
}

// hasEnded tells whether the time is over for which a person was to have the door.
func (p *part) hasEnded(now int64) bool { return p.EndAt != 0 && now >= p.EndAt }

// holds tells whether a door's list of users shows what was asked for a person.
func (o *operation) holds(p *part, has map[string]doordeck.LockUser, now time.Time) bool {
	u, there := has[p.UserID]
	if o.Type == Revoke {
		return !there
	}
	if !there || string(u.Role) != p.Role || !sameSecond(u.End, when(p.EndAt)) {
		return false
	}
	// A start that is over is as good as none, and may be left out or filled in.
	return sameSecond(u.Start, when(p.StartAt)) || !u.Start.After(now) && !when(p.StartAt).After(now)
}

func sameSecond(a, b time.Time) bool {
	return a.IsZero() == b.IsZero() && (a.IsZero() || a.Unix() == b.Unix())
}

// among tells whether a person is one of others.
func (p *part) among(others []*part) bool {
	return slices.ContainsFunc(others, func(q *part) bool {
		return q.UserID != "" && q.UserID == p.UserID || q.Value != "" && q.AskedBy == p.AskedBy && q.Value == p.Value
	})
}
