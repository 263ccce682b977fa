package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/telemetry"
	"gatehouse/keys"
)

// withKeys asks the gateway that runs, or opens the data directory and works on it as a gateway would, until
// use returns. A database that is shared it joins as one more replica, unless a key was given to ask with.
func (c *besideOrAlone) withKeys(ctx context.Context, t *terminal, use func(keeper) error) error {
	a, err := c.open(ctx)
	if a == nil && err == nil && !c.DatabaseURL.IsZero() && c.Token.IsZero() {
		a, err = c.openStore(ctx)
	}
	if err != nil {
		return err
	}
	if a == nil {
		return use(&askedKeys{&c.client})
	}
	defer a.Close()
	var settle time.Duration
	if !a.db.Postgres() {
		settle = time.Nanosecond // there is nobody else, so nothing is on its way
	}
	ring := keys.New(keys.Config{
		DB: a.db, Vault: a.vault, Path: c.keysetPath(), Columns: sealedColumns(), Name: replicaName("(this command)"),
		Settle: settle, Log: telemetry.NewLogger(t.err, "text", slog.LevelError),
	})
	if err := ring.Join(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- ring.Run(running) }()
	err = use(localKeys{ring})
	stop()
	return errors.Join(err, <-ended)
}

// localKeys notes that a command did it.
type localKeys struct{ *keys.Ring }

func (k localKeys) Rotate(ctx context.Context, dropOld bool) (keys.Status, error) {
	return k.Ring.Rotate(asCommand(ctx), dropOld)
}

func (k localKeys) Drop(ctx context.Context) (keys.Status, error) { return k.Ring.Drop(asCommand(ctx)) }

func asCommand(ctx context.Context) context.Context {
	return audit.WithActor(ctx, audit.Actor{Kind: audit.KindLocal, Name: "gatehouse keys"})
}

// askedKeys is a running gateway.
type askedKeys struct{ c *client }

func (k *askedKeys) Status(ctx context.Context) (s keys.Status, err error) {
	return s, k.c.do(ctx, http.MethodGet, "/v1/keys", nil, nil, &s)
}

func (k *askedKeys) Rotate(ctx context.Context, dropOld bool) (s keys.Status, err error) {
	return s, k.c.do(ctx, http.MethodPost, "/v1/keys/rotate", nil, map[string]bool{"drop_old": dropOld}, &s)
}

func (k *askedKeys) Drop(ctx context.Context) (s keys.Status, err error) {
	return s, k.c.do(ctx, http.MethodPost, "/v1/keys/drop", nil, nil, &s)
}
