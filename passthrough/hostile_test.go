package passthrough_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/passthrough"
)

// rawServer speaks whatever a test says, on each connection once the head of a request has come. It keeps
// the connection until the gateway closes it.
func rawServer(t *testing.T, speak func(conn net.Conn)) (url string, requests *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	requests = &atomic.Int64{}
	var conns []net.Conn
	done := make(chan struct{})
	handle := func(conn net.Conn) {
		in := bufio.NewReader(conn)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		requests.Add(1)
		speak(conn)
		_, _ = io.Copy(io.Discard, in)
		_ = conn.Close()
	}
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
			go handle(conn)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return "http://" + ln.Addr().String(), requests
}

func says(s string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, s) }
}

const (
	head  = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	short = 300 * time.Millisecond // how long an exchange may take here
)

// drip writes a piece again and again until it cannot.
func drip(before, piece string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, before)
		for err == nil {
			_, err = io.WriteString(c, piece)
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// What a read costs is bounded, and ends with a problem of the gateway's own.
func TestReadsFromADoorFlowThatMisbehaves(t *testing.T) {
	for name, row := range map[string]struct {
		speak  func(net.Conn)
		status int
		slug   string
	}{
		"never answers":                 {says(""), 504, "doorflow-silent"},
		"drips its head":                {drip("HTTP/1.1 200 OK\r\n", "X-A: b\r\n"), 504, "doorflow-silent"},
		"drips its body":                {drip(head+"Content-Length: 1000000\r\n\r\n", "x"), 504, "doorflow-silent"},
		"drips chunks":                  {drip(head+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"), 504, "doorflow-silent"},
		"says 100 without end":          {drip("", "HTTP/1.1 100 Continue\r\n\r\n"), 504, "doorflow-silent"},
		"stops half way":                {closing(head + "Content-Length: 100\r\n\r\nhalf"), 502, "doorflow-broken"},
		"stops within a chunk":          {closing(head + "Transfer-Encoding: chunked\r\n\r\n5\r\nha"), 502, "doorflow-broken"},
		"closes at once":                {closing(""), 502, "doorflow-broken"},
		"is no HTTP":                    {closing("SSH-2.0-OpenSSH_9.2 " + planted + "\r\n"), 502, "doorflow-broken"},
		"contradicts itself":            {says(head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), 502, "doorflow-broken"},
		"has a negative length":         {says(head + "Content-Length: -1\r\n\r\n"), 502, "doorflow-broken"},
		"has endless headers":           {says("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 300<<10) + "\r\n\r\n"), 502, "doorflow-broken"},
		"switches protocols":            {says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), 502, "doorflow-broken"},
		"has status 042":                {says("HTTP/1.1 042 What\r\nContent-Length: 0\r\n\r\n"), 502, "doorflow-broken"},
		"has status 999":                {says("HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n"), 502, "doorflow-broken"},
		"announces five gigabytes":      {says(head + "Content-Length: 5368709120\r\n\r\n"), 502, "doorflow-too-large"},
		"redirects":                     {says("HTTP/1.1 302 Found\r\nLocation: /api/3/other\r\nContent-Length: 0\r\n\r\n"), 502, "doorflow-redirect"},
		"redirects without a place":     {says("HTTP/1.1 307 Temporary\r\nContent-Length: 0\r\n\r\n"), 502, "doorflow-redirect"},
		"says that nothing has changed": {says("HTTP/1.1 304 Not Modified\r\n\r\n"), 502, "doorflow-redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := rawServer(t, row.speak)
			g := newGateway(t, url)
			if row.status == http.StatusGatewayTimeout {
				g.handlers.SetWithin(short)
			}
			started := time.Now()
			g.get("people?pin="+planted).problem(t, row.status, row.slug)
			if took := time.Since(started); took > 8*time.Second { // of itself it would last longer
				t.Errorf("took %s", took)
			}
			if log := g.log.String(); strings.Contains(log, planted) {
				t.Errorf("the log repeats what DoorFlow or the caller sent: %s", log)
			}
		})
	}
}

// closing says something and closes the connection.
func closing(s string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, s); _ = c.Close() }
}

// Hints without end are cut off by what all headers together may have, or by the time.
func TestAStormOfEarlyHints(t *testing.T) {
	hints := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 100)
	var sent atomic.Int64
	url, _ := rawServer(t, func(c net.Conn) {
		for {
			n, err := io.WriteString(c, hints)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	g := newGateway(t, url)
	started := time.Now()
	g.get("people").problem(t, 502, "doorflow-broken")
	if took := time.Since(started); took > 20*time.Second || sent.Load() > 16<<20 {
		t.Errorf("took %s and %d bytes", took, sent.Load())
	}
}

// A write is sent once, whatever happens, and what is not known is said not to be known.
func TestWritesToADoorFlowThatMisbehaves(t *testing.T) {
	for name, row := range map[string]struct {
		speak   func(net.Conn)
		status  int
		slug    string
		outcome string
	}{
		"never answers":       {says(""), 504, "outcome-unknown", "unknown"},
		"closes at once":      {closing(""), 504, "outcome-unknown", "unknown"},
		"drips its head":      {drip("HTTP/1.1 201 Created\r\n", "X-A: b\r\n"), 504, "outcome-unknown", "unknown"},
		"is no HTTP":          {closing("what?\r\n\r\n"), 504, "outcome-unknown", "unknown"},
		"stops half way":      {closing("HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf"), 502, "doorflow-broken", "done Created"},
		"redirects":           {says("HTTP/1.1 303 See Other\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"), 502, "doorflow-redirect", "unknown See Other"},
		"announces gigabytes": {says("HTTP/1.1 201 Created\r\nContent-Length: 5368709120\r\n\r\n"), 502, "doorflow-too-large", "done Created"},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := rawServer(t, row.speak)
			g := newGateway(t, url)
			if row.status == http.StatusGatewayTimeout {
				g.handlers.SetWithin(short)
			}
			g.post("channels/5012/admit", `{"relock_at":null}`).problem(t, row.status, row.slug)
			want := []string{"doorflow.door POST /api/3/channels/5012/admit started", "doorflow.door POST /api/3/channels/5012/admit " + row.outcome}
			if got := g.audited(); !slices.Equal(got, want) {
				t.Errorf("the audit log says %q, want %q", got, want)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
}

// A kept connection that DoorFlow has closed meanwhile is where clients like to send a request twice.
func TestAWriteOnAConnectionThatDiesIsNotSentTwice(t *testing.T) {
	var performed atomic.Int64
	df := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return // which leaves a connection to be used again
		}
		performed.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, _ := w.(http.Hijacker).Hijack()
		_ = conn.Close()
	}))
	t.Cleanup(df.Close)
	g := newGateway(t, df.URL)
	for i, method := range []string{"POST", "PUT", "DELETE"} {
		g.get("people").doorflows(t, 200, "")
		g.do(g.request(t.Context(), method, account, "people/4", nil)).problem(t, 504, "outcome-unknown")
		if n := performed.Load(); n != int64(i+1) {
			t.Fatalf("%s: DoorFlow performed %d requests, want %d", method, n, i+1)
		}
	}
}

// DoorFlow's own servers most likely speak HTTP/2, which has ways of its own to break off.
func TestADoorFlowThatSpeaksHTTP2(t *testing.T) {
	var performed atomic.Int64
	df := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("asked over %s", r.Proto)
		}
		switch r.URL.Path {
		case "/api/3/before":
			performed.Add(1)
			panic(http.ErrAbortHandler)
		case "/api/3/within":
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "[]")
	}))
	df.EnableHTTP2 = true
	df.StartTLS()
	t.Cleanup(df.Close)
	g := newGatewayOver(t, df.URL, df.Client().Transport)
	g.get("people").doorflows(t, 200, "[]")
	g.post("people", "{}").doorflows(t, 200, "[]")
	g.get("within").problem(t, 502, "doorflow-broken")
	g.get("before").problem(t, 502, "doorflow-broken")
	performed.Store(0)
	g.post("before", "{}").problem(t, 504, "outcome-unknown")
	if n := performed.Load(); n != 1 {
		t.Errorf("it was performed %d times", n)
	}
}

func TestADoorFlowThatIsNotThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	url := "http://" + ln.Addr().String()
	must(t, ln.Close())
	g := newGateway(t, url)
	if a := g.get("people"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	} else {
		a.problem(t, 502, "doorflow-unreachable")
	}
	g.post("people", "{}").problem(t, 502, "doorflow-unreachable")
	if got := g.audited(); !slices.Equal(got, []string{"doorflow.write POST /api/3/people started", "doorflow.write POST /api/3/people failed"}) {
		t.Errorf("%q", got)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := newRecorder(t, func(http.ResponseWriter, *http.Request) {})
	df := newRecorder(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/api/3/people", http.StatusTemporaryRedirect)
	})
	g := newGateway(t, df.URL)
	g.get("people").problem(t, 502, "doorflow-redirect")
	g.post("people", "{}").problem(t, 502, "doorflow-redirect")
	if got := elsewhere.all(); len(got) != 0 {
		t.Errorf("it was followed: %+v", got)
	}
}

// Five gigabytes that were not announced: the client gets what is allowed, and sees that it was broken off.
func TestAnAnswerThatDoesNotEnd(t *testing.T) {
	var sent atomic.Int64
	piece := bytes.Repeat([]byte("x"), 1<<20)
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 5 << 10 {
			n, err := w.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	g := newGateway(t, df.URL)
	a := g.get("people")
	if a.status != 200 || a.err == nil || len(a.body) > passthrough.MaxAnswer {
		t.Errorf("%d, %d bytes, %v", a.status, len(a.body), a.err)
	}
	await(t, "DoorFlow is cut off", func() bool { return strings.Contains(g.log.String(), `"reason":"too large"`) })
	if n := sent.Load(); n > 2*passthrough.MaxAnswer {
		t.Errorf("%d bytes were taken from DoorFlow", n)
	}
}

func TestTheLargestAnswerComesWhole(t *testing.T) {
	whole := strings.Repeat("0123456789abcdef", passthrough.MaxAnswer/16)
	for _, announced := range []bool{true, false} {
		df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
			if announced {
				w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			}
			_, _ = io.WriteString(w, whole)
		})
		a := newGateway(t, df.URL).get("people")
		if a.status != 200 || a.err != nil || a.body != whole {
			t.Errorf("announced %v: %d, %d bytes, %v", announced, a.status, len(a.body), a.err)
		}
	}
}

// What breaks off after it has begun cannot be answered otherwise, but the client must notice.
func TestALargeAnswerThatBreaksOff(t *testing.T) {
	for name, opening := range map[string]string{
		"announced": head + "Content-Length: 1000000\r\n\r\n", "in chunks": head + "Transfer-Encoding: chunked\r\n\r\n30d40\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := rawServer(t, closing(opening+strings.Repeat("x", 200_000)))
			g := newGateway(t, url)
			if a := g.get("people"); a.status != 200 || a.err == nil {
				t.Errorf("%d, %d bytes, %v", a.status, len(a.body), a.err)
			}
			await(t, "it is logged", func() bool { return strings.Contains(g.log.String(), "broken off") })
		})
	}
}

// A bomb stays packed: the gateway unpacks nothing, and says how it is packed.
func TestACompressedAnswerIsNotUnpacked(t *testing.T) {
	var bomb bytes.Buffer
	packer := gzip.NewWriter(&bomb)
	_, _ = packer.Write(make([]byte, 64<<20))
	must(t, packer.Close())
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	a := newGateway(t, df.URL).get("people")
	if a.status != 200 || a.body != bomb.String() || a.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d %v, %d bytes, want %d", a.status, a.header, len(a.body), bomb.Len())
	}
}
