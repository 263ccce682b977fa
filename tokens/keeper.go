package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// Pair is what DoorFlow gives for a code or a refresh token. A refresh that names no new refresh token
// keeps the old; no scopes, likewise. An alias of a plain struct, so that another package can have the
// same type without importing this one.
type Pair = struct {
	Access, Refresh vault.Secret
	ExpiresAt       time.Time
	Scopes          []string
}

// Grant is what a person has authorised: a pair and the account it is for. An alias like Pair.
type Grant = struct {
	Account         string
	Access, Refresh vault.Secret
	ExpiresAt       time.Time
	Scopes          []string
}

// Authority is DoorFlow's authorization server. Of its errors the methods Revoked and Misconfigured are
// asked, where they have them (errors.As); any other failure counts as one that may pass.
type Authority interface {
	Refresh(ctx context.Context, refresh vault.Secret) (Pair, error)
	Revoke(ctx context.Context, token vault.Secret) error
}

// Config is what a Keeper needs.
type Config struct {
	DB           *sqldb.DB
	Events       *events.Log
	Vault        *vault.Vault
	OAuth        Authority
	APIURL       string // the only origin that Client sends tokens to
	WantedScopes []string
	Registerer   prometheus.Registerer
	Log          *slog.Logger
	Now          func() time.Time // nil means time.Now
}

const (
	// leaseFor is how long a process that died keeps others from refreshing an account.
	leaseFor = 30 * time.Second
	// askFor bounds one call to DoorFlow. It is under half the lease, so that the lease outlives the call
	// and the first attempt to store.
	askFor = 12 * time.Second
	// workFor bounds the wait for the lease and the call together; storing has no bound.
	workFor = time.Minute
)

// Keeper keeps the tokens. It is safe for concurrent use.
type Keeper struct {
	// OnActive runs in the same commit that makes a connection active (again). It does no I/O but through
	// tx. Set it before the Keeper is used.
	OnActive func(ctx context.Context, tx *events.Tx, account string) error
	// OnDisconnect runs likewise in the commit that disconnects an account.
	OnDisconnect func(ctx context.Context, tx *events.Tx, account string) error
	// AfterActive is called after the commit that makes a connection active.
	AfterActive func(account string)

	db      *sqldb.DB
	events  *events.Log
	vault   *vault.Vault
	oauth   Authority
	apiURL  string
	wanted  []string
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics

	flights singleflight.Group
	pace    pace
	poke    chan struct{}

	mu      sync.Mutex
	closing bool
	working sync.WaitGroup
	loud    time.Time // when a misconfiguration was last shouted about
	tries   map[string]attempts
}

// New returns a Keeper. Nothing runs until it is asked for something; Run looks after the rest.
func New(c Config) *Keeper {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Keeper{
		db: c.DB, events: c.Events, vault: c.Vault, oauth: c.OAuth, apiURL: c.APIURL,
		wanted: tidy(c.WantedScopes), log: c.Log, now: c.Now, metrics: newMetrics(c.Registerer),
		poke: make(chan struct{}, 1), tries: map[string]attempts{},
	}
}

// Token returns an access token of the account with some life left, refreshed first where under a minute
// remains. While a refresh fails for a reason that may pass, a token that has not expired yet will do.
// Errors: ErrNotConnected, ErrNeedsReconnect, ErrUnavailable.
func (k *Keeper) Token(ctx context.Context, account string) (vault.Secret, error) {
	r, err := k.connected(ctx, account)
	if err != nil {
		return vault.Secret{}, err
	}
	if r.fresh(k.now()) {
		return k.access(r)
	}
	return k.fly(ctx, account, vault.Secret{})
}

// Rejected is told that DoorFlow answered 401 to a token of ours. It returns another: the one that has
// come in its place, or else a refreshed one.
func (k *Keeper) Rejected(ctx context.Context, account string, used vault.Secret) (vault.Secret, error) {
	r, err := k.connected(ctx, account)
	if err != nil {
		return vault.Secret{}, err
	}
	if token, ok, err := k.settled(r, used); ok || err != nil {
		k.metrics.refreshes.WithLabelValues("reused").Inc()
		return token, err
	}
	return k.fly(ctx, account, used)
}

// connected reads a row that has tokens to give.
func (k *Keeper) connected(ctx context.Context, account string) (row, error) {
	r, err := k.read(ctx, account)
	if errors.Is(err, ErrNotFound) {
		return r, ErrNotConnected
	}
	if err != nil {
		return r, err
	}
	return r, r.usable()
}

// settled tells whether a row holds a token that needs no refresh: one with life left that is not the
// one that was refused.
func (k *Keeper) settled(r row, rejected vault.Secret) (vault.Secret, bool, error) {
	if r.usable() != nil || !r.fresh(k.now()) {
		return vault.Secret{}, false, nil
	}
	token, err := k.access(r)
	return token, err == nil && token != rejected, err
}

// fly refreshes, together with all who want the same. The work belongs to all of them, and a pair that
// DoorFlow has rotated must be stored whoever has left, so it runs apart from the caller's context.
func (k *Keeper) fly(ctx context.Context, account string, rejected vault.Secret) (vault.Secret, error) {
	// Those who come for another reason (their own token was refused) take a flight of their own: the
	// result of this one might be just the token that they were refused with.
	reason := sha256.Sum256([]byte(rejected.Reveal()))
	flight := k.flights.DoChan(account+"\x00"+string(reason[:]), func() (any, error) {
		if !k.begin() {
			return vault.Secret{}, unavailable(account, errors.New("the gateway is stopping"))
		}
		defer k.working.Done()
		work, cancel := context.WithTimeout(context.WithoutCancel(ctx), workFor)
		defer cancel()
		return k.refresh(work, account, rejected)
	})
	select {
	case done := <-flight:
		return done.Val.(vault.Secret), done.Err
	case <-ctx.Done():
		return vault.Secret{}, ctx.Err()
	}
}

// begin counts a piece of detached work, so that Run can wait for it at the end.
func (k *Keeper) begin() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing {
		return false
	}
	k.working.Add(1)
	return true
}

// newLease keeps other processes, and other flights of this one, from refreshing an account.
func (k *Keeper) newLease(account string) *sqldb.Lease {
	return k.db.NewLease("refresh/"+account, leaseFor)
}
