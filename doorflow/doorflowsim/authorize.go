package doorflowsim

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// codeLifetime is documented: https://developer.doorflow.com/guides/authentication/oauth-flow
const codeLifetime = 10 * time.Minute

// authCode is what a code stands for until it is exchanged.
type authCode struct {
	account, redirectURI, challenge string
	scopes                          []string
	expires                         time.Time
}

// authorizeError is an error that may be told to the client by redirecting.
type authorizeError struct{ code, description string }

// authorize shows the consent page (GET) and takes its answer (POST). Both carry the same parameters.
func (s *Sim) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.refuse(w, "The request could not be read.")
		return
	}
	p := r.Form
	// Only a registered address may be redirected to, so these two come first and are answered in HTML.
	if p.Get("client_id") != s.o.ClientID {
		s.refuse(w, "Client authentication failed due to unknown client.")
		return
	}
	if !slices.Contains(s.o.RedirectURIs, p.Get("redirect_uri")) {
		s.refuse(w, "The requested redirect uri is malformed or doesn't match client redirect URI.")
		return
	}
	if e := checkAuthorize(p); e != nil {
		redirectBack(w, r, p, url.Values{"error": {e.code}, "error_description": {e.description}})
		return
	}
	switch {
	case r.Method == http.MethodGet && !s.o.SkipConsent:
		s.showConsent(w, p)
	case r.Method == http.MethodPost && p.Get("decision") != "allow":
		redirectBack(w, r, p, url.Values{
			"error":             {"access_denied"},
			"error_description": {"The resource owner or authorization server denied the request."},
		})
	default:
		s.allow(w, r, p)
	}
}

func checkAuthorize(p url.Values) *authorizeError {
	for _, name := range []string{"response_type", "scope", "state", "redirect_uri", "client_id", "code_challenge"} {
		if len(p[name]) > 1 {
			return &authorizeError{"invalid_request", "Parameter given more than once: " + name}
		}
	}
	challenge, method := p.Get("code_challenge"), p.Get("code_challenge_method")
	switch {
	case p.Get("response_type") == "":
		return &authorizeError{"invalid_request", "Missing required parameter: response_type."}
	case p.Get("response_type") != "code":
		return &authorizeError{"unsupported_response_type", "The authorization server does not support this response type."}
	case p.Get("scope") == "":
		return &authorizeError{"invalid_request", "Missing required parameter: scope."}
	case challenge != "" && method != "S256", challenge == "" && method != "":
		return &authorizeError{"invalid_request", "The code_challenge_method must be S256."}
	case challenge != "" && !isChallenge(challenge):
		return &authorizeError{"invalid_request", "The code_challenge is not that of an S256 digest."}
	}
	if _, ok := parseScopes(p.Get("scope")); !ok {
		return &authorizeError{"invalid_scope", "The requested scope is invalid, unknown, or malformed."}
	}
	return nil
}

func isChallenge(s string) bool {
	digest, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(digest) == 32
}

// allow issues a code for the chosen account.
func (s *Sim) allow(w http.ResponseWriter, r *http.Request, p url.Values) {
	scopes, _ := parseScopes(p.Get("scope")) // checked before
	s.mu.Lock()
	id := p.Get("account")
	if id == "" && s.o.SkipConsent {
		id = AccountA
	}
	if s.accounts[id] == nil {
		s.mu.Unlock()
		s.refuse(w, "Choose one of the accounts.")
		return
	}
	now := s.now()
	maps.DeleteFunc(s.codes, func(_ string, c authCode) bool { return !now.Before(c.expires) })
	code := rand.Text()
	s.codes[code] = authCode{
		account: id, redirectURI: p.Get("redirect_uri"), challenge: p.Get("code_challenge"),
		scopes: scopes, expires: now.Add(codeLifetime),
	}
	s.mu.Unlock()
	redirectBack(w, r, p, url.Values{"code": {code}})
}

// redirectBack sends the browser to the client with the answer and, if there was one, its state.
func redirectBack(w http.ResponseWriter, r *http.Request, p, answer url.Values) {
	target, err := url.Parse(p.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "redirect URI cannot be parsed", http.StatusBadRequest)
		return
	}
	if p.Has("state") {
		answer.Set("state", p.Get("state"))
	}
	query := target.Query()
	maps.Copy(query, answer)
	target.RawQuery = query.Encode()
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target.String(), http.StatusFound)
}
