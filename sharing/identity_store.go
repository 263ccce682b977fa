package sharing

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/doordeck"
	"gatehouse/events"
	"gatehouse/internal/vault"
)

// row is an identity as stored; times are Unix milliseconds, 0 for none.
type row struct {
	Name              string
	Version           int64
	Status            string
	Reason            string // a word, why it failed or what was wrong last
	Detail            string // what Doordeck said about it
	Subject           string
	Email             string
	EmailVerified     int64 `db:"email_verified"`
	Telephone         string
	TelephoneVerified int64  `db:"telephone_verified"`
	DisplayName       string `db:"display_name"`
	UserID            string `db:"user_id"`
	SigningKey        []byte `db:"signing_key"`
	Chain             string
	ServesUntil       int64  `db:"serves_until"` // in Doordeck's time, like RenewAt
	RenewAt           int64  `db:"renew_at"`
	NextKey           []byte `db:"next_key"`
	Method            string
	CodeSentAt        int64 `db:"code_sent_at"`
	WrongCodes        int64 `db:"wrong_codes"`
	WaitUntil         int64 `db:"wait_until"` // Doordeck wants to be left alone until then
	DueAt             int64 `db:"due_at"`     // when Run looks next
	Attempts          int64 // that failed, one after the other
	CreatedAt         int64 `db:"created_at"`
	RegisteredAt      int64 `db:"registered_at"`
	CheckedAt         int64 `db:"checked_at"`
	DeletedAt         int64 `db:"deleted_at"`

	// Whether a key is to be stored. One that is as it was is left alone: a rotation of the gateway's keys may
	// have sealed it again meanwhile.
	setSigning, setNext bool
}

const identityColumns = `name, version, status, reason, detail, subject, email, email_verified, telephone, telephone_verified, display_name,
	user_id, signing_key, chain, serves_until, renew_at, next_key, method, code_sent_at, wrong_codes, wait_until, due_at, attempts,
	created_at, registered_at, checked_at, deleted_at`

// read returns the row as last committed.
func (i *Identities) read(ctx context.Context, name string) (row, error) {
	var r row
	err := i.db.Get(ctx, &r, `SELECT `+identityColumns+` FROM identities WHERE name = ? AND deleted_at = 0`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNoIdentity
	}
	if err != nil {
		return r, fmt.Errorf("reading identity %s: %w", name, err)
	}
	return r, nil
}

// storeFor bounds how long what Doordeck has done waits to be stored.
const storeFor = 10 * time.Second

// save stores what has become of a row, with the messages that report it, if it is still the row that was read;
// else errMoved. It does not end with the caller's context: Doordeck has acted already.
func (i *Identities) save(ctx context.Context, to *row, said ...events.Encoded) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeFor)
	defer cancel()
	r := *to // the change may run when the time is over
	err := i.events.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE identities SET version = version + 1, status = ?, reason = ?, detail = ?, user_id = ?,
			chain = ?, serves_until = ?, renew_at = ?, method = ?, code_sent_at = ?, wrong_codes = ?, wait_until = ?,
			due_at = ?, attempts = ?, registered_at = ?, checked_at = ? WHERE name = ? AND version = ? AND deleted_at = 0`,
			r.Status, r.Reason, r.Detail, r.UserID,
			r.Chain, r.ServesUntil, r.RenewAt, r.Method, r.CodeSentAt, r.WrongCodes, r.WaitUntil,
			r.DueAt, r.Attempts, r.RegisteredAt, r.CheckedAt, r.Name, r.Version)
		if err != nil {
			return err
		}
		if n == 0 {
			return errMoved
		}
		if err := r.saveKeys(ctx, tx); err != nil {
			return err
		}
		for _, m := range said {
			tx.Append(m)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("storing identity %s: %w", r.Name, err)
	}
	to.Version++
	to.setSigning, to.setNext = false, false
	return nil
}

func (r *row) saveKeys(ctx context.Context, tx *events.Tx) (err error) {
	if r.setSigning {
		_, err = tx.Exec(ctx, `UPDATE identities SET signing_key = ? WHERE name = ?`, r.SigningKey, r.Name)
	}
	if r.setNext && err == nil {
		_, err = tx.Exec(ctx, `UPDATE identities SET next_key = ? WHERE name = ?`, r.NextKey, r.Name)
	}
	return err
}

// person is who Doordeck knows the identity as.
func (r *row) person() doordeck.Person {
	return doordeck.Person{
		Subject: r.Subject, Email: r.Email, EmailVerified: r.EmailVerified == 1,
		Telephone: r.Telephone, TelephoneVerified: r.TelephoneVerified == 1, Name: r.DisplayName,
	}
}

// serves tells whether something can be signed at a moment of Doordeck's.
func (r *row) serves(at time.Time) bool {
	return len(r.SigningKey) > 0 && r.Chain != "" && at.UnixMilli() < r.ServesUntil
}

func (r *row) parsedChain() (doordeck.Chain, error) {
	var entries []string
	if err := json.Unmarshal([]byte(r.Chain), &entries); err != nil {
		return doordeck.Chain{}, errors.New("its certificate chain cannot be read")
	}
	return doordeck.ParseChain(entries)
}

// SealedColumns are where this package keeps sealed values.
func SealedColumns() []vault.Column {
	return []vault.Column{
		{Table: "identities", Key: "name", Field: "signing_key"},
		{Table: "identities", Key: "name", Field: "next_key"},
		{Table: "operations", Key: "id", Field: "tokens"},
	}
}

// which of an identity's two keys: the one that serves, or the one that waits to.
type which bool

const (
	serving which = false
	next    which = true
)

func (w which) place(name string) vault.Place {
	if w == next {
		return vault.Place{Table: "identities", Row: name, Field: "next_key"}
	}
	return vault.Place{Table: "identities", Row: name, Field: "signing_key"}
}

func (w which) of(r *row) []byte {
	if w == next {
		return r.NextKey
	}
	return r.SigningKey
}

func (i *Identities) openKey(r *row, w which) (doordeck.EphemeralKey, error) {
	seed, err := i.vault.Open(w.place(r.Name), w.of(r))
	if err != nil {
		return doordeck.EphemeralKey{}, err
	}
	return doordeck.ParseEphemeralKey([]byte(seed.Reveal()))
}

func (i *Identities) sealKey(r *row, w which, key doordeck.EphemeralKey) (err error) {
	sealed, err := i.vault.Seal(w.place(r.Name), vault.NewSecret(string(key.Reveal())))
	if w == next {
		r.NextKey, r.setNext = sealed, true
	} else {
		r.SigningKey, r.setSigning = sealed, true
	}
	return err
}

func (r *row) dropNext() { r.NextKey, r.setNext = nil, true }

// claim is one thing that no two identities may share.
type claim struct {
	field string
	mac   []byte
}

// claims are what a person takes up. Mail addresses differ in case without being two.
func (i *Identities) claims(p doordeck.Person) []claim {
	var all []claim
	for _, c := range [][2]string{{"subject", p.Subject}, {"email", strings.ToLower(p.Email)}, {"telephone", p.Telephone}} {
		if c[1] != "" {
			all = append(all, claim{c[0], i.vault.MAC("identity "+c[0], []byte(c[1]))})
		}
	}
	return all
}

// claimed tells whether any of what a person has is, or was, an identity's.
func (i *Identities) claimed(ctx context.Context, p doordeck.Person) (bool, error) {
	for _, c := range i.claims(p) {
		var n int
		if err := i.db.Get(ctx, &n, `SELECT COUNT(*) FROM identity_claims WHERE kind = ? AND mac = ?`, c.field, c.mac); err != nil {
			return false, fmt.Errorf("looking whose the %s is: %w", c.field, err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func when(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
