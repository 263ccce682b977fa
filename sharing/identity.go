package sharing

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doordeck"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

// The statuses of an identity. Whatever its status, it may act while its chain is good; see
// Identity.ServesUntil.
const (
	// StatusUnregistered: Doordeck has not taken its key yet.
	StatusUnregistered = "unregistered"
	// StatusVerification: Doordeck wants its key proven by a code that it sends to the person.
	StatusVerification = "verification_required"
	// StatusReady: its key is registered.
	StatusReady = "ready"
	// StatusFailed: Doordeck refuses it for a reason that somebody has to look at. It is still tried.
	StatusFailed = "failed"

	// said when a ready identity has got a new chain; not a status
	saidRenewed = "renewed"
)

// IdentitiesConfig is what Identities need. All but Now must be set.
type IdentitiesConfig struct {
	DB     *sqldb.DB
	Events *events.Log
	Vault  *vault.Vault
	Audit  *audit.Log
	Client *doordeck.Client
	// Issuer is the OpenID issuer as it is registered for the application, and Key signs for it.
	Issuer     string
	Key        doordeck.ApplicationKey
	Registerer prometheus.Registerer
	Log        *slog.Logger
	Now        func() time.Time // nil means time.Now
}

// Identities are the Doordeck administrators that the gateway signs as. They may be used by many goroutines at
// once, and by many replicas on one database.
type Identities struct {
	db      *sqldb.DB
	events  *events.Log
	vault   *vault.Vault
	audit   *audit.Log
	client  *doordeck.Client
	clock   *doordeck.Clock // Doordeck's
	issuer  doordeck.Issuer
	log     *slog.Logger
	now     func() time.Time
	metrics *identityMetrics
	poke    chan struct{}
	names   doorNames
}

// NewIdentities makes them. Nothing is asked of Doordeck before Run or a call.
func NewIdentities(c IdentitiesConfig) *Identities {
	if c.Now == nil {
		c.Now = time.Now
	}
	clock := doordeck.NewClock(c.Client.Time, c.Now)
	return &Identities{
		db: c.DB, events: c.Events, vault: c.Vault, audit: c.Audit, client: c.Client, clock: clock,
		issuer: doordeck.Issuer{URL: c.Issuer, Key: c.Key, Clock: clock},
		log:    c.Log, now: c.Now, metrics: newIdentityMetrics(c.Registerer), poke: make(chan struct{}, 1), names: doorNames{db: c.DB},
	}
}

// wake lets Run look at once.
func (i *Identities) wake() {
	select {
	case i.poke <- struct{}{}:
	default:
	}
}
