package doorflowsim

import (
	"crypto/rand"
	"maps"
	"slices"
	"time"
)

// maxGrants bounds what is remembered of dead tokens. Forgetting one only changes the words of its 401.
const maxGrants = 20_000

// grant is one record: an access token and the refresh token issued with it live and die together.
type grant struct {
	account         string
	scopes          []string
	access, refresh string
	created         time.Time
	expires         time.Time // of the access token; the refresh token has no end
	revoked         bool
	// previous is the record this one replaced and that its first use revokes. Only with RotateGrace.
	previous *grant
	seq      int
}

// grants indexes the records by each token.
type grants struct {
	byAccess, byRefresh map[string]*grant
	live                map[string][]*grant // by account, oldest first
	seq                 int
}

func newGrants() grants {
	return grants{byAccess: map[string]*grant{}, byRefresh: map[string]*grant{}, live: map[string][]*grant{}}
}

func (g *grants) issue(account string, scopes []string, now time.Time, lifetime time.Duration) *grant {
	if len(g.byAccess) >= maxGrants {
		g.forgetDead()
	}
	g.seq++
	record := &grant{
		account: account, scopes: scopes, access: "at_" + rand.Text(), refresh: "rt_" + rand.Text(),
		created: now, expires: now.Add(lifetime), seq: g.seq,
	}
	g.byAccess[record.access], g.byRefresh[record.refresh] = record, record
	g.live[account] = append(g.live[account], record)
	return record
}

// forgetDead drops revoked records, and the older half when hardly any was revoked.
func (g *grants) forgetDead() {
	old := g.seq - maxGrants/2
	for _, r := range g.byAccess {
		if r.seq < old {
			g.revoke(r)
		}
	}
	dead := func(_ string, r *grant) bool { return r.revoked }
	maps.DeleteFunc(g.byAccess, dead)
	maps.DeleteFunc(g.byRefresh, dead)
}

// revoke ends both tokens of a record.
func (g *grants) revoke(r *grant) {
	r.revoked = true
	g.live[r.account] = slices.DeleteFunc(g.live[r.account], func(l *grant) bool { return l == r })
}

// covers says whether a live record of the account has one of the scopes.
func (g *grants) covers(account string, needed ...string) bool {
	for _, r := range g.live[account] {
		if allows(r.scopes, needed) {
			return true
		}
	}
	return false
}

// use looks an access token up for a request. The reason is what a 401 says.
func (g *grants) use(access string, now time.Time) (r *grant, reason string) {
	r, ok := g.byAccess[access]
	switch {
	case access == "" || !ok:
		return nil, "The access token is invalid"
	case r.revoked:
		return nil, "The access token was revoked"
	case !now.Before(r.expires):
		return nil, "The access token expired"
	}
	if r.previous != nil {
		g.revoke(r.previous)
		r.previous = nil
	}
	return r, ""
}

// Grant makes a token pair without the browser. Unknown scopes are kept: a test may want them.
func (s *Sim) Grant(account string, scopes ...string) (access, refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.grants.issue(account, scopes, s.now(), s.o.TokenLifetime)
	return r.access, r.refresh
}

// LiveRefreshToken returns the account's newest refresh token that still works, or "".
func (s *Sim) LiveRefreshToken(account string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := s.grants.live[account]
	if len(live) == 0 {
		return ""
	}
	return live[len(live)-1].refresh
}

// ExpireAccessTokens lets the account's access tokens expire now; refreshing still works.
func (s *Sim) ExpireAccessTokens(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.grants.live[account] {
		r.expires = s.now()
	}
}

// RevokeGrant is the user disconnecting the application: all tokens die and webhooks stop.
func (s *Sim) RevokeGrant(account string) {
	s.mu.Lock()
	for _, r := range slices.Clone(s.grants.live[account]) {
		s.grants.revoke(r)
	}
	s.purge()
	s.mu.Unlock()
}
