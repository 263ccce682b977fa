package natsauth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

var (
	// ErrExists says that a credential of the name is active.
	ErrExists = errors.New("natsauth: there is an active credential of this name")
	// ErrNotFound says that there is none of the name.
	ErrNotFound = errors.New("natsauth: there is no such credential")
	// ErrTooMany says that no more are minted until some are revoked.
	ErrTooMany = errors.New("natsauth: there are too many credentials")
	// ErrExternal says that NATS is not the embedded server.
	ErrExternal = errors.New("NATS is external: its own operator mints credentials; gatehouse doctor prints what to configure there")
	// ErrUnavailable says that JetStream did not make the durable consumer. Nothing was minted.
	ErrUnavailable = errors.New("natsauth: JetStream did not make the consumer")
)

// How long credentials live. Files get copied and forgotten, so that none lives for ever.
const (
	DefaultLife = 90 * 24 * time.Hour
	maxLife     = 10 * 365 * 24 * time.Hour
)

var errExpires = invalid.Field("expires_at", "must be in the future, and within ten years")

// Server is the embedded NATS server.
type Server interface {
	// SetAccount makes the server know an account, or closes what a changed one no longer allows.
	SetAccount(id, jwt string) error
}

// Config is what Credentials need. Without a Server they only change the database: the next start of the
// gateway does the rest.
type Config struct {
	DB        *sqldb.DB
	Authority *Authority
	Server    Server
	JetStream jetstream.JetStream
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger
}

// Credentials mints, lists and revokes.
type Credentials struct {
	Config
	mu sync.Mutex // one change at a time: a consumer and its row belong together
}

// New makes them. Nothing is changed before Settle.
func New(c Config) *Credentials {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Credentials{Config: c}
}

// Mint makes a credential and returns it with its .creds file, which nobody can get again. A zero time
// means DefaultLife. Errors: *invalid.Error, ErrExists, ErrTooMany, ErrUnavailable.
func (c *Credentials) Mint(ctx context.Context, g Grant, expires time.Time) (Credential, vault.Secret, error) {
	if err := g.check(); err != nil {
		return Credential{}, vault.Secret{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now().Truncate(time.Millisecond).UTC()
	if expires.IsZero() {
		expires = now.Add(DefaultLife)
	}
	// A JWT counts in seconds.
	if expires = expires.Truncate(time.Second).UTC(); !expires.After(now) || expires.Sub(now) > maxLife {
		return Credential{}, vault.Secret{}, errExpires
	}
	account, file, err := mint(g.Name, expires.Unix())
	if err != nil {
		return Credential{}, vault.Secret{}, err
	}
	minted := Credential{Grant: g, Status: StatusActive, CreatedAt: now, ExpiresAt: expires, Account: account}
	err = commit(ctx, c.DB, "storing NATS credential "+g.Name, func(tx *sqldb.Tx) error {
		if err := insert(ctx, tx, minted); err != nil {
			return err
		}
		return record(ctx, tx, actionCreate, g.Name, audit.Done)
	})
	if err != nil {
		return Credential{}, vault.Secret{}, err
	}
	if err := c.bringUp(ctx, minted); err != nil {
		return Credential{}, vault.Secret{}, errors.Join(err, c.takeBack(ctx, minted))
	}
	return minted, vault.NewSecret(string(file)), nil
}

// bringUp makes the consumer of a stored credential, then lets the server know it.
func (c *Credentials) bringUp(ctx context.Context, minted Credential) error {
	if c.Server == nil {
		return nil
	}
	if minted.Durable {
		if err := c.makeConsumer(ctx, minted); err != nil {
			c.Log.Warn("the consumer of a NATS credential could not be made", "name", minted.Name, "error", err)
			return ErrUnavailable
		}
	}
	token, err := minted.account().Encode(c.Authority.operator)
	if err != nil {
		return fmt.Errorf("signing the NATS account of %s: %w", minted.Name, err)
	}
	return c.Server.SetAccount(minted.Account, token)
}

// takeBack removes what cannot be used, also when the caller has gone.
func (c *Credentials) takeBack(ctx context.Context, minted Credential) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return commit(ctx, c.DB, "taking NATS credential "+minted.Name+" back", func(tx *sqldb.Tx) error {
		if err := remove(ctx, tx, minted); err != nil {
			return err
		}
		return record(ctx, tx, actionCreate, minted.Name, audit.Failed)
	})
}

// Revoke ends a credential: its connections are closed before it returns, and its consumer is deleted. One
// that visible refuses is ErrNotFound, like one that is not there.
func (c *Credentials) Revoke(ctx context.Context, name string, visible func(Credential) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var gone Credential
	err := commit(ctx, c.DB, "revoking a NATS credential", func(tx *sqldb.Tx) (err error) {
		if gone, err = find(ctx, tx, name, c.Now()); err != nil {
			return err
		}
		if !visible(gone) {
			return ErrNotFound
		}
		if err := remove(ctx, tx, gone); err != nil {
			return err
		}
		return record(ctx, tx, actionRevoke, name, audit.Done)
	})
	if err != nil || c.Server == nil {
		return err
	}
	// It is gone whatever happens now; the connections must be too, although the caller may be.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	token, err := gone.revoked().Encode(c.Authority.operator)
	if err == nil {
		err = c.Server.SetAccount(gone.Account, token)
	}
	if err != nil {
		return fmt.Errorf("closing the connections of NATS credential %s: %w", name, err)
	}
	if gone.Durable {
		if err := c.dropConsumer(ctx, name); err != nil { // nobody can use it, and the next sweep drops it
			c.Log.Warn("the consumer of a revoked NATS credential is still there", "name", name, "error", err)
		}
	}
	return nil
}

// What the audit log calls it.
const (
	actionCreate = "nats_credential.create"
	actionRevoke = "nats_credential.revoke"
)

func record(ctx context.Context, tx *sqldb.Tx, action, name string, outcome audit.Outcome) error {
	_, err := audit.Record(ctx, tx, audit.Entry{Actor: audit.ActorFrom(ctx), Action: action, Target: name, Outcome: outcome})
	return err
}

// List returns a page of what is visible, newest first, and the cursor of the next, "" at the end.
func (c *Credentials) List(ctx context.Context, after string, limit int, visible func(Credential) bool) ([]Credential, string, error) {
	return list(ctx, c.DB, after, limit, c.Now(), visible)
}

// Get returns one credential. One that visible refuses is ErrNotFound, like one that is not there.
func (c *Credentials) Get(ctx context.Context, name string, visible func(Credential) bool) (Credential, error) {
	var r row
	err := c.DB.Get(ctx, &r, selectCredentials+` WHERE name = ?`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return Credential{}, ErrNotFound
	}
	if err != nil {
		return Credential{}, fmt.Errorf("reading a NATS credential: %w", err)
	}
	found, err := r.credential(c.Now())
	if err == nil && !visible(found) {
		err = ErrNotFound
	}
	if err != nil {
		return Credential{}, err
	}
	return found, nil
}

// All makes every credential visible.
func All(Credential) bool { return true }

const settleEvery = 30 * time.Second

// Run keeps consumers and credentials in line until ctx ends: expired ones lose theirs.
func (c *Credentials) Run(ctx context.Context) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := c.Settle(ctx); err != nil && ctx.Err() == nil {
			c.Log.Warn("the consumers of NATS credentials could not be looked at", "error", err)
		}
	}
}
