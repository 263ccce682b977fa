package doordecksim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// audience is whom tokens have to be for.
const audience = "https://api.doordeck.com"

// token is an auth token that was found good.
type token struct {
	app     *application
	subject string // the application's own id of the user; in a token of Doordeck's the user's id
	iat     float64
	profile profile
	sid     string // of a token that Doordeck issued
	refresh bool
	claims  object
}

// authenticate checks the request's token and finds its user, who is made if new. It returns what is wrong,
// for the log.
func (c *call) authenticate(want access) (reason string) {
	scheme, compact, found := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "no bearer token"
	}
	t, reason := c.sim.checkToken(strings.TrimSpace(compact), c.now)
	if reason != "" {
		return reason
	}
	if t.refresh != (want == withRefresh) {
		return "a refresh token is good at /auth/token/refresh and nowhere else"
	}
	c.token = t
	c.user, reason = c.sim.userOf(t)
	return reason
}

// maxToken bounds a token, because people are remembered with what it says of them.
const maxToken = 16 << 10

// checkToken decides on a token.
func (s *Sim) checkToken(compact string, now time.Time) (*token, string) {
	if len(compact) > maxToken {
		return nil, "it is too long"
	}
	j, err := parseJWS(compact, s.o.Strict)
	if err != nil {
		return nil, err.Error()
	}
	issuer, _ := j.payload.text("iss")
	app := s.apps[issuer]
	if app == nil {
		return nil, "the issuer is not registered"
	}
	kid, _ := j.header.text("kid")
	algorithm, _ := j.header.text("alg")
	key, known := app.keys[kid]
	switch {
	case !known:
		return nil, "the kid is not registered"
	case key.Algorithm != "" && key.Algorithm != algorithm, j.header.has("crit"):
		return nil, "the header asks for something that the key does not have"
	}
	if err := j.verify(algorithm, key.Public); err != nil {
		return nil, err.Error()
	}
	return readToken(app, j.payload, now)
}

// readToken checks the claims of a token whose signature is good.
func readToken(app *application, claims object, now time.Time) (*token, string) {
	t := &token{app: app, claims: claims, profile: readProfile(claims)}
	t.subject, _ = claims.text("sub")
	exp, hasExp := claims.number("exp")
	iat, hasIat := claims.number("iat")
	t.iat = iat
	switch {
	case t.subject == "" || len(t.subject) > 1024:
		return nil, "sub has to have 1 to 1024 bytes"
	case !hasExp || !hasIat:
		return nil, "exp and iat have to be numbers"
	case exp <= seconds(now):
		return nil, "it has expired"
	}
	if app.own {
		t.sid, _ = claims.text("sid")
		t.refresh, _ = claims.flag("refresh")
		return t, ""
	}
	switch {
	case !slices.Contains(audiences(claims["aud"]), audience):
		return nil, "aud does not name " + audience
	case t.profile.Email == "" && t.profile.Telephone == "":
		return nil, "it has neither email nor telephone"
	}
	return t, ""
}

// audiences reads a string or a list of strings.
func audiences(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// profile is what a token says about a person.
type profile struct {
	Email, Telephone, Name           string
	EmailVerified, TelephoneVerified bool
}

func readProfile(claims object) (p profile) {
	p.Email, _ = claims.text("email")
	p.Telephone, _ = claims.text("telephone")
	p.Name, _ = claims.text("name")
	p.EmailVerified, _ = claims.flag("email_verified")
	p.TelephoneVerified, _ = claims.flag("telephone_verified")
	return p
}

// seconds is a time as claims write it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// echoToken shows what the service has read.
func echoToken(c *call) reply { return ok(c.token.claims) }
