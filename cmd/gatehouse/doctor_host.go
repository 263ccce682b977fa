package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/telemetry"
	"gatehouse/internal/vault"
	"gatehouse/keys"
)

// What doctor looks at on this machine.

func (c *doctorCommand) checkDirectory(context.Context) finding {
	info, err := os.Stat(c.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return off("%s does not exist yet; the first start makes it", c.DataDir)
	case err != nil:
		return fail("let the gateway's user reach it", "%s", err)
	case !info.IsDir():
		return fail("set GATEHOUSE_DATA_DIR to a directory", "%s is not a directory", c.DataDir)
	case info.Mode().Perm()&0o077 != 0:
		return warn("the next start closes it to 0700", "%s is open to others (mode %04o)", c.DataDir, info.Mode().Perm())
	}
	return ok("%s", c.DataDir)
}

const (
	// leastFree is what the streams and the log want at least until somebody has looked.
	leastFree = 1 << 30
	// leastSyncs a second keep a webhook's answer under about 50 ms: each waits for one sync.
	leastSyncs = 40
)

// checkDisk measures what every webhook waits for: a small write that is synced.
func (c *doctorCommand) checkDisk(ctx context.Context) finding {
	dir, err := existing(c.DataDir)
	if err != nil {
		return fail("let the gateway's user reach it", "%s", err)
	}
	var space syscall.Statfs_t
	if err := syscall.Statfs(dir, &space); err != nil {
		return fail("let the gateway's user reach it", "%s: %s", dir, err)
	}
	free := space.Bavail * uint64(space.Bsize)
	rate, err := syncRate(ctx, dir)
	if err != nil {
		return fail("make room, or let the gateway's user write there", "%s", oneLine(err))
	}
	detail := fmt.Sprintf("%.1f GiB free, %.0f synced writes a second", float64(free)/(1<<30), rate)
	switch {
	case free < leastFree:
		return warn("make room, or move GATEHOUSE_DATA_DIR", "%s", detail)
	case rate < leastSyncs:
		return warn("move GATEHOUSE_DATA_DIR to a faster disk: each webhook waits for a sync", "%s", detail)
	}
	return ok("%s", detail)
}

// existing is the directory itself, or the nearest above it that is there.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if _, err = os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir, err = filepath.Dir(dir), nil
	}
	return dir, err
}

// syncRate writes pages of a file for a third of a second, syncing each. The file stays small: a disk that is nearly full
// must not be filled by looking at it.
func syncRate(ctx context.Context, dir string) (float64, error) {
	f, err := os.CreateTemp(dir, ".gatehouse-doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page, syncs, began := make([]byte, 4096), 0, time.Now()
	for time.Since(began) < time.Second/3 && ctx.Err() == nil {
		if _, err := f.WriteAt(page, int64(syncs%64*len(page))); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		syncs++
	}
	return float64(syncs) / time.Since(began).Seconds(), nil
}

const fixKeyset = "put the right file there; see docs/operations.md"

func (c *doctorCommand) checkKeyset(ctx context.Context) finding {
	return c.peek(ctx, func(db *sqldb.DB) (finding, error) {
		made, current, err := schema(ctx, db)
		sealed := 0
		if err == nil && made {
			err = db.Get(ctx, &sealed, `SELECT COUNT(*) FROM vault_secrets`)
		}
		if err != nil {
			return finding{}, err
		}
		_, unread := vault.ReadKeyset(c.keysetPath())
		missing := errors.Is(unread, fs.ErrNotExist)
		switch {
		case sealed == 0 && missing && db.Postgres():
			return fail("make one and give it to every replica: gatehouse keys file new", "%s does not exist", c.keysetPath()), nil
		case sealed == 0 && missing:
			return off("%s: %s", c.keysetPath(), errNothingThere), nil
		case unread != nil && !missing:
			return fail(fixKeyset, "%s", oneLine(unread)), nil
		case sealed == 0:
			return ok("%s; nothing is sealed yet", c.keysetPath()), nil
		case !missing && !current:
			return off("not known before the migrations; a wrong one stops the start, and changes nothing"), nil
		}
		v, err := vault.Check(ctx, c.keysetPath(), db.Writer())
		if err == nil {
			err = keys.New(keys.Config{DB: db, Vault: v, Path: c.keysetPath(), Columns: sealedColumns()}).Complete(ctx)
		}
		if err != nil {
			return fail(fixKeyset, "%s", oneLine(err)), nil
		}
		return ok("%s fits the database", c.keysetPath()), nil
	})
}

// checkListeners tells whether the ports are free, unless it is a gateway that has them.
func (c *doctorCommand) checkListeners(ctx context.Context) finding {
	for _, l := range c.listeners() {
		if l.addr == "" {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.addr)
		if err == nil {
			_ = listener.Close()
			continue
		}
		if errors.Is(err, syscall.EADDRINUSE) && c.runs(ctx) {
			if c.elsewhere() {
				return fail("set GATEHOUSE_"+l.variable+", or stop that gateway", "%s is in use by a gateway of another data directory", l.addr)
			}
			return off("in use by the gateway that runs")
		}
		return fail("set GATEHOUSE_"+l.variable+", or stop what has the port", "%s", oneLine(err))
	}
	return ok("the addresses are free")
}

// elsewhere tells that no gateway runs on this data directory, so that one that answers is another's.
func (c *doctorCommand) elsewhere() bool {
	if !c.DatabaseURL.IsZero() && c.NATSURL != "" {
		return false // nothing is locked then
	}
	if !holds(c.DataDir, "lock") {
		return true
	}
	lock, err := sqldb.LockMade(c.DataDir)
	return err == nil && lock.Unlock() == nil
}

type listenAddr struct{ variable, addr string }

func (c *Config) listeners() []listenAddr {
	all := []listenAddr{{"ADDR", c.Addr}, {"ADMIN_ADDR", c.AdminAddr}, {"OPS_ADDR", c.OpsAddr}}
	if c.NATSURL == "" {
		all = append(all, listenAddr{"NATS_LISTEN", c.NATSListen})
	}
	return all
}

// soon is how long before its end a certificate is worth a warning.
const soon = 14 * 24 * time.Hour

func (c *doctorCommand) checkCertificate(context.Context) finding {
	if c.TLSCertFile == "" {
		if c.PublicURL.Scheme == "https" {
			return off("none: a proxy serves %s", c.PublicURL.Host)
		}
		return off("none: http on this machine only")
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
	if err != nil {
		return fail("check GATEHOUSE_TLS_CERT_FILE and GATEHOUSE_TLS_KEY_FILE", "%s", oneLine(err))
	}
	leaf := pair.Leaf
	if err := leaf.VerifyHostname(c.PublicURL.Hostname()); err != nil {
		return fail("get a certificate for the host of GATEHOUSE_PUBLIC_URL", "%s", oneLine(err))
	}
	return validity(leaf.NotBefore, leaf.NotAfter)
}

func validity(from, until time.Time) finding {
	const fix = "renew the certificate"
	now := time.Now()
	switch {
	case now.Before(from):
		return fail("check this machine's clock", "valid only from %s", from.UTC().Format(time.RFC3339))
	case now.After(until):
		return fail(fix, "expired on %s", until.UTC().Format(time.RFC3339))
	case now.Add(soon).After(until):
		return warn(fix, "ends on %s", until.UTC().Format(time.RFC3339))
	}
	return ok("valid until %s", until.UTC().Format(time.DateOnly))
}

func (c *doctorCommand) checkBus(ctx context.Context) finding {
	if c.NATSURL == "" {
		if c.NATSListen == "" {
			return ok("embedded, for this process only")
		}
		return ok("embedded, on %s", c.NATSListen)
	}
	detail, err := events.Inspect(ctx, events.BusConfig{
		URL: c.NATSURL, CredsFile: c.NATSCredsFile, CAFile: c.NATSCAFile, Replicas: c.NATSReplicas, Retention: c.Retention,
		Log: telemetry.NewLogger(io.Discard, "text", 0),
	})
	if err != nil {
		return fail("check GATEHOUSE_NATS_URL, the credentials and the CA, and that JetStream is on", "%s", oneLine(err))
	}
	return ok("external, %s", detail)
}
