package main

import (
	"context"
	"errors"
	"fmt"
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
	DataDir     string       `group:"Which gateway:" default:"./data" placeholder:"DIR" help:"The gateway's data directory, opened when no gateway runs on it. Default: ${default}."`
	DatabaseURL vault.Secret `group:"Which gateway:" name:"database-url" placeholder:"URL" help:"The gateway's PostgreSQL, where it has one."`
	KeysetFile  string       `group:"Which gateway:" placeholder:"FILE" help:"The gateway's key set. Default: keyset.json in the data directory."`
}

// alone is an open data directory. No gateway can start on it before Close.
type alone struct {
	db    *sqldb.DB
	vault *vault.Vault
	lock  *sqldb.DirLock // nil where the database is shared
}

func (a *alone) Close() error {
	err := a.db.Close()
	if a.lock != nil {
		err = errors.Join(err, a.lock.Unlock())
	}
	return err
}

// defaultDataDir need not be there: the gateway may be on another machine.
const defaultDataDir = "data"

func (c *besideOrAlone) keysetPath() string {
	return (&Config{DataDir: c.DataDir, KeysetFile: c.KeysetFile}).keysetPath()
}

// open opens the data directory. It returns nil when the command is to ask a gateway instead: one runs
// there, or GATEHOUSE_URL names another machine, or no gateway has been started in the directory, or none was named
// and the default is not there or a key was given. The key defaults to the directory's admin-token.
func (c *besideOrAlone) open(ctx context.Context) (_ *alone, err error) {
	c.adminToken = filepath.Join(c.DataDir, "admin-token")
	named := filepath.Clean(c.DataDir) != defaultDataDir
	if !isLoopback(c.URL.Hostname()) || !named && !c.Token.IsZero() {
		return nil, nil
	}
	if _, err := os.Stat(c.DataDir); err != nil && named {
		// Who named one means the gateway there, and not whichever answers at the URL.
		return nil, usageError(fmt.Sprintf("--data-dir: %s; leave it out to ask the gateway at %s", oneLine(err), c.URL))
	}
	if !holds(c.DataDir, "lock", "gatehouse.db") { // a restored backup has no lock yet
		return nil, nil
	}
	lock, err := sqldb.LockMade(c.DataDir)
	if errors.Is(err, sqldb.ErrInUse) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a, err := c.openStore(ctx)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	a.lock = lock
	return a, nil
}

func holds(dir string, names ...string) bool {
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// openStore opens the database and the key set.
func (c *besideOrAlone) openStore(ctx context.Context) (_ *alone, err error) {
	a := &alone{}
	if a.db, err = sqldb.Open(ctx, c.DatabaseURL.Reveal(), c.DataDir); err != nil {
		return nil, err
	}
	if _, err = migrations.Up(ctx, a.db.Writer().DB, a.db.Postgres()); err == nil {
		if a.vault, err = vault.Load(ctx, c.keysetPath(), a.db.Writer(), false); err == nil {
			a.db.SignWith(auditMAC(a.vault))
		}
	}
	if err != nil {
		return nil, errors.Join(err, a.db.Close())
	}
	return a, nil
}
