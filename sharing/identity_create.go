package sharing

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse/doordeck"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
)

// IdentityRequest asks for an identity.
type IdentityRequest struct {
	// Name is what the gateway calls it: 1 to 64 letters, digits, - and _. It is part of NATS subjects.
	Name string `json:"name"`
	// Subject is its OpenID subject, at most 1024 bytes: what the application calls the administrator.
	Subject string `json:"subject"`
	// Email or Telephone (E.164) must be there. One that is verified was proven to be the administrator's;
	// Doordeck sends codes to verified ones only.
	Email             string `json:"email"`
	EmailVerified     bool   `json:"email_verified"`
	Telephone         string `json:"telephone"`
	TelephoneVerified bool   `json:"telephone_verified"`
	// DisplayName is shown to people at Doordeck, at most 256 bytes.
	DisplayName string `json:"display_name"`
}

const maxIdentities = 10_000

var (
	nameForm      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	emailForm     = regexp.MustCompile(`^[^\s@]+@[^\s@]+$`)
	telephoneForm = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// check says what is wrong with a request, naming the field.
func (q IdentityRequest) check() error {
	switch {
	case !nameForm.MatchString(q.Name):
		return invalid.Field("name", "must be 1 to 64 letters, digits, - and _")
	case q.Subject == "" || len(q.Subject) > 1024 || !printable(q.Subject):
		return invalid.Field("subject", "must be 1 to 1024 bytes of printable text")
	case q.Email == "" && q.Telephone == "":
		return invalid.Field("email", "or telephone must be given: Doordeck wants one of them")
	case q.Email != "" && (len(q.Email) > 254 || !printable(q.Email) || !emailForm.MatchString(q.Email)):
		return invalid.Field("email", "must be like ada@example.com")
	case q.Telephone != "" && !telephoneForm.MatchString(q.Telephone):
		return invalid.Field("telephone", "must be in E.164 form, like +442034341020")
	case q.EmailVerified && q.Email == "":
		return invalid.Field("email_verified", "must not be true without an email")
	case q.TelephoneVerified && q.Telephone == "":
		return invalid.Field("telephone_verified", "must not be true without a telephone")
	case len(q.DisplayName) > 256 || !printable(q.DisplayName):
		return invalid.Field("display_name", "must be at most 256 bytes of printable text")
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (q IdentityRequest) person() doordeck.Person {
	return doordeck.Person{
		Subject: q.Subject, Email: q.Email, EmailVerified: q.EmailVerified,
		Telephone: q.Telephone, TelephoneVerified: q.TelephoneVerified, Name: q.DisplayName,
	}
}

// Create makes an identity. Run registers it at once. Errors: *invalid.Error, *TakenError,
// ErrTooManyIdentities.
func (i *Identities) Create(ctx context.Context, q IdentityRequest) (Identity, error) {
	if err := q.check(); err != nil {
		return Identity{}, err
	}
	now := i.now().UnixMilli()
	claims := i.claims(q.person())
	entry := audit.Entry{Actor: audit.ActorFrom(ctx), Action: "identity.create", Target: q.Name, Outcome: audit.Done}
	err := i.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		if err := insertIdentity(ctx, tx, q, now); err != nil {
			return err
		}
		for _, c := range claims {
			n, err := tx.Exec(ctx, `INSERT INTO identity_claims (kind, mac, identity) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, c.field, c.mac, q.Name)
			if err != nil {
				return err
			}
			if n == 0 {
				return &TakenError{c.field}
			}
		}
		_, err := audit.Record(ctx, tx.Tx, entry)
		return err
	})
	if err != nil {
		return Identity{}, fmt.Errorf("making identity %s: %w", q.Name, err)
	}
	i.log.Info("an identity was made", "identity", q.Name)
	i.wake()
	return i.Get(ctx, q.Name)
}

func insertIdentity(ctx context.Context, tx *events.Tx, q IdentityRequest, now int64) error {
	var n int64
	if err := tx.Get(ctx, &n, `SELECT COUNT(*) FROM identities WHERE deleted_at = 0`); err != nil {
		return err
	}
	if n >= maxIdentities {
		return ErrTooManyIdentities
	}
	n, err := tx.Exec(ctx, `INSERT INTO identities (name, status, subject, email, email_verified, telephone, telephone_verified, display_name,
		due_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		q.Name, StatusUnregistered, q.Subject, q.Email, flag(q.EmailVerified), q.Telephone, flag(q.TelephoneVerified), q.DisplayName, now, now)
	if err == nil && n == 0 {
		err = &TakenError{"name"}
	}
	return err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// Delete ends an identity for good: its keys and all that is known of the person are wiped. Doordeck has no call
// that would end it there; without its key nobody can sign as it any more. Its name, subject, email and telephone
// stay taken, so that nothing meant for it can come to another. Error: ErrNoIdentity.
func (i *Identities) Delete(ctx context.Context, name string) error {
	now := i.now().UnixMilli()
	entry := audit.Entry{Actor: audit.ActorFrom(ctx), Action: "identity.delete", Target: name, Outcome: audit.Done}
	err := i.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE identities SET version = version + 1, status = 'deleted', reason = '', detail = '', subject = '', email = '',
			email_verified = 0, telephone = '', telephone_verified = 0, display_name = '', user_id = '', signing_key = NULL, chain = '',
			serves_until = 0, renew_at = 0, next_key = NULL, method = '', code_sent_at = 0, wrong_codes = 0, wait_until = 0, due_at = 0,
			attempts = 0, deleted_at = ? WHERE name = ? AND deleted_at = 0`, now, name)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNoIdentity
		}
		if err := forgetDoors(ctx, tx, name); err != nil {
			return err
		}
		_, err = audit.Record(ctx, tx.Tx, entry)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting identity %s: %w", name, err)
	}
	i.names.forget(name)
	i.log.Info("an identity was deleted", "identity", name)
	i.wake()
	return nil
}
