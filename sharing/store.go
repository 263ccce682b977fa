package sharing

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// store keeps operations and their people.
type store struct {
	db     *sqldb.DB
	events *events.Log
	vault  *vault.Vault
	now    func() time.Time
	said   func(*operation)
}

const (
	operationColumns = `seq, id, caller, identity, caller_id, digest, type, lock, status, error, detail, stage, turn, attempts,
		waits <> 0 AS waits, people, tokens, received_at, deadline_at, due_at, followed_at, alive_at, finished_at`
	partColumns = `operation, n, asked_by, value, provision, role, start_at, end_at, user_id, public_key, status, error, tries, expires_at, guard_at`

	// maxWaiting is how many operations of one identity may wait at one time, and maxOfCaller how many of them may
	// be one caller's, so that nobody takes all the room.
	maxWaiting, maxOfCaller = 5_000, 2_500
	// maxLoaded is how many people are read at one time.
	maxLoaded = 20_000
)

// add stores an operation that is new, with the note of who asked for it, and returns the one that the caller's
// id stands for. fresh tells whether it is this one.
func (s *store) add(ctx context.Context, o *operation, who audit.Actor) (*operation, bool, error) {
	// After an error nobody looks at these: the change may run when the caller has gone.
	var stored *operation
	var fresh bool
	err := s.events.Do(ctx, func(ctx context.Context, tx *events.Tx) (err error) {
		o.ID = uuid.Must(uuid.NewV7()).String()
		if stored, err = s.asked(ctx, tx, o); err != nil || stored != nil {
			return err
		}
		if fresh, err = s.insert(ctx, tx, o); err != nil {
			return err
		}
		if !fresh { // another replica was first
			stored, err = s.asked(ctx, tx, o)
			return err
		}
		stored = o
		_, err = audit.Record(ctx, tx.Tx, audit.Entry{
			Actor: who, Action: "operation." + o.Type, Target: o.Identity + " " + o.Lock + " " + o.ID, Outcome: audit.Started,
		})
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("storing an operation: %w", err)
	}
	if !fresh {
		if err := s.loadParts(ctx, []*operation{stored}); err != nil {
			return nil, false, err
		}
	}
	return stored, fresh, nil
}

// asked returns the operation that the caller's id stands for already, nil when there is none.
func (s *store) asked(ctx context.Context, tx *events.Tx, o *operation) (*operation, error) {
	var found operation
	err := tx.Get(ctx, &found, `SELECT `+operationColumns+` FROM operations WHERE caller = ? AND identity = ? AND caller_id = ?`,
		o.Caller, o.Identity, o.CallerID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err == nil && !bytes.Equal(found.Digest, o.Digest):
		return nil, ErrOtherOperation
	}
	return &found, err
}

// openOf counts what has not ended of an identity.
const openOf = `SELECT COUNT(*) FROM operations WHERE identity = ? AND stage <> 'done'`

func (s *store) insert(ctx context.Context, tx *events.Tx, o *operation) (bool, error) {
	var known, waiting int
	if err := tx.Get(ctx, &known, `SELECT COUNT(*) FROM identities WHERE name = ? AND deleted_at = 0`, o.Identity); err != nil {
		return false, err
	}
	if known == 0 {
		return false, ErrNoIdentity
	}
	if err := tx.Get(ctx, &waiting, openOf, o.Identity); err != nil {
		return false, err
	}
	if waiting >= maxOfCaller {
		var own int
		if err := tx.Get(ctx, &own, openOf+` AND caller = ?`, o.Identity, o.Caller); err != nil {
			return false, err
		}
		if waiting >= maxWaiting || own >= maxOfCaller {
			return false, ErrTooManyOperations
		}
	}
	sealed, err := s.sealTokens(o)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(ctx, `INSERT INTO operations (id, caller, identity, caller_id, digest, type, lock, status, stage, waits, people, tokens,
		received_at, deadline_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (caller, identity, caller_id) DO NOTHING`,
		o.ID, o.Caller, o.Identity, o.CallerID, o.Digest, o.Type, o.Lock, o.Status, o.Stage, flag(o.Waits), o.People, sealed,
		o.ReceivedAt, o.DeadlineAt, s.now().UnixMilli())
	if err != nil || n == 0 {
		return false, err
	}
	return true, insertParts(ctx, tx, o)
}

// insertParts writes many rows with few statements.
func insertParts(ctx context.Context, tx *events.Tx, o *operation) error {
	const columns, step = 9, 100
	for parts := o.parts; len(parts) > 0; parts = parts[min(step, len(parts)):] {
		some := parts[:min(step, len(parts))]
		args := make([]any, 0, columns*len(some))
		for _, p := range some {
			args = append(args, o.ID, p.N, p.AskedBy, p.Value, p.Provision, p.Role, p.StartAt, p.EndAt, p.Status)
		}
		query := `INSERT INTO operation_parts (operation, n, asked_by, value, provision, role, start_at, end_at, status) VALUES ` +
			strings.TrimPrefix(strings.Repeat(`, (?, ?, ?, ?, ?, ?, ?, ?, ?)`, len(some)), ", ")
		if _, err := tx.Exec(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

func tokensPlace(id string) vault.Place {
	return vault.Place{Table: "operations", Row: id, Field: "tokens"}
}

// sealTokens seals the identity tokens of its people, by their numbers.
func (s *store) sealTokens(o *operation) ([]byte, error) {
	tokens := map[int]string{}
	for _, p := range o.parts {
		if !p.token.IsZero() {
			tokens[p.N] = p.token.Reveal()
		}
	}
	if len(tokens) == 0 {
		return nil, nil
	}
	plain, err := json.Marshal(tokens)
	if err != nil {
		return nil, errors.New("the identity tokens cannot be kept")
	}
	return s.vault.Seal(tokensPlace(o.ID), vault.NewSecret(string(plain)))
}

func (s *store) openTokens(o *operation) error {
	if len(o.Tokens) == 0 {
		return nil
	}
	plain, err := s.vault.Open(tokensPlace(o.ID), o.Tokens)
	if err != nil {
		return err
	}
	tokens := map[int]string{}
	if json.Unmarshal([]byte(plain.Reveal()), &tokens) != nil {
		return errors.New("the identity tokens that were kept cannot be read")
	}
	for _, p := range o.parts {
		p.token = vault.NewSecret(tokens[p.N])
	}
	return nil
}

// get returns an operation with its people, or ErrNoOperation.
func (s *store) get(ctx context.Context, id string) (*operation, error) {
	found, err := s.load(ctx, ` WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNoOperation
	}
	return found[0], nil
}

// load returns operations with their people.
func (s *store) load(ctx context.Context, where string, args ...any) ([]*operation, error) {
	var found []*operation
	if err := s.db.Select(ctx, &found, `SELECT `+operationColumns+` FROM operations`+where, args...); err != nil {
		return nil, fmt.Errorf("reading operations: %w", err)
	}
	return found, s.loadParts(ctx, found)
}

// loadParts reads the people of operations.
func (s *store) loadParts(ctx context.Context, of []*operation) error {
	if len(of) == 0 {
		return nil
	}
	byID, ids := make(map[string]*operation, len(of)), make([]any, len(of))
	for i, o := range of {
		byID[o.ID], ids[i], o.parts = o, o.ID, nil
	}
	var parts []*part
	err := s.db.Select(ctx, &parts, `SELECT `+partColumns+` FROM operation_parts WHERE operation IN (?`+strings.Repeat(`, ?`, len(of)-1)+`)
		ORDER BY operation, n`, ids...)
	if err != nil {
		return fmt.Errorf("reading the people of operations: %w", err)
	}
	for _, p := range parts {
		o := byID[p.Operation]
		o.parts = append(o.parts, p)
	}
	return nil
}
