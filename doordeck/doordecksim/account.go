package doordecksim

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// OwnIssuer is the issuer of the tokens of people who log in instead of being vouched for by an application.
const OwnIssuer = "https://api.doordeck.com/"

const (
	authLife     = 7 * day
	refreshLife  = 60 * day
	maxSessions  = 10_000
	maxText      = 1024 // bytes of an address, a password or a name
	ownAlgorithm = "ES256"
)

// sessions are the logins that have not been ended; the oldest makes room.
type sessions struct {
	key   *ecdsa.PrivateKey
	alive map[string]bool // by sid
	order []string
}

func newSessions() sessions {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("doordecksim: " + err.Error()) // crypto/rand does not fail
	}
	return sessions{key: key, alive: map[string]bool{}}
}

func (s *sessions) live(sid string) bool { return s.alive[sid] }

func (s *sessions) begin() string {
	sid := rand.Text()
	if len(s.order) >= maxSessions {
		delete(s.alive, s.order[0])
		s.order = s.order[1:]
	}
	s.alive[sid] = true
	s.order = append(s.order, sid)
	return sid
}

// ownApplication signs the tokens of people who log in.
func (s *Sim) ownApplication() *application {
	return &application{issuer: OwnIssuer, own: true, keys: map[string]Key{
		"default": {ID: "default", Algorithm: ownAlgorithm, Public: &s.sessions.key.PublicKey},
	}}
}

// AddAccount makes somebody who can log in with a password.
func (s *Sim) AddAccount(email, password, name string) (User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.account(email)
	if err != nil {
		return User{}, err
	}
	u.setPassword(password)
	u.profile.Name = name
	return u.public(), nil
}

// account finds or makes a user of Doordeck's own.
func (s *Sim) account(email string) (*user, error) {
	own := s.apps[OwnIssuer]
	if u := s.people.bySubject[own.issuer+"\x00"+email]; u != nil {
		return u, nil
	}
	u, err := s.makeUser(own, User{Subject: email})
	if err != nil {
		return nil, err
	}
	u.profile = profile{Email: email, EmailVerified: true}
	u.invited = true
	return u, nil
}

func (u *user) setPassword(password string) {
	u.password = new(sha256.Sum256([]byte(password)))
	u.invited = false
}

// credentials are the body of a login and of a registration.
func (c *call) credentials() (email, password string, body object, problem *reply) {
	body, err := parseObject(c.body)
	if err != nil {
		return "", "", nil, new(badRequest(err.Error()))
	}
	email, hasEmail := body.text("email")
	password, hasPassword := body.text("password")
	if !hasEmail || !hasPassword || email == "" || password == "" || len(email) > maxText || len(password) > maxText {
		return "", "", nil, new(badRequest("email and password have to be strings of at most 1024 bytes"))
	}
	return email, password, body, nil
}

func login(c *call) reply {
	email, password, _, problem := c.credentials()
	if problem != nil {
		return *problem
	}
	u := c.sim.people.bySubject[OwnIssuer+"\x00"+email]
	sum := sha256.Sum256([]byte(password))
	if u == nil || u.password == nil || subtle.ConstantTimeCompare(sum[:], u.password[:]) != 1 {
		return unauthorized()
	}
	return c.tokens(u, c.sim.sessions.begin())
}

// register makes an account. Somebody who was invited has to force it.
func register(c *call) reply {
	email, password, body, problem := c.credentials()
	if problem != nil {
		return *problem
	}
	var key ed25519.PublicKey
	if body.has("ephemeralKey") {
		text, _ := body.text("ephemeralKey")
		var valid bool
		if key, valid = parseEphemeral(text); !valid {
			return badRequest("ephemeralKey has to be standard base64 of an Ed25519 public key")
		}
	}
	u := c.sim.people.bySubject[OwnIssuer+"\x00"+email]
	if u != nil && (!u.invited || c.query.Get("force") != "true") {
		return fail(http.StatusConflict, "somebody with this address was invited or is registered")
	}
	u, err := c.sim.account(email)
	if err != nil {
		return fail(http.StatusServiceUnavailable, err.Error())
	}
	u.setPassword(password)
	u.profile.Name, _ = body.text("displayName")
	u.profile.Name = u.profile.Name[:min(len(u.profile.Name), maxText)]
	if key != nil {
		c.sim.people.verified(u, key)
	}
	return c.tokens(u, c.sim.sessions.begin())
}

func refresh(c *call) reply { return c.tokens(c.user, c.token.sid) }

// logout ends the session of a token that Doordeck issued; another has none.
func logout(c *call) reply {
	if c.token.sid == "" {
		return badRequest("this token has no session")
	}
	delete(c.sim.sessions.alive, c.token.sid)
	return reply{status: http.StatusNoContent}
}

func (c *call) tokens(u *user, sid string) reply {
	auth, err := c.sim.ownToken(u, sid, false, authLife)
	if err != nil {
		return fail(http.StatusInternalServerError, err.Error())
	}
	answer := map[string]string{"authToken": auth}
	if !c.sim.faults.omitRefreshToken() {
		if answer["refreshToken"], err = c.sim.ownToken(u, sid, true, refreshLife); err != nil {
			return fail(http.StatusInternalServerError, err.Error())
		}
	}
	return ok(answer)
}

func (s *Sim) ownToken(u *user, sid string, refresh bool, life time.Duration) (string, error) {
	now := s.now()
	payload, err := json.Marshal(map[string]any{
		"iss": OwnIssuer, "sub": u.id, "iat": now.Unix(), "exp": now.Add(life).Unix(),
		"session": derivedID("session", sid), "sid": sid, "refresh": refresh,
	})
	if err != nil {
		return "", fmt.Errorf("encoding a token: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256","kid":"default","typ":"JWT"}`)) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, s.sessions.key, digest[:])
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return signed + "." + encode(signature), nil
}

func getAccount(c *call) reply {
	return ok(map[string]any{
		"publicKey": c.user.publicKey, "email": c.user.profile.Email, "displayName": c.user.profile.Name,
		"emailVerified": c.user.profile.EmailVerified,
	})
}
