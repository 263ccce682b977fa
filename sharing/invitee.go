package sharing

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
	"gatehouse/internal/vault"
)

const (
	maxForeignKey    = 1024 // bytes, as Doordeck has it
	maxEmail         = 254
	maxIdentityToken = 16 << 10
	maxDisplayName   = 200

	roleUser  = string(doordeck.RoleUser)
	roleAdmin = string(doordeck.RoleAdmin)
)

var (
	e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	jwe  = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){4}$`)
)

// invitee is a person as a caller names one.
type invitee struct {
	Email         string `json:"email"`
	Telephone     string `json:"telephone"`
	ForeignKey    string `json:"foreign_key"`
	User          string `json:"user"`
	IdentityToken string `json:"identity_token"`

	Role  string `json:"role"`
	Start string `json:"start"`
	End   string `json:"end"`

	Provision         bool   `json:"provision"`
	EmailVerified     bool   `json:"email_verified"`
	TelephoneVerified bool   `json:"telephone_verified"`
	DisplayName       string `json:"display_name"`
}

// newcomer is what a Doordeck user is made of for a person whom the directory does not know. An address counts as
// verified only where the caller said so.
type newcomer struct {
	Email             string `json:"email,omitempty"`
	EmailVerified     bool   `json:"email_verified,omitempty"`
	Telephone         string `json:"telephone,omitempty"`
	TelephoneVerified bool   `json:"telephone_verified,omitempty"`
	DisplayName       string `json:"display_name,omitempty"`
}

// Named is how a person was named, as it is shown again. An identity token is not.
type Named struct {
	Email         string `json:"email,omitempty"`
	Telephone     string `json:"telephone,omitempty"`
	ForeignKey    string `json:"foreign_key,omitempty"`
	User          string `json:"user,omitempty"`
	IdentityToken string `json:"identity_token,omitempty"`
}

// String is the field and what it says.
func (n Named) String() string {
	for _, f := range [][2]string{
		{"email", n.Email},
		{"telephone", n.Telephone},
		{"foreign_key", n.ForeignKey},
		{"user", n.User},
		{"identity_token", n.IdentityToken},
	} {
		if f[1] != "" {
			return f[0] + " " + f[1]
		}
	}
	return ""
}

func (p *part) named() Named {
	switch p.AskedBy {
	case doordeck.ByEmail:
		return Named{Email: p.Value}
	case doordeck.ByTelephone:
		return Named{Telephone: p.Value}
	case doordeck.ByForeignKey:
		return Named{ForeignKey: p.Value}
	case doordeck.ByLocalKey:
		return Named{User: p.Value}
	}
	return Named{IdentityToken: "REDACTED"}
}

// part checks a person, and says by what to look them up.
func (i *invitee) part() (part, error) {
	if err := i.check(); err != nil {
		return part{}, err
	}
	if i.Provision {
		return i.provisioned()
	}
	for field, set := range map[string]bool{
		"email_verified": i.EmailVerified, "telephone_verified": i.TelephoneVerified, "display_name": i.DisplayName != "",
	} {
		if set {
			return part{}, invalid.Field("invitees."+field, "is only for somebody who is to be made known to Doordeck, with provision")
		}
	}
	found := part{}
	for by, value := range map[doordeck.By]string{
		doordeck.ByEmail: i.Email, doordeck.ByTelephone: i.Telephone, doordeck.ByForeignKey: i.ForeignKey,
		doordeck.ByLocalKey: strings.ToLower(i.User), doordeck.ByIdentity: i.IdentityToken,
	} {
		switch {
		case value == "":
		case found.AskedBy != "":
			return part{}, invalid.Field("invitees", "must name each person by one of email, telephone, foreign_key, user and identity_token")
		default:
			found.AskedBy, found.Value = by, value
		}
	}
	if found.AskedBy == "" {
		return part{}, invalid.Field("invitees", "must name each person by email, telephone, foreign_key, user or identity_token")
	}
	if found.AskedBy == doordeck.ByIdentity {
		found.Value, found.token = "", vault.NewSecret(i.IdentityToken)
	}
	return found, nil
}

func (i *invitee) provisioned() (part, error) {
	if i.ForeignKey == "" || i.User != "" || i.IdentityToken != "" || i.Email == "" && i.Telephone == "" {
		return part{}, invalid.Field("invitees.provision", "needs a foreign_key, and an email or a telephone, and nothing else that names the person")
	}
	if i.EmailVerified && i.Email == "" || i.TelephoneVerified && i.Telephone == "" {
		return part{}, invalid.Field("invitees.provision", "cannot call verified what is not there")
	}
	details, err := json.Marshal(newcomer{i.Email, i.EmailVerified, i.Telephone, i.TelephoneVerified, i.DisplayName})
	return part{AskedBy: doordeck.ByForeignKey, Value: i.ForeignKey, Provision: string(details)}, err
}

func (i *invitee) check() error {
	at := strings.IndexByte(i.Email, '@')
	switch {
	case i.Email != "" && (at < 1 || at == len(i.Email)-1 || len(i.Email) > maxEmail || !word(i.Email)):
		return invalid.Field("invitees.email", "must be an address such as ana@example.test, of at most %d bytes", maxEmail)
	case i.Telephone != "" && !e164.MatchString(i.Telephone):
		return invalid.Field("invitees.telephone", "must be a number in E.164 form, such as +442034341020")
	case i.ForeignKey != "" && (len(i.ForeignKey) > maxForeignKey || !printable(i.ForeignKey)):
		return invalid.Field("invitees.foreign_key", "must be at most %d bytes of printable characters", maxForeignKey)
	case i.User != "" && !doordeck.UserID(i.User).Valid():
		return invalid.Field("invitees.user", "must be a UUID: the Doordeck user's id")
	case i.IdentityToken != "" && (len(i.IdentityToken) > maxIdentityToken || !jwe.MatchString(i.IdentityToken)):
		return invalid.Field("invitees.identity_token", "must be a compact JWE of at most %d bytes", maxIdentityToken)
	case len(i.DisplayName) > maxDisplayName || !printable(i.DisplayName):
		return invalid.Field("invitees.display_name", "must be at most %d bytes of printable characters", maxDisplayName)
	}
	return nil
}

// terms are what a share gives: as whom, from when and until when.
type terms struct {
	role       string
	start, end time.Time
}

// or fills in what is not given.
func (t terms) or(usual terms) terms {
	if t.role == "" {
		t.role = usual.role
	}
	if t.start.IsZero() {
		t.start = usual.start
	}
	if t.end.IsZero() {
		t.end = usual.end
	}
	return t
}

func readTerms(prefix, role, start, end string) (t terms, err error) {
	if role != "" && role != roleUser && role != roleAdmin {
		return t, invalid.Field(prefix+"role", "must be USER or ADMIN")
	}
	t.role = role
	if t.start, err = readTime(prefix+"start", start); err != nil {
		return t, err
	}
	t.end, err = readTime(prefix+"end", end)
	return t, err
}

// readTime reads a time to the second, which is as exact as Doordeck is.
func readTime(field, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() <= 0 || t.UTC().Year() > 9999 {
		return t, invalid.Field(field, "must be a time such as 2026-12-01T09:00:00Z (RFC 3339)")
	}
	return t.UTC().Truncate(time.Second), nil
}

// word is printable and without spaces.
func word(s string) bool { return printable(s) && !strings.Contains(s, " ") }
