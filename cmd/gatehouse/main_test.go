// The tests of the built program. They start it as users do, talk to it over HTTP, kill it, take its disk,
// its database or its NATS away, and read what is left afterwards.
package main_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/internal/sqldb/sqldbtest"
)

// binary is the program under test, and binaries the directory it lies in.
var binary, binaries string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	var err error
	if binaries, err = os.MkdirTemp("", "gatehouse-test-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(binaries)
	// One test runs the program as another user.
	if err := os.Chmod(binaries, 0o755); err != nil {
		return 1, err
	}
	if binary, err = build("gatehouse", "."); err != nil {
		return 1, err
	}
	code := sqldbtest.Tests{M: m}.Run()
	if faults := described.Faults(); len(faults) > 0 { // a test may have taken it for a gateway that is away
		return 1, fmt.Errorf("%d answers differ from web/openapi.yaml, the first:\n%s", len(faults), faults[0])
	}
	if code == 0 {
		err = goleak.Find()
	}
	return code, err
}

// build compiles a program of this module, or of one that it requires.
func build(name, path string) (string, error) {
	out := filepath.Join(binaries, name)
	if msg, err := exec.Command("go", "build", "-o", out, path).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", path, err, msg)
	}
	return out, nil
}

// need skips a test whose tool is not installed; in CI, where nobody sees a skip, it fails.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is needed in CI", tool)
	}
	t.Skipf("skipped: %s is not installed", tool)
}

// rounds is how often the crash tests crash something. The variable's name must not begin with GATEHOUSE_:
// the program refuses those it does not know.
func rounds(t *testing.T) int {
	t.Helper()
	s := os.Getenv("CRASH_ROUNDS")
	if s == "" {
		return 3
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("CRASH_ROUNDS=%q: want a number from 1", s)
	}
	return n
}

// eventually waits until check returns "", which is what it still lacks. While this machine stands still, nobody has had the
// time to come to it: what a pause takes longer than it should is not counted.
func eventually(t testing.TB, within time.Duration, check func() string) {
	t.Helper()
	const pause = 25 * time.Millisecond // a key may ask 50 times a second
	for deadline := time.Now().Add(within); ; {
		lacks := check()
		if lacks == "" {
			return
		}
		now := time.Now()
		if now.After(deadline) {
			t.Fatalf("after %s: %s", within, lacks)
		}
		time.Sleep(pause)
		deadline = deadline.Add(time.Since(now) - pause)
	}
}

// leaseAndMore is longer than a dead replica's log belongs to it.
const leaseAndMore = 40 * time.Second

// pause lets the load run for a random while: the moment of a crash must not depend on anything.
func pause(least, most time.Duration) { time.Sleep(least + rand.N(most-least)) }

var ports struct {
	sync.Mutex
	next int
}

// freeAddr is an address nobody listens on. It lies below the range from which the kernel takes the ports
// of outgoing connections: a port of that range could be gone, or connect to itself, while its server is
// being restarted.
func freeAddr(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		ports.next = 15000 + rand.IntN(10000)
	}
	for range 1000 {
		ports.next++
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.next))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// environment is this process's, without what would set a gateway up.
func environment(vars map[string]string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "GATEHOUSE_") {
			env = append(env, pair)
		}
	}
	if _, set := vars["GATEHOUSE_NATS_LISTEN"]; !set {
		env = append(env, "GATEHOUSE_NATS_LISTEN=") // many gateways at once cannot all have the default
	}
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return env
}
