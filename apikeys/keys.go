package apikeys

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// Config is what Keys need.
type Config struct {
	DB     *sqldb.DB
	Events *events.Log
	// Token is the configured admin token, zero when there is none. It always works.
	Token vault.Secret
	// TokenFile is where an admin token is kept that is made when there is no other way in; "" for nowhere.
	TokenFile string
	Log       *slog.Logger
	Now       func() time.Time // nil means time.Now
}

// Keys are the keys of the gateway.
type Keys struct {
	db     *sqldb.DB
	events *events.Log
	file   string
	log    *slog.Logger
	now    func() time.Time

	token []byte                 // the digest of the configured admin token, nil without one
	first atomic.Pointer[[]byte] // the digest of the admin token in the file, nil when it does not work

	used uses
}

// Open reads or makes the admin token in the file, or removes it when there is another way in.
func Open(ctx context.Context, c Config) (*Keys, error) {
	k := &Keys{db: c.DB, events: c.Events, file: c.TokenFile, log: c.Log, now: c.Now}
	if k.now == nil {
		k.now = time.Now
	}
	if !c.Token.IsZero() {
		k.token = digest(c.Token)
	}
	if err := k.openFirst(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// admin is who comes with the admin token.
func admin() Key { return Key{ID: "admin-token", Name: "admin", Scopes: []string{ScopeAdmin}} }

// Authenticate finds the key behind what a caller sent; ok is false when there is none that works. An
// error says that it could not be found out. Nothing but digests is compared, so that the time it takes
// tells nothing of a key.
func (k *Keys) Authenticate(ctx context.Context, sent vault.Secret) (key Key, ok bool, err error) {
	if sent.IsZero() {
		return Key{}, false, nil
	}
	hash := digest(sent)
	if k.token != nil && subtle.ConstantTimeCompare(k.token, hash) == 1 {
		return admin(), true, nil
	}
	if first := k.first.Load(); first != nil && subtle.ConstantTimeCompare(*first, hash) == 1 {
		if ok, err := k.firstWorks(ctx); !ok {
			return Key{}, false, err
		}
		return admin(), true, nil
	}
	if !plausible(sent.Reveal()) {
		return Key{}, false, nil
	}
	var r row
	err = k.db.Get(ctx, &r, `SELECT `+columns+` FROM api_keys WHERE hash = ?`, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, false, nil
	}
	if err != nil {
		return Key{}, false, fmt.Errorf("looking an API key up: %w", err)
	}
	return k.use(r)
}
