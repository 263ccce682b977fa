package egress_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/egress"
)

// A server that sends frames without end, none of which is an answer, is left at once.
func TestAFloodOfFramesEndsTheConnection(t *testing.T) {
	ca := newAuthority(t)
	config := serverTLS(ca, ca.issue(t, time.Now().Add(time.Hour)))
	config.NextProtos = []string{"h2"}
	sent := make(chan int, 1)
	port := raw(t, func(conn net.Conn) {
		secured := tls.Server(conn, config)
		_, err := secured.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // SETTINGS
		// WINDOW_UPDATEs of a stream that is not there.
		frames := bytes.Repeat([]byte("\x00\x00\x04\x08\x00\x00\x00\x00\x63\x00\x00\x00\x01"), 4096)
		total := 0
		for err == nil && total < 64<<20 {
			var n int
			n, err = secured.Write(frames)
			total += n
		}
		sent <- total
	})
	client := newClient(t, egress.Config{Allow: loopback, CAFile: ca.file})
	client.SetLimit(time.Minute)
	_, err := client.Post(t.Context(), "https://127.0.0.1:"+port+"/", nil, nil)
	if failure(err) != egress.FailureAnswer {
		t.Error(err)
	}
	if total := <-sent; total == 0 || total >= 64<<20 {
		t.Errorf("it took %d bytes", total)
	}
}

// What answers requests is no flood, however long a connection is used.
func TestManyAnswersAreNoFlood(t *testing.T) {
	ca := newAuthority(t)
	from := map[string]bool{}
	port := serve(t, serverTLS(ca, ca.issue(t, time.Now().Add(time.Hour))), func(w http.ResponseWriter, r *http.Request) {
		from[r.RemoteAddr] = true
		_, _ = io.Copy(w, io.LimitReader(zeros{}, 64<<10))
	})
	client := newClient(t, egress.Config{Allow: loopback, CAFile: ca.file})
	for range 50 { // 3 MiB
		answer, err := client.Post(t.Context(), "https://127.0.0.1:"+port+"/", nil, nil)
		if err != nil || len(answer.Body) != 64<<10 || answer.Truncated {
			t.Fatalf("%d bytes, %v", len(answer.Body), err)
		}
	}
	if len(from) != 1 {
		t.Errorf("it took %d connections", len(from))
	}
}

// A server that turns every connection away with a promise that nothing was done is not tried on and on.
func TestAServerThatTurnsAway(t *testing.T) {
	ca := newAuthority(t)
	config := serverTLS(ca, ca.issue(t, time.Now().Add(time.Hour)))
	config.NextProtos = []string{"h2"}
	var tries atomic.Int64
	port := raw(t, func(conn net.Conn) {
		tries.Add(1)
		secured := tls.Server(conn, config)
		settings, goAway := "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		_, _ = secured.Write([]byte(settings + goAway))
		_, _ = secured.Read(make([]byte, 4096))
	})
	client := newClient(t, egress.Config{Allow: loopback, CAFile: ca.file})
	client.SetLimit(time.Minute)
	if _, err := client.Post(t.Context(), "https://127.0.0.1:"+port+"/", nil, nil); failure(err) != egress.FailureAnswer {
		t.Error(err)
	}
	if n := tries.Load(); n == 0 || n > 6 {
		t.Errorf("it was tried on %d connections", n)
	}
}
