package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse/events"
	"gatehouse/internal/vault"
	"gatehouse/standardwebhooks"
)

// endpointRow is an endpoint as stored; times are Unix milliseconds, 0 for none.
type endpointRow struct {
	ID, URL, Description string
	Subjects             string
	Enabled, Ordered     int64
	Concurrency          int
	Accounts, Identities sql.NullString
	MadeBy               string `db:"made_by"`
	Secret               []byte
	OldSecret            []byte `db:"old_secret"`
	OldSecretUntil       int64  `db:"old_secret_until"`
	Began                string
	DisabledReason       string `db:"disabled_reason"`
	FailingSince         int64  `db:"failing_since"`
	Failures             int64
	Told                 int64  // whether it has been said that it fails
	LastError            string `db:"last_error"`
	LastSuccessAt        int64  `db:"last_success_at"`
	LastFailureAt        int64  `db:"last_failure_at"`
	CreatedAt            int64  `db:"created_at"`
	ChangedAt            int64  `db:"changed_at"`
}

const endpointColumns = `id, url, description, subjects, enabled, ordered, concurrency, accounts, identities, made_by, secret, old_secret,
	old_secret_until, began, disabled_reason, failing_since, failures, told, last_error, last_success_at, last_failure_at, created_at, changed_at`

// SealedColumns are where this package keeps sealed values.
func SealedColumns() []vault.Column {
	return []vault.Column{
		{Table: "endpoints", Key: "id", Field: "secret"},
		{Table: "endpoints", Key: "id", Field: "old_secret"},
	}
}

func secretPlace(id string) vault.Place {
	return vault.Place{Table: "endpoints", Row: id, Field: "secret"}
}

func oldSecretPlace(id string) vault.Place {
	return vault.Place{Table: "endpoints", Row: id, Field: "old_secret"}
}

// endpoint is what a row says, without its secrets.
func (r *endpointRow) endpoint() (*Endpoint, error) {
	e := &Endpoint{
		ID: r.ID, URL: r.URL, Description: r.Description, Enabled: r.Enabled == 1, Ordered: r.Ordered == 1, Concurrency: r.Concurrency,
		MadeBy: r.MadeBy, OldSecretUntil: moment(r.OldSecretUntil), DisabledReason: r.DisabledReason,
		FailingSince: moment(r.FailingSince), Failures: r.Failures, LastError: r.LastError,
		LastSuccessAt: moment(r.LastSuccessAt), LastFailureAt: moment(r.LastFailureAt),
		CreatedAt: moment(r.CreatedAt), ChangedAt: moment(r.ChangedAt),
	}
	err := errors.Join(
		json.Unmarshal([]byte(r.Subjects), &e.Subjects), json.Unmarshal([]byte(r.Began), &e.began),
		readLimit(r.Accounts, &e.Accounts), readLimit(r.Identities, &e.Identities),
	)
	for _, s := range e.Subjects {
		pattern, bad := events.ParsePattern(s)
		err = errors.Join(err, bad)
		e.wants = append(e.wants, events.Filter{Pattern: pattern, Accounts: e.Accounts, Identities: e.Identities})
	}
	if err != nil {
		return nil, fmt.Errorf("reading endpoint %s: %w", r.ID, err)
	}
	return e, nil
}

// readLimit reads a list of which NULL means all, and which must therefore not be null otherwise.
func readLimit(stored sql.NullString, into *[]string) error {
	if !stored.Valid {
		return nil
	}
	if err := json.Unmarshal([]byte(stored.String), into); err != nil || *into == nil {
		return errors.New("a limit is not a list")
	}
	return nil
}

func storedLimit(limit []string) (sql.NullString, error) {
	if limit == nil {
		return sql.NullString{}, nil
	}
	data, err := json.Marshal(limit)
	return sql.NullString{String: string(data), Valid: true}, err
}

// unseal opens an endpoint's secrets.
func (e *Endpoints) unseal(r *endpointRow, into *Endpoint) {
	current, err := e.openSecret(secretPlace(r.ID), r.Secret)
	if err != nil {
		into.unsealing = errors.Join(errNoSecret, err)
		return
	}
	into.secrets = []signingSecret{{secret: current}}
	if len(r.OldSecret) == 0 {
		return
	}
	if old, err := e.openSecret(oldSecretPlace(r.ID), r.OldSecret); err == nil {
		into.secrets = append(into.secrets, signingSecret{old, into.OldSecretUntil})
	} else {
		e.Logger.Error("an endpoint's old secret cannot be opened; it does not sign any more", "endpoint", r.ID, "error", err)
	}
}

func (e *Endpoints) openSecret(place vault.Place, sealed []byte) (standardwebhooks.Secret, error) {
	opened, err := e.Vault.Open(place, sealed)
	if err != nil {
		return standardwebhooks.Secret{}, err
	}
	return standardwebhooks.ParseSecret(opened.Reveal())
}

// lockedEndpoint returns a row as it will stay until the change is committed. The version comes first: see touch.
func lockedEndpoint(ctx context.Context, tx *events.Tx, id string) (endpointRow, error) {
	query := `SELECT ` + endpointColumns + ` FROM endpoints WHERE id = ?`
	if tx.Postgres {
		query += ` FOR NO KEY UPDATE` // deliveries to it may be made meanwhile
	}
	var r endpointRow
	err := tx.Get(ctx, &r, query, id)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNoEndpoint
	}
	return r, err
}

// logPlaces is where every writer's log stands, for the column began.
func logPlaces(ctx context.Context, tx *events.Tx) (string, error) {
	var writers []struct{ ID, Head int64 }
	if err := tx.Select(ctx, &writers, `SELECT id, head FROM writers WHERE head > 0`); err != nil {
		return "", fmt.Errorf("reading where the log stands: %w", err)
	}
	began := make(map[int64]int64, len(writers))
	for _, w := range writers {
		began[w.ID] = w.Head
	}
	data, err := json.Marshal(began)
	return string(data), err
}

// touch counts the version up, and so lets all replicas read the endpoints anew. It also holds other changes of
// endpoints off until this one is committed. Whoever locks an endpoint's row has the version's before, so that no two
// replicas ever wait for each other.
func touch(ctx context.Context, tx *events.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE endpoint_version SET version = version + 1 WHERE id = 1`)
	return err
}

func moment(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
