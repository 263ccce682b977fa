package doordecksim

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"time"
)

// The ways a code can be sent.
const (
	methodEmail     = "EMAIL"
	methodSMS       = "SMS"
	methodTelephone = "TELEPHONE"
)

// pending is a code that waits to be signed.
type pending struct {
	key     ed25519.PublicKey
	method  string
	code    string
	expires time.Time
}

// Code is a verification code on its way to a user.
type Code struct {
	User    string    `json:"user"` // Doordeck user id
	Subject string    `json:"subject"`
	Method  string    `json:"method"` // EMAIL, SMS or TELEPHONE
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

func sixDigits() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic("doordecksim: " + err.Error()) // crypto/rand does not fail
	}
	return fmt.Sprintf("%06d", n)
}

// ephemeralKey reads the body of the first two calls.
func (c *call) ephemeralKey() (ed25519.PublicKey, *reply) {
	body, err := parseObject(c.body)
	if err != nil {
		return nil, new(badRequest(err.Error()))
	}
	text, isText := body.text("ephemeralKey")
	key, valid := parseEphemeral(text)
	if !isText || !valid {
		return nil, new(badRequest("ephemeralKey has to be standard base64 of a raw or RFC 8410 Ed25519 public key"))
	}
	return key, nil
}

// certify registers a user's first key, and issues certificates for keys that are verified.
func certify(c *call) reply {
	key, problem := c.ephemeralKey()
	if problem != nil {
		return *problem
	}
	known := c.user.has(key) || len(c.user.keys) == 0
	if !known || c.sim.faults.demandCode() {
		return fail(http.StatusLocked, "this key has to be verified with a code first")
	}
	c.sim.people.verified(c.user, key)
	return c.issue(key)
}

// sendCode makes a code and sends it.
func sendCode(c *call) reply {
	key, problem := c.ephemeralKey()
	if problem != nil {
		return *problem
	}
	method := c.method()
	if method == "" {
		return badRequest("the token has no verified contact for this method")
	}
	c.user.expire(c.now)
	if len(c.user.pending) >= c.sim.o.MaxPending {
		return fail(http.StatusTooManyRequests, "too many codes are waiting")
	}
	p := pending{key: key, method: method, code: c.sim.o.NewCode(), expires: c.now.Add(c.sim.o.CodeLife)}
	c.user.pending = append(c.user.pending, p)
	if send := c.sim.o.SendCode; send != nil {
		c.after = func() { send(c.user.code(p)) }
	}
	if c.sim.o.VerifyNoContent {
		return reply{status: http.StatusNoContent}
	}
	return ok(map[string]string{"method": method})
}

// method is how the code goes out, "" if it cannot.
func (c *call) method() string {
	byMail := c.token.contacts(c.user).EmailVerified
	byPhone := c.token.contacts(c.user).TelephoneVerified
	switch asked := c.query.Get("method"); {
	case !c.query.Has("method"):
		if byMail {
			return methodEmail
		}
		if byPhone {
			return methodSMS
		}
	case asked == methodEmail && byMail, (asked == methodSMS || asked == methodTelephone) && byPhone:
		return asked
	}
	return ""
}

// contacts are the verified addresses of a token; those of a token of Doordeck's are the user's.
func (t *token) contacts(u *user) profile {
	p := t.profile
	if t.app.own {
		p = u.profile
	}
	p.EmailVerified = p.EmailVerified && p.Email != ""
	p.TelephoneVerified = p.TelephoneVerified && p.Telephone != ""
	return p
}

// checkCode verifies the key whose signature of a code this is.
func checkCode(c *call) reply {
	body, err := parseObject(c.body)
	if err != nil {
		return badRequest(err.Error())
	}
	text, _ := body.text("verificationSignature")
	signature, valid := decodeStandard(text)
	if !valid || len(signature) != ed25519.SignatureSize {
		return badRequest("verificationSignature has to be standard base64 of an Ed25519 signature")
	}
	c.user.expire(c.now)
	for _, p := range c.user.pending {
		if ed25519.Verify(p.key, []byte(p.code), signature) {
			c.user.pending = nil
			c.sim.people.verified(c.user, p.key)
			return c.issue(p.key)
		}
	}
	return fail(http.StatusForbidden, "no code that was sent has this signature")
}

// expire forgets codes that are too old.
func (u *user) expire(now time.Time) {
	u.pending = slices.DeleteFunc(u.pending, func(p pending) bool { return !now.Before(p.expires) })
}

func (u *user) code(p pending) Code {
	return Code{User: u.id, Subject: u.subject, Method: p.method, Code: p.code, Expires: p.expires}
}

// Code is the newest code that waits for a user, found by id or subject; "" if there is none.
func (s *Sim) Code(idOrSubject string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.find(idOrSubject)
	if u == nil {
		return ""
	}
	u.expire(s.now())
	if len(u.pending) == 0 {
		return ""
	}
	return u.pending[len(u.pending)-1].code
}

// Codes lists all codes that wait, by user and oldest first.
func (s *Sim) Codes() []Code {
	s.mu.Lock()
	defer s.mu.Unlock()
	codes := []Code{}
	for _, u := range s.people.all {
		u.expire(s.now())
		for _, p := range u.pending {
			codes = append(codes, u.code(p))
		}
	}
	return codes
}
