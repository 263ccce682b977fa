package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/apikeys"
	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/egress"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/telemetry"
	"gatehouse/internal/vault"
	"gatehouse/keys"
	"gatehouse/migrations"
	"gatehouse/oauth"
	"gatehouse/sharing"
	"gatehouse/tokens"
	"gatehouse/web"
	"gatehouse/web/dashboard"
	"gatehouse/webhooks"
)

// App is a gateway, put together and ready to run. This file is the whole wiring.
type App struct {
	config   *Config
	log      *slog.Logger
	registry *prometheus.Registry
	tracing  *telemetry.Tracing

	db       *sqldb.DB
	vault    *vault.Vault
	ring     *keys.Ring
	embedded *events.Embedded
	nats     *natsauth.Credentials // with the embedded server only
	bus      *events.Bus
	events   *events.Log
	egress   *egress.Client
	keys     *apikeys.Keys
	relay    *events.Relay
	history  *events.History
	audit    *audit.Log
	herald   *audit.Herald
	pulse    *dashboard.Pulse
	pages    *dashboard.Dashboard
	keep     *events.Retention

	endpoints  *webhooks.Endpoints
	deliveries *webhooks.Deliveries

	// With a DoorFlow application only.
	outbound http.RoundTripper
	keeper   *tokens.Keeper
	connect  *oauth.Connect
	receiver *webhooks.Receiver
	fetcher  *webhooks.Fetcher
	catchup  *webhooks.Catchup

	// With a Doordeck application only.
	identities *sharing.Identities
	operations *sharing.Operations
	service    *sharing.Service // where operations may be asked over NATS, as commands
	commands   *sharing.Commands

	public, private, ops net.Listener // private and ops may be nil
	servers              []func(context.Context) error
	withoutRelay         bool // for measuring
	// closers are run last to first.
	closers []func() error
}

// Open opens everything a gateway needs, in the order in which it is needed. What was opened before
// something failed is closed again.
func Open(ctx context.Context, c *Config, log *slog.Logger) (_ *App, err error) {
	a := &App{config: c, log: log, registry: web.NewRegistry()}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	steps := []func(context.Context) error{
		a.openTracing, a.openEgress, a.openListeners, a.openData, a.openVault, a.openNATS, a.openLog, a.openKeys, a.openEndpoints, a.openDeliveries, a.openDoorFlow, a.openDoordeck, a.openRetention, a.openWeb,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Close closes what Open opened.
func (a *App) Close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		if err := a.closers[i](); err != nil {
			a.log.Debug("closing", "error", err)
		}
	}
	a.closers = nil
}

func (a *App) closeLater(f func() error) { a.closers = append(a.closers, f) }

func (a *App) openTracing(ctx context.Context) error {
	tracing, err := telemetry.SetupTracing(ctx, version(), a.log)
	if err != nil {
		return err
	}
	a.tracing = tracing
	a.closeLater(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return tracing.Shutdown(ctx)
	})
	a.registry.MustRegister(telemetry.BuildInfo(version()))
	return nil
}

// openData locks the data directory and opens the database. With PostgreSQL the directory holds at most
// the embedded NATS server's store.
func (a *App) openData(ctx context.Context) error {
	if a.config.DatabaseURL.IsZero() || a.config.NATSURL == "" {
		lock, err := sqldb.LockDir(a.config.DataDir)
		if err != nil {
			return err
		}
		a.closeLater(lock.Unlock)
	}
	db, err := sqldb.Open(ctx, a.config.DatabaseURL.Reveal(), a.config.DataDir)
	if err != nil {
		return err
	}
	a.db = db
	a.closeLater(db.Close)
	if _, err = migrations.Up(ctx, db.Writer().DB, db.Postgres()); err == nil && !db.Postgres() {
		err = db.ForgetLeases(ctx)
	}
	return err
}

func (a *App) openVault(ctx context.Context) (err error) {
	if a.vault, err = vault.Load(ctx, a.config.keysetPath(), a.db.Writer(), !a.db.Postgres()); err != nil {
		return err
	}
	a.db.SignWith(auditMAC(a.vault))
	a.ring = keys.New(keys.Config{
		DB: a.db, Vault: a.vault, Path: a.config.keysetPath(), Columns: sealedColumns(), Name: replicaName(a.public.Addr().String()),
		Registerer: a.registry, Log: a.log,
	})
	return a.ring.Join(ctx)
}

// sealedColumns are all places of sealed values. A rotation of the keys leaves behind what is not here.
func sealedColumns() []vault.Column {
	return slices.Concat(vault.SealedColumns(), tokens.SealedColumns(), oauth.SealedColumns(), sharing.SealedColumns(), webhooks.SealedColumns())
}

// replicaName is what operators know a process by.
func replicaName(where string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return host + " " + where
}

func (a *App) openLog(ctx context.Context) error {
	log, err := events.OpenLog(ctx, events.LogConfig{DB: a.db, Registerer: a.registry, Log: a.log})
	if err != nil {
		return err
	}
	a.events = log
	a.history = events.NewHistory(a.db, log)
	a.openAudit()
	a.relay = events.NewRelay(events.RelayConfig{DB: a.db, Log: log, Bus: a.bus, Registerer: a.registry, Logger: a.log})
	return nil
}

// openKeys opens the API keys and the admin token. On PostgreSQL the token is configured, the same on every
// replica.
func (a *App) openKeys(ctx context.Context) (err error) {
	c := apikeys.Config{DB: a.db, Events: a.events, Token: a.config.AdminToken, Log: a.log}
	if !a.db.Postgres() {
		c.TokenFile = filepath.Join(a.config.DataDir, "admin-token")
	}
	a.keys, err = apikeys.Open(ctx, c)
	return err
}

// authenticate finds the caller behind a key.
func (a *App) authenticate(ctx context.Context, sent vault.Secret) (web.Caller, bool, error) {
	key, ok, err := a.keys.Authenticate(ctx, sent)
	return web.CallerOf(key), ok, err
}

// openDoorFlow puts together what speaks with DoorFlow, where an OAuth application is configured.
func (a *App) openDoorFlow(ctx context.Context) error {
	if !a.config.doorflow() {
		a.log.Warn("DoorFlow is off: set GATEHOUSE_DOORFLOW_CLIENT_ID and GATEHOUSE_DOORFLOW_CLIENT_SECRET")
		return nil
	}
	secrets, err := a.config.webhookSecrets()
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64 // every account speaks with the same host
	transport.MaxResponseHeaderBytes = 256 << 10
	a.outbound = a.tracing.Transport(transport)
	if err := a.openTokens(); err != nil {
		return err
	}
	a.fetcher = webhooks.NewFetcher(webhooks.FetcherConfig{
		DB: a.db, Log: a.events, API: doorflow.API{Base: a.config.DoorflowAPIURL},
		Client: a.client, Active: a.keeper.Active, Unusable: unusable, Forbidden: a.keeper.Forbidden,
		Numbers: a.numbers(), Digest: func(state []byte) []byte { return a.vault.MAC("credential state", state) },
		PerSecond: a.config.DoorflowRate, Registerer: a.registry, Logger: a.log,
	})
	a.catchup = webhooks.NewCatchup(webhooks.CatchupConfig{
		Fetcher: a.fetcher, Every: a.config.DoorflowCatchup, Silence: a.config.DoorflowSilence, Registerer: a.registry, Logger: a.log,
	})
	a.followConnections()
	a.receiver, err = webhooks.NewReceiver(ctx, webhooks.ReceiverConfig{
		DB: a.db, Log: a.events, API: a.config.DoorflowAPIURL,
		Verifier:  &doorflow.Verifier{Secrets: secrets, Tolerance: a.config.DoorflowWebhookTolerance},
		Connected: a.fetcher.Connected, Arrived: a.fetcher.Arrived,
		Registerer: a.registry, Logger: a.log,
	})
	return err
}

// openRetention brings together what removes what is old.
func (a *App) openRetention(context.Context) error {
	prune := []events.Pruner{events.PruneMessages(a.events, a.config.Retention, a.deliveries.Keep)}
	prune = append(prune, a.deliveries.Pruners(a.config.Retention, a.config.ParkedRetention)...)
	if a.fetcher != nil {
		prune = append(prune, a.fetcher.Pruners(a.config.Retention)...)
	}
	if a.operations != nil {
		prune = append(prune, a.operations.Pruner(a.config.Retention), a.operations.CommandPruner())
	}
	a.keep = events.NewRetention(a.events, a.log, prune...)
	return nil
}

// followConnections lets what depends on a connection act in the same commit that changes it, or after.
func (a *App) followConnections() {
	a.keeper.OnActive = func(ctx context.Context, tx *events.Tx, account string) error {
		if err := a.fetcher.Resume(ctx, tx, account); err != nil {
			return err
		}
		return a.catchup.Begin(ctx, tx, account)
	}
	a.keeper.AfterActive = func(account string) {
		a.fetcher.Activated(account)
		a.catchup.Activated(account)
	}
	a.keeper.OnDisconnect = func(ctx context.Context, tx *events.Tx, account string) error {
		if err := a.connect.Disconnected(ctx, tx, account); err != nil {
			return err
		}
		return a.catchup.Forget(ctx, tx, account)
	}
}

// client speaks with DoorFlow's API as one account.
func (a *App) client(account string) *http.Client { return a.keeper.Client(account, a.outbound) }

// unusable tells a connection that needs a person from one that is merely slow.
func unusable(err error) bool {
	return errors.Is(err, tokens.ErrNeedsReconnect) || errors.Is(err, tokens.ErrNotConnected)
}

// numbers is what stands for a card number or PIN in a message.
func (a *App) numbers() doorflow.Numbers {
	switch a.config.CredentialNumbers {
	case "pass":
		return func(number string) any { return number }
	case "hmac":
		return func(number string) any {
			return "hmac:" + hex.EncodeToString(a.vault.MAC("credential number", []byte(number))[:16])
		}
	default:
		return doorflow.Masked
	}
}

// stages are what runs, in the order in which it is stopped: first what lets work in, last what stores it.
func (a *App) stages() []stage {
	var front, work, back stage
	front.name, work.name, back.name = "listeners", "workers", "relay"
	front.parts = a.servers
	if a.service != nil {
		front.parts = append(front.parts, a.service.Run, a.commands.Run)
	}
	work.parts = append(work.parts, a.keep.Run, a.ring.Run, a.runHerald, a.deliveries.Run, a.pulse.Run, a.pages.Run, a.keys.Run)
	if a.nats != nil {
		work.parts = append(work.parts, a.nats.Run)
	}
	if a.keeper != nil {
		work.parts = append(work.parts, a.fetcher.Run, a.catchup.Run, a.keeper.Run, a.connect.Run)
	}
	if a.identities != nil {
		work.parts = append(work.parts, a.identities.Run, a.operations.Run)
	}
	if !a.withoutRelay {
		back.parts = append(back.parts, a.relay.Run)
	}
	stages := []stage{front, work, back, {"log", []func(context.Context) error{a.events.Run}}}
	if a.embedded != nil {
		stages = append(stages, stage{"nats", []func(context.Context) error{a.embedded.Run}})
	}
	return stages
}

type stage struct {
	name  string
	parts []func(context.Context) error
}

// stopTimeout is how long an orderly end may take. What is not finished by then is no worse off than after
// a crash, and the next start takes it up.
const stopTimeout = 9 * time.Second

// Run runs the gateway until ctx ends or a part of it fails, then stops it stage by stage.
func (a *App) Run(ctx context.Context) error {
	stages := a.stages()
	failed := make(chan error, 16)
	stops := make([]func(), len(stages))
	waits := make([]*sync.WaitGroup, len(stages))
	for i, s := range stages {
		running, cancel := context.WithCancel(context.WithoutCancel(ctx))
		stops[i], waits[i] = cancel, &sync.WaitGroup{}
		for _, part := range s.parts {
			waits[i].Go(func() {
				if err := part(running); err != nil {
					failed <- err
				}
			})
		}
	}
	var err error
	select {
	case <-ctx.Done():
		a.log.Info("stopping: what was accepted is being finished")
	case err = <-failed:
	}
	if a.keeper != nil {
		a.keeper.Drain()
	}
	deadline := time.NewTimer(stopTimeout)
	defer deadline.Stop()
	for i, s := range stages {
		stops[i]()
		done := make(chan struct{})
		go func() { waits[i].Wait(); close(done) }()
		select {
		case <-done:
		case <-deadline.C:
			for _, stop := range stops {
				stop()
			}
			return errors.Join(err, fmt.Errorf("the %s did not stop in time", s.name))
		}
	}
	return err
}

// awaitRelayed waits until everything in the log is in the stream.
func (a *App) awaitRelayed(ctx context.Context) error {
	for {
		behind, err := a.relay.Behind(ctx)
		if err != nil || behind == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
