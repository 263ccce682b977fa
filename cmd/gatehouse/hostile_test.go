package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shape is one kind of hostile request.
type shape struct {
	name string
	n    int
	// raw makes the bytes of the i-th request, which go out as they are.
	raw func(i int) string
	// want are the statuses that may answer it; 0 stands for a connection that is closed without one.
	want []int
	// half ends our side of the connection when all is sent.
	half bool
	// answers is how many a request should have, when that is not one.
	answers int
}

// attacker speaks with a gateway in bytes.
type attacker struct {
	t    *testing.T
	addr string

	mu   sync.Mutex
	seen map[string]map[int]int // by shape and status
	sent int
}

// dial connects from an address of its own for each shape, so that one shape does not use up the limits of
// another. All of 127.0.0.0/8 is this machine.
func (a *attacker) dial(from int) (net.Conn, error) {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(from))}
	return (&net.Dialer{LocalAddr: local, Timeout: 30 * time.Second}).DialContext(a.t.Context(), "tcp", a.addr)
}

// send sends one request and returns the statuses of the answers.
func (a *attacker) send(from int, s shape, i int) ([]int, error) {
	conn, err := a.dial(from)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	// What is refused at its first byte need not be taken to its last: that is the answer's business.
	_, _ = io.WriteString(conn, s.raw(i))
	if s.half {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	var statuses []int
	in := bufio.NewReader(conn)
	for range max(1, s.answers) {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				return statuses, fmt.Errorf("no answer: %w", err)
			}
			return append(statuses, 0), nil
		}
		statuses = append(statuses, resp.StatusCode)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			break
		}
		_ = resp.Body.Close()
	}
	return statuses, nil
}

// attack sends a shape and checks the answers.
func (a *attacker) attack(from int, s shape) {
	for i := range s.n {
		statuses, err := a.send(from, s, i)
		if err != nil {
			a.t.Errorf("%s, request %d: %v", s.name, i, err)
		}
		a.mu.Lock()
		a.sent += max(1, s.answers)
		for _, status := range statuses {
			if a.seen[s.name] == nil {
				a.seen[s.name] = map[int]int{}
			}
			if a.seen[s.name][status]++; !slices.Contains(s.want, status) {
				a.t.Errorf("%s, request %d: answered %d, want one of %v: %.100q", s.name, i, status, s.want, s.raw(i))
			}
		}
		a.mu.Unlock()
	}
}

// hold opens connections that send a beginning, then now and then a byte, or nothing. What it returns
// closes them, and counts those that the gateway had ended by itself, as soon as there are as many as wanted.
func (a *attacker) hold(from, n int, beginning, drip string) (release func(want int) (ended int)) {
	var conns []net.Conn
	stop, dripping := make(chan struct{}), sync.WaitGroup{}
	for range n {
		conn, err := a.dial(from)
		if err != nil {
			a.t.Fatal(err)
		}
		_, _ = io.WriteString(conn, beginning)
		conns = append(conns, conn)
		if drip != "" {
			dripping.Go(func() {
				tick := time.NewTicker(200 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						if _, err := io.WriteString(conn, drip); err != nil {
							return
						}
					}
				}
			})
		}
	}
	a.sent += n
	return func(want int) int {
		close(stop)
		dripping.Wait()
		var ended atomic.Int64
		var reading sync.WaitGroup
		enough, deadline := make(chan struct{}), time.Now().Add(20*time.Second)
		for _, conn := range conns {
			reading.Go(func() {
				_ = conn.SetReadDeadline(deadline)
				_, err := io.Copy(io.Discard, conn)
				if timeout, ok := errors.AsType[net.Error](err); (!ok || !timeout.Timeout()) && ended.Add(1) == int64(want) {
					close(enough)
				}
			})
		}
		if want > 0 {
			select {
			case <-enough:
			case <-time.After(time.Until(deadline)):
			}
		}
		for _, conn := range conns {
			_ = conn.SetReadDeadline(time.Now())
		}
		reading.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
		return int(ended.Load())
	}
}

// goodWebhooks sends a signed webhook every 25 ms until it is stopped, and wants each answered 200. It returns how long
// they took, the quickest first.
func goodWebhooks(t *testing.T, url string) (stop func() []time.Duration) {
	t.Helper()
	l := newLoad()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all []time.Duration
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			began := time.Now()
			status, _, err := post(context.WithoutCancel(ctx), client, url, l.webhook().body)
			if all = append(all, time.Since(began)); status != http.StatusOK || err != nil {
				t.Errorf("good webhook %d: %d %v after %s", len(all), status, err, all[len(all)-1])
			}
			select {
			case <-ctx.Done():
			case <-time.After(25 * time.Millisecond):
			}
		}
	}()
	return func() []time.Duration {
		cancel()
		<-ended
		client.CloseIdleConnections()
		slices.Sort(all)
		return all
	}
}

// peakMemory is the most that a process has held in memory, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("there is no /proc here")
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatal("no VmHWM")
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// Strangers send 2,000 requests of every shape: nothing panics, nothing is answered 5xx but what is
// documented, memory stays small, and good webhooks are answered as always.
func TestHostileInput(t *testing.T) {
	g := newGateway(t, nil).start()
	g.call(http.MethodGet, "/v1/messages", "") // the key is known here from now on
	a := &attacker{t: t, addr: g.addr, seen: map[string]map[int]int{}}
	stop := goodWebhooks(t, g.url)
	before := goroutines(t, g)

	silent := a.hold(250, 200, "", "")
	slowHeaders := a.hold(251, 60, "GET /livez HTTP/1.1\r\nHost: x\r\n", "X: y\r\n")
	slowBodies := a.hold(252, 60, "POST /webhooks/doorflow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", "x")
	stalled := a.hold(253, 30, "POST /webhooks/doorflow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 100<<10), "")
	began := time.Now()

	queue := make(chan int)
	shapes := append(append(malformed(), webhookShapes()...), apiShapes()...)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for at := range queue {
				a.attack(at+1, shapes[at])
			}
		})
	}
	for at := range shapes {
		queue <- at
	}
	close(queue)
	workers.Wait()

	// The server gives 5 seconds for the headers of a request.
	time.Sleep(max(0, 6*time.Second-time.Since(began)))
	for name, row := range map[string]struct {
		release func(int) int
		want    int
	}{"silent": {silent, 200}, "slow headers": {slowHeaders, 60}, "slow bodies": {slowBodies, 0}, "stalled bodies": {stalled, 14}} {
		// Of the stalled ones those that found no place among the large bodies were answered at once.
		if ended := row.release(row.want); ended < row.want {
			t.Errorf("%s: the gateway ended %d, want at least %d", name, ended, row.want)
		}
	}
	good := stop()
	if len(good) < 50 {
		t.Fatalf("only %d good webhooks: the test proves nothing", len(good))
	}
	longest := good[len(good)-1]
	if most := good[len(good)*9/10]; most > time.Second { // the few others may have met with a machine that was busy
		t.Errorf("one in ten good webhooks took longer than %s", most)
	}
	if a.sent < 2000 {
		t.Errorf("only %d hostile requests", a.sent)
	}
	for name, status := range map[string]int{
		"guesses": 429, "unknown paths": 429, "large unsigned flood": 401, "unknown transfer codings": 501, "other versions": 505, "a full MiB, signed": 200,
	} {
		if a.seen[name][status] == 0 {
			t.Errorf("%s: none was answered %d: %v", name, status, a.seen[name])
		}
	}
	if n := a.seen["guesses"][401]; n != 20 {
		t.Errorf("%d guesses were looked up", n)
	}
	log, peak := g.log(), peakMemory(t, g.cmd.Process.Pid)
	t.Logf("%d hostile requests in %s; %d good webhooks, the slowest %s; at most %d MiB", a.sent, time.Since(began).Round(time.Millisecond), len(good), longest, peak>>20)
	if peak > 300<<20 {
		t.Errorf("the gateway held %d MiB", peak>>20)
	}
	for _, word := range []string{"panic", `"level":"ERROR"`} {
		if i := strings.Index(log, word); i >= 0 {
			t.Errorf("%s in the log: %.2000s", word, log[i:])
		}
	}
	if m := regexp.MustCompile(`(?m)^gatehouse_http_requests_total\{.*status="5xx"\} .*$`).FindString(string(get(t, "http://"+g.ops+"/metrics"))); m != "" {
		t.Error(m)
	}
	eventually(t, 40*time.Second, func() string {
		if now := goroutines(t, g); now > before+20 {
			return fmt.Sprintf("%d goroutines are left, %d before", now, before)
		}
		return ""
	})
	if status, _, err := post(t.Context(), probe, g.url, newLoad().webhook().body); status != http.StatusOK || err != nil {
		t.Errorf("a good webhook afterwards: %d %v", status, err)
	}
	if a := g.call(http.MethodGet, "/v1/messages", ""); a.status != http.StatusOK {
		t.Errorf("the API afterwards: %d", a.status)
	}
	g.stop()
}

func goroutines(t *testing.T, g *gateway) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindSubmatch(get(t, "http://"+g.ops+"/metrics"))
	if m == nil {
		t.Fatal("no go_goroutines")
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
