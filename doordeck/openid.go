package doordeck

import (
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Audience is what every auth token names, whichever of Doordeck's environments it is for.
const Audience = "https://api.doordeck.com"

// Person is the user whom an auth token is for: an identity that signs operations, or a visitor who is to be
// known to Doordeck. Doordeck makes or updates its user on any call with the token.
type Person struct {
	// Subject is the OpenID subject, at most 1024 bytes. It is the person's foreign key in the directory.
	Subject string
	// Email or Telephone (E.164) must be there, or both. No two users may have the same.
	Email, Telephone string
	// Doordeck finds people by, and sends codes to, verified addresses only. Say so only of an address that
	// was proven to be the person's.
	EmailVerified, TelephoneVerified bool
	// Name is shown to people; it may be empty.
	Name string
}

// Issuer signs auth tokens with the application's key.
type Issuer struct {
	// URL is the issuer exactly as it is registered for the application, to the case and the last slash.
	URL string
	Key ApplicationKey
	// Clock tells Doordeck's time; nil means the local one.
	Clock *Clock
}

// openid stands in a fixed order, so that the same token comes out for the same person and time (but for EC
// keys, whose signatures are random).
type openid struct {
	Issuer            string `json:"iss"`
	Subject           string `json:"sub"`
	Audience          string `json:"aud"`
	IssuedAt          int64  `json:"iat"`
	Expires           int64  `json:"exp"`
	Email             string `json:"email,omitempty"`
	EmailVerified     bool   `json:"email_verified,omitempty"`
	Telephone         string `json:"telephone,omitempty"`
	TelephoneVerified bool   `json:"telephone_verified,omitempty"`
	Name              string `json:"name,omitempty"`
}

// Token signs an auth token for a person that lives for so long, counted from now.
func (i Issuer) Token(p Person, life time.Duration) (Token, error) {
	if err := errors.Join(i.check(life), p.check()); err != nil {
		return Token{}, err
	}
	now := time.Now()
	if i.Clock != nil {
		now = i.Clock.Now()
	}
	jwt, err := compact(*i.Key.key, nil, openid{
		Issuer: i.URL, Subject: p.Subject, Audience: Audience,
		IssuedAt: now.Unix(), Expires: now.Add(life).Unix(),
		Email: p.Email, EmailVerified: p.EmailVerified, Telephone: p.Telephone, TelephoneVerified: p.TelephoneVerified,
		Name: p.Name,
	})
	if err != nil {
		return Token{}, err
	}
	return NewToken(jwt), nil
}

func (i Issuer) check(life time.Duration) error {
	switch {
	case i.URL == "" || !utf8.ValidString(i.URL):
		return errors.New("the issuer's URL is missing")
	case i.Key.key == nil:
		return errors.New("the application key is missing")
	case life < time.Second:
		return errors.New("an auth token must live for a second at least")
	}
	return nil
}

const (
	maxSubject = 1024 // bytes, Doordeck's limit
	maxEmail   = 254  // bytes, RFC 5321's limit
	maxName    = 256  // bytes
)

var (
	emailForm     = regexp.MustCompile(`^[^\s@]+@[^\s@]+$`)
	telephoneForm = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)
)

func (p Person) check() error {
	switch {
	case p.Subject == "" || len(p.Subject) > maxSubject || !utf8.ValidString(p.Subject):
		return errors.New("the subject must be UTF-8 of 1 to 1024 bytes")
	case p.Email == "" && p.Telephone == "":
		return errors.New("an email or a telephone is needed")
	case p.Email != "" && (len(p.Email) > maxEmail || !emailForm.MatchString(p.Email) || !utf8.ValidString(p.Email)):
		return errors.New("the email must be like ana@example.com")
	case p.Telephone != "" && !telephoneForm.MatchString(p.Telephone):
		return errors.New("the telephone must be in E.164 form, like +442034341020")
	case p.EmailVerified && p.Email == "", p.TelephoneVerified && p.Telephone == "":
		return errors.New("an address that is not there cannot be verified")
	case len(p.Name) > maxName || !utf8.ValidString(p.Name) || strings.ContainsFunc(p.Name, func(r rune) bool { return r < ' ' }):
		return errors.New("the name must be one line of at most 256 bytes")
	}
	return nil
}
