package oauth

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"gatehouse/events"
	"gatehouse/internal/vault"
)

const (
	// stateFor is as long as DoorFlow's codes live: https://developer.doorflow.com/guides/authentication/oauth-flow
	stateFor = 10 * time.Minute
	// maxStates bounds how many trips to DoorFlow may be under way for one link.
	maxStates = 20
)

var (
	errTooManyStates = errors.New("too many attempts are under way for this link")
	// errState covers a state that is unknown, spent, expired or another browser's. Which of them it was
	// is not told: only the last would be news, and only to somebody who tries.
	errState = errors.New("the answer belongs to no attempt of this browser")
)

// stateRow is one trip of a browser to DoorFlow.
type stateRow struct {
	Link        string
	Verifier    []byte
	BrowserHash []byte `db:"browser_hash"`
	ExpiresAt   int64  `db:"expires_at"`
}

func verifierPlace(hash []byte) vault.Place {
	return vault.Place{Table: "oauth_states", Row: hex.EncodeToString(hash), Field: "verifier"}
}

// SealedColumns are where this package keeps tokens and PKCE verifiers.
func SealedColumns() []vault.Column {
	return []vault.Column{
		{Table: "connect_links", Key: "id", Field: "access_token"},
		{Table: "connect_links", Key: "id", Field: "refresh_token"},
		{Table: "oauth_states", Key: "state_hash", Field: "verifier", Row: hex.EncodeToString},
	}
}

// newState stores a state for a browser and returns it with the PKCE verifier.
func (c *Connect) newState(ctx context.Context, link string, browser vault.Secret) (state, verifier vault.Secret, err error) {
	state, verifier = random(), random()
	hash := digest(state)
	sealed, err := c.vault.Seal(verifierPlace(hash), verifier)
	if err != nil {
		return state, verifier, err
	}
	err = c.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		now := c.now()
		if _, err := tx.Exec(ctx, `DELETE FROM oauth_states WHERE expires_at <= ?`, now.UnixMilli()); err != nil {
			return err
		}
		var live int
		if err := tx.Get(ctx, &live, `SELECT COUNT(*) FROM oauth_states WHERE link = ?`, link); err != nil {
			return err
		}
		if live >= maxStates {
			return errTooManyStates
		}
		_, err := tx.Exec(ctx, `INSERT INTO oauth_states (state_hash, link, verifier, browser_hash, expires_at) VALUES (?, ?, ?, ?, ?)`,
			hash, link, sealed, digest(browser), now.Add(stateFor).UnixMilli())
		return err
	})
	if err != nil {
		return state, verifier, fmt.Errorf("starting a connection: %w", err)
	}
	return state, verifier, nil
}

// takeState spends a state and returns its link and verifier. It is deleted by the statement that reads
// it, and stays deleted whatever is found wrong: of parallel callbacks one has it.
func (c *Connect) takeState(ctx context.Context, state, browser vault.Secret) (link string, verifier vault.Secret, err error) {
	var r stateRow
	hash := digest(state)
	// Anybody may ask, with any state. Only a state that is there is worth a commit.
	var known int
	if err := c.db.Get(ctx, &known, `SELECT COUNT(*) FROM oauth_states WHERE state_hash = ?`, hash); err != nil {
		return "", verifier, fmt.Errorf("reading the state of a connection: %w", err)
	}
	if known == 0 {
		return "", verifier, errState
	}
	err = c.events.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		var found stateRow
		err := tx.Get(ctx, &found, `DELETE FROM oauth_states WHERE state_hash = ? RETURNING link, verifier, browser_hash, expires_at`, hash)
		r = found
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", verifier, errState
	}
	if err != nil {
		return "", verifier, fmt.Errorf("reading the state of a connection: %w", err)
	}
	if r.ExpiresAt <= c.now().UnixMilli() || browser.IsZero() || !equal(r.BrowserHash, digest(browser)) {
		return "", verifier, errState
	}
	verifier, err = c.vault.Open(verifierPlace(hash), r.Verifier)
	return r.Link, verifier, err
}
