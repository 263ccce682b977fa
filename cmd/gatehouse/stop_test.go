package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
)

// What was answered 200 up to the end is stored, and is published by the next start if not by this one.
func TestSigtermUnderLoad(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	l := newLoad()
	for range rounds(t) {
		g.start()
		l.begin(t, senders, g)
		l.awaitAnswers(t, 1)
		pause(0, 300*time.Millisecond)
		g.stop()
		l.end()
	}
	// Whoever had an answer had a whole one: no request was broken off that had been taken in.
	l.wantOnly(t, 200, 503)
	l.verify(t, completeEmbedded(t, g, l), nil)
}

// A request that had begun when the signal came is answered, and what it brought is stored.
func TestSigtermFinishesWhatHasBegun(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil).start()
	l := newLoad()
	w := l.webhook()
	conn := begun(t, g, w.body)
	g.signal(syscall.SIGTERM)
	g.awaitClosed()
	if _, err := io.WriteString(conn, w.body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %d", resp.StatusCode)
	}
	g.awaitExit(0)
	g.cmd = nil
	l.sent[w.ids[0]], l.stored[w.ids[0]] = true, true
	if s := completeEmbedded(t, g, l); s.notified[w.ids[0]] != 1 {
		t.Errorf("%d notifications in the stream, want 1", s.notified[w.ids[0]])
	}
}

// A request that never ends keeps an orderly stop waiting; a second signal does not wait.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(second.String(), func(t *testing.T) {
			g := newGateway(t, nil).start()
			begun(t, g, "never sent")
			g.signal(syscall.SIGTERM)
			g.awaitClosed()
			if g.gone() {
				t.Fatal("the gateway did not wait for the request: this test proves nothing")
			}
			g.signal(second)
			g.awaitExit(1) // who waits for the request breaks it off after four seconds, and ends with 0
		})
	}
}

// The same request does not keep the gateway for more than ten seconds.
func TestSigtermDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil).start()
	begun(t, g, "never sent")
	g.stop()
}

// awaitClosed waits until the gateway takes no more requests.
func (g *gateway) awaitClosed() {
	g.t.Helper()
	eventually(g.t, 20*time.Second, func() string {
		if g.get("/livez") != 0 {
			return "the gateway still takes requests"
		}
		return ""
	})
}

// begun begins a webhook, up to where its body should follow.
func begun(t *testing.T, g *gateway, body string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/webhooks/doorflow", nil)
	if err != nil {
		t.Fatal(err)
	}
	sign(req, body)
	fmt.Fprintf(conn, "POST /webhooks/doorflow HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n", g.addr, len(body))
	if err := req.Header.Write(conn); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "\r\n"); err != nil {
		t.Fatal(err)
	}
	// The server says so when it has begun to read the body.
	answer := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	n, err := conn.Read(answer)
	if err != nil || string(answer[:12]) != "HTTP/1.1 100" {
		t.Fatalf("%q %v", answer[:n], err)
	}
	return conn
}

// DoorFlow may hang for as long as it likes: the gateway is gone within ten seconds all the same, and what
// it was about to fetch is fetched by the next start.
func TestSigtermWhileDoorFlowHangs(t *testing.T) {
	g := newGateway(t, nil)
	df := newCloud(t, g)
	g.start()
	df.connected(g)
	df.Faults().SlowAPI(time.Minute)
	df.Emit(doorflowsim.AccountA, df.Random(doorflowsim.AccountA))
	eventually(t, 30*time.Second, func() string {
		if df.Stats().MaxInFlight[doorflowsim.AccountA] == 0 {
			return "nothing is being fetched"
		}
		return ""
	})
	g.signal(syscall.SIGTERM)
	g.awaitExit(0)
	g.cmd = nil
	df.Faults().SlowAPI(0)
	g.start()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := df.WaitLedger(ctx, func(entries []doorflowsim.LedgerEntry) bool {
		return len(entries) > 0 && entries[len(entries)-1].Acknowledged
	}); err != nil {
		t.Fatal("the event was not fetched after the restart")
	}
	g.stop()
}
