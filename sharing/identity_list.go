package sharing

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
)

// Identity is what may be shown of one: everything but its keys.
type Identity struct {
	Name string `json:"name"`
	// Status is unregistered, verification_required, ready or failed. Reason is a word for what is wrong or
	// was wrong last, Detail what Doordeck said about it.
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`

	Subject           string `json:"subject"`
	Email             string `json:"email,omitempty"`
	EmailVerified     bool   `json:"email_verified"`
	Telephone         string `json:"telephone,omitempty"`
	TelephoneVerified bool   `json:"telephone_verified"`
	DisplayName       string `json:"display_name,omitempty"`

	// User is its id at Doordeck.
	User string `json:"user,omitempty"`
	// ServesUntil is when its certificate chain ends: until then it may act, whatever its status. The chain is
	// renewed from RenewsAt on.
	ServesUntil time.Time `json:"serves_until,omitzero"`
	RenewsAt    time.Time `json:"renews_at,omitzero"`
	// NewKey tells that a key waits to take the place of the one that serves.
	NewKey bool `json:"new_key"`

	// Verification is the code that was sent last, as long as one is wanted.
	Verification *Verification `json:"verification,omitempty"`

	CreatedAt    time.Time `json:"created_at"`
	RegisteredAt time.Time `json:"registered_at,omitzero"`
	CheckedAt    time.Time `json:"checked_at,omitzero"`
	// NextLookAt is when the gateway asks Doordeck next of its own accord.
	NextLookAt time.Time `json:"next_look_at,omitzero"`
}

// Verification is a code that Doordeck has sent to a person.
type Verification struct {
	// Method is EMAIL, SMS or TELEPHONE; empty where Doordeck chose and did not say.
	Method    string    `json:"method,omitempty"`
	SentAt    time.Time `json:"sent_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// WrongCodes is how many have been tried and were not it.
	WrongCodes int `json:"wrong_codes"`
}

// Methods are the ways in which a code can reach the identity's person, those first that Doordeck prefers. Doordeck
// sends codes to verified addresses only.
func (i Identity) Methods() []string {
	var methods []string
	if i.Email != "" && i.EmailVerified {
		methods = append(methods, string(doordeck.Email))
	}
	if i.Telephone != "" && i.TelephoneVerified {
		methods = append(methods, string(doordeck.SMS), string(doordeck.Telephone))
	}
	return methods
}

func (r row) shown() Identity {
	shown := Identity{
		Name: r.Name, Status: r.Status, Reason: r.Reason, Detail: r.Detail, Subject: r.Subject,
		Email: r.Email, EmailVerified: r.EmailVerified == 1, Telephone: r.Telephone, TelephoneVerified: r.TelephoneVerified == 1,
		DisplayName: r.DisplayName, User: r.UserID, ServesUntil: when(r.ServesUntil), RenewsAt: when(r.RenewAt),
		NewKey:    len(r.NextKey) > 0 && len(r.SigningKey) > 0,
		CreatedAt: when(r.CreatedAt), RegisteredAt: when(r.RegisteredAt), CheckedAt: when(r.CheckedAt), NextLookAt: when(r.DueAt),
	}
	if r.Status == StatusVerification && r.CodeSentAt != 0 {
		sent := when(r.CodeSentAt)
		shown.Verification = &Verification{r.Method, sent, sent.Add(codeLife), int(r.WrongCodes)}
	}
	return shown
}

// Get returns one identity. Error: ErrNoIdentity.
func (i *Identities) Get(ctx context.Context, name string) (Identity, error) {
	r, err := i.read(ctx, name)
	return r.shown(), err
}

// List returns a page of identities, newest first, and the cursor of the next page, "" at the end. Only those
// named are shown; nil means all.
func (i *Identities) List(ctx context.Context, after string, limit int, names []string) (page []Identity, more string, err error) {
	query, args := `SELECT `+identityColumns+` FROM identities WHERE deleted_at = 0`, []any{}
	if after != "" {
		at, name, ok := parseCursor(after)
		if !ok {
			return nil, "", invalid.Field("after", "is not a cursor from a list of identities")
		}
		query += ` AND (created_at < ? OR (created_at = ? AND name < ?))`
		args = append(args, at, at, name)
	}
	if names != nil {
		query += ` AND name IN (NULL` + strings.Repeat(`, ?`, len(names)) + `)`
		for _, n := range names {
			args = append(args, n)
		}
	}
	var rows []row
	if err := i.db.Select(ctx, &rows, query+` ORDER BY created_at DESC, name DESC LIMIT ?`, append(args, limit+1)...); err != nil {
		return nil, "", fmt.Errorf("listing identities: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		more = base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.CreatedAt, 10) + " " + last.Name))
	}
	page = make([]Identity, len(rows))
	for n, r := range rows {
		page[n] = r.shown()
	}
	return page, more, nil
}

// Troubled returns the identities that wait for a person, the worst first and at most so many, and how many there are:
// those that failed, that wait for a code, and whose chain ends before soon. Only those named count; nil means all.
func (i *Identities) Troubled(ctx context.Context, names []string, soon time.Time, most int) (troubled []Identity, count int, err error) {
	where, args := ` FROM identities WHERE deleted_at = 0 AND (status IN (?, ?) OR serves_until > 0 AND serves_until < ?)`,
		[]any{StatusFailed, StatusVerification, soon.UnixMilli()}
	if names != nil {
		where += ` AND name IN (NULL` + strings.Repeat(`, ?`, len(names)) + `)`
		for _, n := range names {
			args = append(args, n)
		}
	}
	if err := i.db.Get(ctx, &count, `SELECT COUNT(*)`+where, args...); err != nil {
		return nil, 0, fmt.Errorf("counting identities: %w", err)
	}
	var rows []row
	order := ` ORDER BY CASE status WHEN ? THEN 0 WHEN ? THEN 1 ELSE 2 END, serves_until, name LIMIT ?`
	if err := i.db.Select(ctx, &rows, `SELECT `+identityColumns+where+order, append(args, StatusFailed, StatusVerification, most)...); err != nil {
		return nil, 0, fmt.Errorf("listing identities: %w", err)
	}
	for _, r := range rows {
		troubled = append(troubled, r.shown())
	}
	return troubled, count, nil
}

// Stored returns up to 1000 identities of a database that no gateway need have open.
func Stored(ctx context.Context, db *sqldb.DB) ([]Identity, error) {
	var rows []row
	if err := db.Select(ctx, &rows, `SELECT `+identityColumns+` FROM identities WHERE deleted_at = 0 ORDER BY name LIMIT 1000`); err != nil {
		return nil, fmt.Errorf("reading the identities: %w", err)
	}
	all := make([]Identity, len(rows))
	for n, r := range rows {
		all[n] = r.shown()
	}
	return all, nil
}

func parseCursor(s string) (at int64, name string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	number, name, ok := strings.Cut(string(raw), " ")
	if err != nil || !ok || !nameForm.MatchString(name) {
		return 0, "", false
	}
	at, err = strconv.ParseInt(number, 10, 64)
	return at, name, err == nil
}
