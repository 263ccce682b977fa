package doorflowsim

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// revoke answers 200 for unknown tokens too, so that nobody can probe for valid ones.
func (s *Sim) revoke(w http.ResponseWriter, r *http.Request) {
	s.counts.add(func(c *Stats) { c.Revokes++ })
	if !s.isClient(r.Header.Get("Authorization")) {
		writeOAuthError(w, &oauthError{
			http.StatusForbidden, "unauthorized_client",
			"You are not authorized to revoke this token",
		})
		return
	}
	if err := r.ParseForm(); err != nil {
		writeOAuthError(w, invalidRequest("The request could not be read."))
		return
	}
	token := r.PostForm.Get("token")
	s.mu.Lock()
	for _, index := range []map[string]*grant{s.grants.byRefresh, s.grants.byAccess} {
		if record, ok := index[token]; ok {
			// Either token takes the record, and with it the other token and the webhooks.
			s.grants.revoke(record)
		}
	}
	s.purge()
	s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, struct{}{})
}

// isClient checks a Basic header. The API description asks for URL-safe Base64, the SDK sends the standard
// alphabet; OAuth libraries form-encode id and secret first, the SDK does not. All are accepted.
func (s *Sim) isClient(header string) bool {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return false
	}
	encoded = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(encoded), "=")
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return false
	}
	id, secret, ok := strings.Cut(string(raw), ":")
	return ok && same(id, s.o.ClientID) && same(secret, s.o.ClientSecret)
}

func same(given, want string) bool {
	decoded, err := url.QueryUnescape(given)
	return given == want || err == nil && decoded == want
}

// tokenInfo tells which account a token belongs to. Unlike in the token reply, scope is an array.
func (s *Sim) tokenInfo(w http.ResponseWriter, r *http.Request) {
	s.counts.add(func(c *Stats) { c.TokenInfo++ })
	s.mu.Lock()
	now := s.now()
	g, reason := s.grants.use(bearer(r), now)
	if g == nil {
		s.mu.Unlock()
		s.unauthorized(w, "invalid_token", reason)
		return
	}
	owner := 0
	if a := s.accounts[g.account]; a != nil {
		owner = a.owner
	}
	s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{
		"resource_owner_id": owner, "account_id": g.account, "scope": g.scopes,
		"expires_in":  int(g.expires.Sub(now).Seconds()),
		"application": map[string]string{"uid": s.o.ClientID}, "created_at": g.created.Unix(),
	})
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}
