package web_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/web"
)

// callers is a listener to which connections come from anywhere.
type callers struct{ conns chan net.Conn }

func (l *callers) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (l *callers) Close() error   { close(l.conns); return nil }
func (l *callers) Addr() net.Addr { return &net.TCPAddr{} }

type caller struct {
	net.Conn
	from   string
	closed bool
}

func (c *caller) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}
func (c *caller) Close() error { c.closed = true; return nil }

func TestAnAddressCannotTakeAllConnections(t *testing.T) {
	f := newFixture(t, func(c *web.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} })
	inner := &callers{make(chan net.Conn, 1)}
	ln := f.Bounded(inner)
	enter := func(from string) (net.Conn, *caller) {
		c := &caller{from: from}
		inner.conns <- c
		inner2 := &caller{from: "127.0.0.1:9"} // comes after, and is always let in
		go func() { inner.conns <- inner2 }()
		got, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got == net.Conn(inner2) {
			return nil, c
		}
		if _, err := ln.Accept(); err != nil {
			t.Fatal(err)
		}
		return got, c
	}
	var first net.Conn
	for i := range 256 {
		got, c := enter("[2001:db8::" + fmt.Sprintf("%x", i) + "]:1")
		if got == nil || c.closed {
			t.Fatalf("connection %d was not let in", i)
		}
		if first == nil {
			first = got
		}
	}
	if got, c := enter("[2001:db8::ffff]:2"); got != nil || !c.closed {
		t.Error("a connection too many was let in, or not closed")
	}
	if got, _ := enter("[2001:db8:0:1::1]:2"); got == nil {
		t.Error("another network suffers")
	}
	for range 300 { // who may stand for many
		for _, from := range []string{"10.1.2.3:1", "203.0.113.5:1", "127.0.0.1:1"} {
			if got, _ := enter(from); got == nil {
				t.Fatalf("%s was not let in", from)
			}
		}
	}
	_ = first.Close()
	_ = first.Close() // gives one place back, not two
	if got, _ := enter("[2001:db8::1:1]:1"); got == nil {
		t.Error("the place that is free again was not given")
	}
	if got, _ := enter("[2001:db8::1:2]:1"); got != nil {
		t.Error("a place was given twice")
	}
	contains(t, metricsOf(f), `gatehouse_http_limited_total{limit="connections"} 2`)
	_ = ln.Close()
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// busy is a fixture whose webhooks wait until they are released.
func busy(t *testing.T) (f fixture, begun chan bool, release func()) {
	t.Helper()
	begun, wait := make(chan bool, 1000), make(chan struct{})
	f = newFixture(t, func(c *web.Config) {
		c.Webhooks = receiver(func(c echo.Context) error {
			begun <- true
			<-wait
			return c.NoContent(http.StatusOK)
		})
	})
	return f, begun, sync.OnceFunc(func() { close(wait) })
}

func TestAnAddressHasSoManyHTTP2RequestsUnderWay(t *testing.T) {
	f, begun, release := busy(t)
	defer release()
	h := f.Public(true)
	ask := func(address string, version int) int {
		r := httptest.NewRequest("POST", "/webhooks/doorflow", nil)
		r.RemoteAddr, r.ProtoMajor = address, version
		return do(h, r).Code
	}
	var asking sync.WaitGroup
	for range 256 {
		asking.Go(func() { ask("198.51.100.7:1", 2) })
		<-begun
	}
	if got := ask("198.51.100.7:2", 2); got != 429 {
		t.Errorf("one too many: %d", got)
	}
	for _, other := range []string{"198.51.100.8:1", "10.0.0.1:1"} {
		asking.Go(func() { ask(other, 2) })
		<-begun
	}
	asking.Go(func() { ask("198.51.100.7:1", 1) }) // counted by its connection
	<-begun
	release()
	asking.Wait()
	if got := ask("198.51.100.7:2", 2); got != 200 {
		t.Errorf("afterwards: %d", got)
	}
}

func TestHTTP2StreamsOfAConnectionAreBounded(t *testing.T) {
	var mu sync.Mutex
	underWay, begun, wait := map[string]int{}, make(chan bool, 1000), make(chan struct{})
	f := newFixture(t, func(c *web.Config) {
		c.Webhooks = receiver(func(c echo.Context) error {
			mu.Lock()
			underWay[c.Request().RemoteAddr]++
			mu.Unlock()
			begun <- true
			<-wait
			return c.NoContent(http.StatusOK)
		})
	})
	model := httptest.NewTLSServer(nil)
	defer model.Close()
	addr, stop := listening(t, f.Public(true), &tls.Config{Certificates: model.TLS.Certificates})
	transport := model.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2, transport.MaxConnsPerHost = true, 1
	client := &http.Client{Transport: transport}
	var asking sync.WaitGroup
	for range 130 {
		asking.Go(func() {
			resp, err := client.Post("https://"+addr+"/webhooks/doorflow", "", strings.NewReader("x"))
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	for range 100 {
		<-begun
	}
	mu.Lock()
	for connection, n := range underWay {
		if n > 100 {
			t.Errorf("%d requests of connection %s are under way", n, connection)
		}
	}
	mu.Unlock()
	close(wait)
	asking.Wait()
	transport.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestAKeyHoldsSoManyStreams(t *testing.T) {
	begun, wait := make(chan bool, 100), make(chan struct{})
	f := newFixture(t, func(c *web.Config) {
		c.Messages = &messages{func(c echo.Context) error { begun <- true; <-wait; return nil }}
	})
	h := f.Public(true)
	var asking sync.WaitGroup
	for range 32 {
		asking.Go(func() { do(h, authorized("GET", "/v1/messages/stream", nil)) })
		<-begun
	}
	w := do(h, authorized("GET", "/v1/messages/stream", nil))
	if p := problem(t, w); w.Code != 429 || p.Type != "/problems/too-many-streams" || w.Header().Get("Retry-After") != "5" {
		t.Errorf("one too many: %+v, Retry-After %q", p, w.Header().Get("Retry-After"))
	}
	if got := w.Header().Values("RateLimit"); len(got) != 2 || got[1] != `"streams";r=0` {
		t.Errorf("RateLimit %q", got)
	}
	asking.Go(func() { do(h, authorized("GET", "/v1/messages", nil)) })
	<-begun // the key is good for everything else
	close(wait)
	asking.Wait()
	if w := do(h, authorized("GET", "/v1/messages/stream", nil)); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

// Bodies over 64 KiB need a place, of which an address gets half; small ones never do.
func TestLargeBodiesAreFewAtOnce(t *testing.T) {
	read, wait := make(chan error, 100), make(chan struct{})
	f := newFixture(t, func(c *web.Config) {
		c.Webhooks = receiver(func(c echo.Context) error {
			_, err := io.ReadAll(c.Request().Body)
			read <- err
			if err == nil {
				<-wait
			}
			return err
		})
	})
	h := f.Public(true)
	send := func(address string, size int, chunked bool) int {
		body := io.Reader(strings.NewReader(strings.Repeat("x", size)))
		if chunked {
			body = struct{ io.Reader }{body}
		}
		r := httptest.NewRequest("POST", "/webhooks/doorflow", body)
		r.RemoteAddr = address
		return do(h, r).Code
	}
	var sending sync.WaitGroup
	hold := func(address string, size int, chunked bool) {
		t.Helper()
		sending.Go(func() { send(address, size, chunked) })
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
	for i := range 16 {
		hold("198.51.100.7:1", 70<<10, i%2 == 0)
	}
	refused := func(address string) {
		t.Helper()
		if got := send(address, 1<<20, true); got != 429 || <-read == nil {
			t.Errorf("a large body too many: %d", got)
		}
	}
	refused("198.51.100.7:1")
	hold("198.51.100.7:1", 64<<10, false)
	for range 16 {
		hold("198.51.100.8:1", 70<<10, false)
	}
	refused("198.51.100.9:1")
	hold("198.51.100.9:1", 1000, true)
	close(wait)
	sending.Wait()
	if got := send("198.51.100.9:1", 1<<20, true); got != 200 || <-read != nil {
		t.Errorf("afterwards: %d", got)
	}
}

// Streams that are reset as soon as they are opened must not make more handlers run than streams may be
// open: CVE-2023-44487. net/http sees to that; this makes sure that nothing here turns it off.
func TestRapidResetStartsNoMoreHandlers(t *testing.T) {
	var running, most atomic.Int64
	wait := make(chan struct{})
	f := newFixture(t, func(c *web.Config) {
		c.Webhooks = receiver(func(echo.Context) error {
			defer running.Add(-1)
			for n := running.Add(1); ; {
				if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
					break
				}
			}
			<-wait
			return nil
		})
	})
	model := httptest.NewTLSServer(nil)
	defer model.Close()
	addr, stop := listening(t, f.Public(true), &tls.Config{Certificates: model.TLS.Certificates})
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	frame := func(kind, flags byte, stream uint32, payload string) string {
		n := len(payload)
		head := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
		return string(binary.BigEndian.AppendUint32(head, stream)) + payload
	}
	const headersFrame, resetFrame, settingsFrame, endOfBoth, cancel = 1, 3, 4, 5, "\x00\x00\x00\x08"
	path := web.WebhookPath
	// POST, https, the path and a host, as HPACK has them.
	block := "\x83\x87\x04" + string(rune(len(path))) + path + "\x41\x01x"
	var all strings.Builder
	all.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settingsFrame, 0, 0, ""))
	for i := range uint32(2000) {
		all.WriteString(frame(headersFrame, endOfBoth, 2*i+1, block) + frame(resetFrame, 0, 2*i+1, cancel))
	}
	go func() { _, _ = io.WriteString(conn, all.String()) }()
	if _, err := io.Copy(io.Discard, conn); err != nil { // until the server has had enough
		t.Logf("the connection ended with %v", err)
	}
	if got := most.Load(); got == 0 || got > 100 {
		t.Errorf("%d handlers ran at once", got)
	}
	close(wait)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
