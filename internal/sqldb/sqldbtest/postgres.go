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
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Cluster is a PostgreSQL server of the tests' own, listening on loopback.
type Cluster struct {
	bin, dir string
	port     int
	cmd      *exec.Cmd
	ended    chan struct{} // closed when cmd has
}

// Start starts a cluster of this test's own, to be killed and started again. It is removed when the test ends.
func Start(t testing.TB) *Cluster {
	t.Helper()
	need(t)
	c, err := start()
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	t.Cleanup(c.Remove)
	return c
}

// start makes a cluster in a temporary directory and starts it.
func start() (*Cluster, error) {
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

// NewDatabase makes an empty database and returns its URL. It is dropped when the test ends.
func (c *Cluster) NewDatabase(t testing.TB) string {
	t.Helper()
	return c.database(t, "template1")
}

// database makes a copy of another database.
func (c *Cluster) database(t testing.TB, template string) string {
	t.Helper()
	name := "t" + uuid.NewString()[:8]
	if err := c.exec("CREATE DATABASE " + name + " TEMPLATE " + template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.exec("DROP DATABASE " + name + " WITH (FORCE)") }) // the test may have killed the cluster
	return c.URL(name)
}

func (c *Cluster) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
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
