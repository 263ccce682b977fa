package doordecksim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// User is a person as tests register one. The cloud makes one of its own accord for every new token.
type User struct {
	ID                string `json:"id"`      // the Doordeck user id; "" for one that follows from issuer and subject
	Issuer            string `json:"issuer"`  // of the application; "" means the first one
	Subject           string `json:"subject"` // the application's own id, which the directory calls foreignKey
	Name              string `json:"name"`
	Email             string `json:"email"`
	EmailVerified     bool   `json:"email_verified"`
	Telephone         string `json:"telephone"`
	TelephoneVerified bool   `json:"telephone_verified"`
	PublicKey         string `json:"public_key"` // the directory's; "" for one of the simulation's, which also signs their certificates
}

// user is a person with everything that belongs to them.
type user struct {
	id, subject string
	app         *application
	profile     profile
	iat         float64 // of the token that the profile is from
	key         int     // RSA key: the directory's and that of the certificate authority
	publicKey   string
	keys        []ed25519.PublicKey // verified ephemeral keys
	pending     []pending
	password    *[sha256.Size]byte // of one who may log in
	invited     bool               // made by an invite and not yet registered
}

// people finds users.
type people struct {
	all       []*user // as they came
	byID      map[string]*user
	bySubject map[string]*user // by issuer, a zero byte and subject
	byKey     map[string][]*user
}

func newPeople() people {
	return people{byID: map[string]*user{}, bySubject: map[string]*user{}, byKey: map[string][]*user{}}
}

// get finds a user by id, in whatever case.
func (p *people) get(id string) *user { return p.byID[strings.ToLower(id)] }

// userOf finds or makes the user of a token and takes over a newer profile.
func (s *Sim) userOf(t *token) (*user, string) {
	if t.app.own {
		u := s.people.get(t.subject)
		if u == nil || !s.sessions.live(t.sid) {
			return nil, "the session has ended"
		}
		return u, ""
	}
	u := s.people.bySubject[t.app.issuer+"\x00"+t.subject]
	if u == nil {
		var err error
		if u, err = s.makeUser(t.app, User{Subject: t.subject}); err != nil {
			return nil, err.Error()
		}
		u.iat = t.iat - 1
	}
	if t.iat > u.iat {
		u.profile, u.iat = t.profile, t.iat
	}
	return u, ""
}

// AddUser registers a person and returns them with id and public key filled in.
func (s *Sim) AddUser(in User) (User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.Issuer == "" {
		in.Issuer = s.issuer()
	}
	app := s.apps[in.Issuer]
	switch {
	case app == nil:
		return User{}, fmt.Errorf("no application has the issuer %q", in.Issuer)
	case in.Subject == "":
		return User{}, errors.New("a user needs a subject")
	case in.ID != "" && !isUUID(in.ID):
		return User{}, fmt.Errorf("the id %q is not a UUID", in.ID)
	}
	u, err := s.makeUser(app, in)
	if err != nil {
		return User{}, err
	}
	u.profile = profile{in.Email, in.Telephone, in.Name, in.EmailVerified, in.TelephoneVerified}
	return u.public(), nil
}

func (u *user) public() User {
	return User{
		ID: u.id, Issuer: u.app.issuer, Subject: u.subject, PublicKey: u.publicKey, Name: u.profile.Name,
		Email: u.profile.Email, EmailVerified: u.profile.EmailVerified,
		Telephone: u.profile.Telephone, TelephoneVerified: u.profile.TelephoneVerified,
	}
}

func (s *Sim) makeUser(app *application, in User) (*user, error) {
	if in.ID == "" {
		in.ID = derivedID("user", app.issuer, in.Subject)
	}
	in.ID = strings.ToLower(in.ID)
	if s.people.byID[in.ID] != nil || s.people.bySubject[app.issuer+"\x00"+in.Subject] != nil {
		return nil, fmt.Errorf("there is a user %s with the subject %q already", in.ID, in.Subject)
	}
	key, err := s.keys.take()
	if err != nil {
		return nil, err
	}
	if in.PublicKey == "" {
		in.PublicKey = directoryKey(rsaPublic(key))
	}
	u := &user{id: in.ID, subject: in.Subject, app: app, key: key, publicKey: in.PublicKey}
	s.people.all = append(s.people.all, u)
	s.people.byID[u.id] = u
	s.people.bySubject[app.issuer+"\x00"+u.subject] = u
	return u, nil
}

// User finds a person by Doordeck user id or by subject.
func (s *Sim) User(idOrSubject string) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.find(idOrSubject)
	if u == nil {
		return User{}, false
	}
	return u.public(), true
}

// find prefers an id; of several applications' users with one subject it takes the first.
func (s *Sim) find(idOrSubject string) *user {
	if u := s.people.get(idOrSubject); u != nil {
		return u
	}
	i := slices.IndexFunc(s.people.all, func(u *user) bool { return u.subject == idOrSubject })
	if i < 0 {
		return nil
	}
	return s.people.all[i]
}

// derivedID is a UUID (version 8) that follows from its parts, so that a restarted simulation knows people by
// the ids they had.
func derivedID(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	id := h.Sum(nil)[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	text := hex.EncodeToString(id)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
