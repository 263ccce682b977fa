package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
	"gatehouse/migrations"
)

// besideOrAlone is embedded in administrative commands. They ask the gateway while one runs, and open the
// data directory themselves while none does: an operator must be able to change keys and credentials
// without starting a gateway first, and no two processes may write one directory.
type besideOrAlone struct {
	client
	DataDir     string       `default:"./data" placeholder:"DIR" help:"The gateway's data directory, opened when no gateway runs on it. Default: ${default}."`
	DatabaseURL vault.Secret `name:"database-url" placeholder:"URL" help:"The gateway's PostgreSQL, where it has one."`
	KeysetFile  string       `placeholder:"FILE" help:"The gateway's key set. Default: keyset.json in the data directory."`
}

// alone is an open data directory. No gateway can start on it before Close.
type alone struct {
	db    *sqldb.DB
	vault *vault.Vault
	lock  *sqldb.DirLock
}

func (a *alone) Close() error { return errors.Join(a.db.Close(), a.lock.Unlock()) }

// open opens the data directory. It returns nil when the command is to ask a gateway instead: one runs
// there, or GATEHOUSE_URL names another machine, or there is no data directory here. In that case the key
// defaults to the directory's admin-token.
func (c *besideOrAlone) open(ctx context.Context) (_ *alone, err error) {
	c.adminToken = filepath.Join(c.DataDir, "admin-token")
	if _, err := os.Stat(filepath.Join(c.DataDir, "lock")); err != nil || !isLoopback(c.URL.Hostname()) {
		return nil, nil
	}
	lock, err := sqldb.LockMade(c.DataDir)
	if errors.Is(err, sqldb.ErrInUse) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := &alone{lock: lock}
	defer func() {
		if err != nil {
			_ = lock.Unlock()
		}
	}()
	if a.db, err = sqldb.Open(ctx, c.DatabaseURL.Reveal(), c.DataDir); err != nil {
		return nil, err
	}
	if _, err = migrations.Up(ctx, a.db.Writer().DB, a.db.Postgres()); err == nil {
		config := Config{DataDir: c.DataDir, KeysetFile: c.KeysetFile}
		a.vault, err = vault.Load(ctx, config.keysetPath(), a.db.Writer(), false)
	}
	if err != nil {
		return nil, errors.Join(err, a.db.Close())
	}
	return a, nil
}
