package sqldbtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver
	"github.com/jmoiron/sqlx"
)

// Cluster is a PostgreSQL server of the tests' own, listening on loopback.
type Cluster struct {
	bin, dir string
	port     int
	cmd      *exec.Cmd
	ended    chan struct{} // closed when cmd has
}

var shared struct {
	sync.Mutex
	cluster *Cluster
	users   int
}

// PostgresURL makes an empty database in this test binary's cluster and returns its URL. The cluster
// starts with the first database in use and stops with the last.
func PostgresURL(t testing.TB) string {
	t.Helper()
	if bin := binaries(); bin == "" {
		missing(t, "PostgreSQL (initdb, postgres)")
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		cluster, err := Start()
		if err != nil {
			t.Fatalf("starting PostgreSQL: %v", err)
		}
		shared.cluster = cluster
	}
	shared.users++
	t.Cleanup(func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.users--; shared.users == 0 {
			shared.cluster.Remove()
			shared.cluster = nil
		}
	})
	return shared.cluster.NewDatabase(t)
}

// Start makes a cluster in a temporary directory and starts it.
func Start() (*Cluster, error) {
	bin := binaries()
	dir, err := os.MkdirTemp("", "gatehouse-postgres-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, dir: dir}
	if c.port, err = freePort(); err != nil {
		return nil, err
	}
	if err := c.chown(); err != nil {
		return nil, err
	}
	initdb := c.command("initdb", "-D", c.data(), "-U", "gatehouse", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	// Another program may have taken the port in between.
	for attempt := 1; ; attempt++ {
		if err := c.Up(); err == nil || attempt == 5 {
			return c, err
		}
		c.Kill()
		if c.port, err = freePort(); err != nil {
			return nil, err
		}
	}
}

// Up starts the server and waits until it answers.
func (c *Cluster) Up() error {
	c.cmd = c.command("postgres", "-D", c.data(), "-p", strconv.Itoa(c.port), "-k", c.dir, "-h", "127.0.0.1",
		"-F", "-c", "max_connections=300", "-c", "log_min_messages=fatal")
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(c.cmd, c.ended)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := c.command("pg_isready", "-h", "127.0.0.1", "-p", strconv.Itoa(c.port), "-t", "30").Run()
		select {
		case <-c.ended:
			return errors.New("postgres ended at its start")
		default:
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres did not become ready: %w", err)
		}
	}
}

// Kill ends the server at once, without a checkpoint, as a crash would.
func (c *Cluster) Kill() {
	if c.cmd == nil {
		return
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGQUIT)
	<-c.ended
	c.cmd = nil
}

// Remove kills the server and deletes its files.
func (c *Cluster) Remove() {
	c.Kill()
	_ = os.RemoveAll(c.dir)
}

// NewDatabase makes an empty database and returns its URL.
func (c *Cluster) NewDatabase(t testing.TB) string {
	t.Helper()
	name := "t" + uuid.NewString()[:8]
	db, err := sqlx.Open("pgx", c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return c.URL(name)
}

// URL is where a database of the cluster is reached.
func (c *Cluster) URL(database string) string {
	return fmt.Sprintf("postgres://gatehouse@127.0.0.1:%d/%s", c.port, database)
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// command runs one of PostgreSQL's programs, as the user postgres when this is root, which it refuses.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	if uid, gid, ok := lesserUser(); ok {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	return cmd
}

func (c *Cluster) chown() error {
	if uid, gid, ok := lesserUser(); ok {
		return os.Chown(c.dir, int(uid), int(gid))
	}
	return nil
}

func lesserUser() (uid, gid uint32, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			id, _ := strconv.ParseUint(u.Uid, 10, 32)
			group, _ := strconv.ParseUint(u.Gid, 10, 32)
			return uint32(id), uint32(group), true
		}
	}
	return 0, 0, false
}

// binaries returns the directory of PostgreSQL's programs, "" where there is none.
func binaries() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			found = append(found, real)
		}
	}
	for _, path := range found {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "postgres")); err == nil {
			return filepath.Dir(path)
		}
	}
	return ""
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
