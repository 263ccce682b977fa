package doorflowsim

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// oauthError is an error of RFC 6749, section 5.2.
type oauthError struct {
	status            int
	code, description string
}

func invalidRequest(description string) *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_request", description}
}

func invalidGrant() *oauthError {
	return &oauthError{
		http.StatusBadRequest, "invalid_grant",
		"The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client.",
	}
}

func invalidScope() *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_scope", "The requested scope is invalid, unknown, or malformed."}
}

// tokenReply is the answer to an exchange and to a refresh.
type tokenReply struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
	CreatedAt    int64  `json:"created_at"`
}

func (s *Sim) token(w http.ResponseWriter, r *http.Request) {
	s.noteOrigin(r)
	s.counts.add(func(c *Stats) { c.TokenRequests++ })
	if !pause(r.Context(), s.faults.tokenDelay()) {
		return
	}
	if f := s.faults.failToken(); f != nil {
		f.write(w)
		return
	}
	reply, fail := s.grantToken(r)
	if s.faults.dropTokenReply() {
		// The grant was processed and nobody hears of it: the case that loses a rotated token.
		panic(http.ErrAbortHandler)
	}
	if fail != nil {
		s.o.Log.Info("token request refused", "status", fail.status, "error", fail.code)
		writeOAuthError(w, fail)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, reply)
}

// grantToken does what the token endpoint is for; the request's body has a bound already.
func (s *Sim) grantToken(r *http.Request) (*tokenReply, *oauthError) {
	if err := r.ParseForm(); err != nil {
		return nil, invalidRequest("The request could not be read.")
	}
	p := r.PostForm // never the query: secrets do not belong into URLs
	for name, values := range p {
		if len(values) > 1 {
			return nil, invalidRequest("Parameter given more than once: " + name)
		}
	}
	if fail := s.authenticate(r.Header.Get("Authorization"), p); fail != nil {
		return nil, fail
	}
	switch p.Get("grant_type") {
	case "":
		return nil, invalidRequest("Missing required parameter: grant_type.")
	case "authorization_code":
		return s.exchange(p)
	case "refresh_token":
		reply, fail := s.refresh(p)
		s.counts.add(func(c *Stats) {
			if fail != nil {
				c.RefreshFailures++
			} else {
				c.Refreshes++
			}
		})
		return reply, fail
	}
	return nil, &oauthError{
		http.StatusBadRequest, "unsupported_grant_type",
		"The authorization grant type is not supported by the authorization server.",
	}
}

// authenticate takes the client's credentials from the body, as documented, or from Basic, never from both.
func (s *Sim) authenticate(header string, p url.Values) *oauthError {
	id, secret := p.Get("client_id"), p.Get("client_secret")
	if header != "" {
		if secret != "" || id != "" && id != s.o.ClientID {
			return invalidRequest("The client authenticated in more than one way.")
		}
		if s.isClient(header) {
			return nil
		}
		id = ""
	}
	if id == s.o.ClientID && secret == s.o.ClientSecret {
		return nil
	}
	return &oauthError{
		http.StatusUnauthorized, "invalid_client",
		"Client authentication failed due to unknown client, no client authentication included, or unsupported authentication method.",
	}
}

func (s *Sim) exchange(p url.Values) (*tokenReply, *oauthError) {
	for _, name := range []string{"code", "redirect_uri"} {
		if p.Get(name) == "" {
			return nil, invalidRequest("Missing required parameter: " + name + ".")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code, ok := s.codes[p.Get("code")]
	if !ok || !s.now().Before(code.expires) || code.redirectURI != p.Get("redirect_uri") ||
		!verifierFits(p.Get("code_verifier"), code.challenge) {
		return nil, invalidGrant()
	}
	delete(s.codes, p.Get("code"))
	s.counts.add(func(c *Stats) { c.Exchanges++ })
	return s.reply(s.grants.issue(code.account, code.scopes, s.now(), s.o.TokenLifetime)), nil
}

// verifierFits also refuses a verifier without a challenge: somebody has removed the challenge on the way.
func verifierFits(verifier, challenge string) bool {
	if verifier == "" || challenge == "" {
		return verifier == challenge
	}
	digest := sha256.Sum256([]byte(verifier))
	return len(verifier) >= 43 && len(verifier) <= 128 &&
		base64.RawURLEncoding.EncodeToString(digest[:]) == challenge
}

// refresh holds the lock throughout, so that of parallel refreshes with one token exactly one succeeds.
func (s *Sim) refresh(p url.Values) (*tokenReply, *oauthError) {
	if p.Get("refresh_token") == "" {
		return nil, invalidRequest("Missing required parameter: refresh_token.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.grants.byRefresh[p.Get("refresh_token")]
	if !ok || old.revoked {
		return nil, invalidGrant()
	}
	scopes := old.scopes
	if asked := strings.Fields(p.Get("scope")); len(asked) > 0 {
		for _, scope := range asked {
			if !slices.Contains(old.scopes, scope) {
				return nil, invalidScope()
			}
		}
		scopes = asked
	}
	record := s.grants.issue(old.account, scopes, s.now(), s.o.TokenLifetime)
	if s.o.Rotation == RotateGrace {
		record.previous = old
	} else {
		s.grants.revoke(old)
	}
	return s.reply(record), nil
}

func (s *Sim) reply(g *grant) *tokenReply {
	return &tokenReply{
		AccessToken: g.access, TokenType: "Bearer", ExpiresIn: int(s.o.TokenLifetime.Seconds()),
		RefreshToken: g.refresh, Scope: strings.Join(g.scopes, " "), CreatedAt: g.created.Unix(),
	}
}
