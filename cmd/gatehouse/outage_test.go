package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/sqldb/sqldbtest"
)

// wantOnly checks with which statuses requests were answered; 0 stands for no answer.
func (l *load) wantOnly(t testing.TB, statuses ...int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for status, n := range l.statuses {
		if status != 0 && !slices.Contains(statuses, status) {
			t.Errorf("%d requests were answered %d, want only %v", n, status, statuses)
		}
	}
}

// awaitRefusals waits until some requests were answered 503, and wants each to say when to come again.
func (l *load) awaitRefusals(t testing.TB, n int) {
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		if got := l.statuses[http.StatusServiceUnavailable]; got < n {
			return fmt.Sprintf("%d requests were answered 503, want %d; answers by status: %v", got, n, l.statuses)
		}
		return ""
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, header := range l.refusals {
		if header.Get("Retry-After") == "" {
			t.Fatal("a refusal had no Retry-After")
		}
	}
}

func (g *gateway) awaitStatus(path string, want int) {
	g.t.Helper()
	eventually(g.t, 30*time.Second, func() string {
		if got := g.get(path); got != want {
			return fmt.Sprintf("%s answers %d, want %d", path, got, want)
		}
		return ""
	})
}

func TestNATSKilledWhileRunning(t *testing.T) {
	t.Parallel()
	n := newNATS(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": n.url()}).start()
	l := newLoad()
	l.begin(t, senders, g)
	for range rounds(t) {
		l.awaitAnswers(t, 1)
		pause(0, 300*time.Millisecond)
		n.kill()
		l.awaitAnswers(t, 100)
		g.awaitStatus("/readyz", http.StatusOK) // webhooks are welcome all the same
		n.start()
	}
	l.awaitAnswers(t, 1)
	l.end()
	l.wantOnly(t, http.StatusOK)
	l.verify(t, n.complete(l), nil)
}

func TestPostgresKilledWhileRunning(t *testing.T) {
	t.Parallel()
	cluster := sqldbtest.Start(t)
	n := newNATS(t)
	g := shared(t, cluster.NewDatabase(t), n, 1)[0].start()
	l := newLoad()
	l.begin(t, senders/2, g)
	for range rounds(t) {
		l.awaitAnswers(t, 1)
		pause(0, 300*time.Millisecond)
		cluster.Kill()
		l.awaitRefusals(t, 20)
		g.awaitStatus("/readyz", http.StatusServiceUnavailable)
		g.awaitStatus("/livez", http.StatusOK)
		if err := cluster.Up(); err != nil {
			t.Fatal(err)
		}
		l.awaitAnswers(t, 20)
		g.awaitStatus("/readyz", http.StatusOK)
	}
	l.end()
	l.wantOnly(t, http.StatusOK, http.StatusServiceUnavailable)
	l.verify(t, n.complete(l), nil)
}

// The disk fills up under the database and JetStream alike, and is cleared again.
func TestDiskFullWhileRunning(t *testing.T) {
	disk := smallDisk(t, t.TempDir(), "size=192m")
	g := newGateway(t, nil)
	g.data = filepath.Join(disk, "data")
	g.env["GATEHOUSE_DATA_DIR"] = g.data
	g.start()
	l := newLoad()
	l.begin(t, senders/2, g)
	l.awaitAnswers(t, 100)
	for range 2 {
		ballast := filepath.Join(disk, "ballast")
		fill(t, ballast)
		l.mu.Lock()
		before := l.statuses[http.StatusServiceUnavailable]
		l.mu.Unlock()
		l.awaitRefusals(t, before+50)
		g.awaitStatus("/readyz", http.StatusServiceUnavailable)
		g.awaitStatus("/livez", http.StatusOK)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		l.awaitAnswers(t, 100)
		g.awaitStatus("/readyz", http.StatusOK)
	}
	l.end()
	l.wantOnly(t, http.StatusOK, http.StatusServiceUnavailable)
	g.awaitRelayed() // by itself, without a new start
	l.verify(t, completeEmbedded(t, g, l), nil)
}

// The disk of JetStream alone is full: webhooks are taken all the same, and relayed when there is room again.
func TestJetStreamDiskFullWhileRunning(t *testing.T) {
	g := newGateway(t, nil)
	store := filepath.Join(g.data, "jetstream")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	smallDisk(t, store, "size=32m")
	g.start()
	l := newLoad()
	l.begin(t, senders/2, g)
	l.awaitAnswers(t, 100)
	ballast := filepath.Join(store, "ballast")
	fill(t, ballast)
	eventually(t, 30*time.Second, func() string {
		if !strings.Contains(g.log(), "no space left on device") {
			return "JetStream did not notice that its disk is full: this test proves nothing"
		}
		return ""
	})
	l.awaitAnswers(t, 100)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	l.awaitAnswers(t, 100)
	l.end()
	l.wantOnly(t, http.StatusOK)
	g.awaitRelayed()
	l.verify(t, completeEmbedded(t, g, l), nil)
}

// awaitRelayed waits until the gateway says that all it has stored since its start is in the stream.
func (g *gateway) awaitRelayed() {
	g.t.Helper()
	eventually(g.t, 60*time.Second, func() string {
		m := g.metrics()
		head, lag, stored := m["gatehouse_log_head"], m["gatehouse_relay_lag_messages"], m["gatehouse_log_messages_total"]
		if head != stored || lag != 0 || stored == 0 {
			return fmt.Sprintf("%v messages stored, the relay knows of %v and lacks %v", stored, head, lag)
		}
		return ""
	})
}

// metrics are the gateway's metrics that have no labels.
func (g *gateway) metrics() map[string]float64 {
	g.t.Helper()
	resp, err := probe.Get("http://" + g.ops + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	found := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			found[name] = n
		}
	}
	return found
}

// smallDisk mounts one, which only root may.
func smallDisk(t *testing.T, dir, options string) string {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("skipped: mounting a small disk needs root with the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err = file.Write(block); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
