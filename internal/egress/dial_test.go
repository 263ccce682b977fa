package egress_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/egress"
)

// failure is what went wrong, "" where nothing did.
func failure(err error) egress.Failure {
	if e, ok := errors.AsType[*egress.Error](err); ok {
		return e.Failure
	}
	if err != nil {
		return egress.Failure("another error: " + err.Error())
	}
	return ""
}

// A name is judged by what it resolves to, whatever it looks like.
func TestANameThatResolvesToWhatIsRefused(t *testing.T) {
	names, resolver := newNames(t)
	port := raw(t, func(net.Conn) { t.Error("it was dialled") })
	client := newClient(t, egress.Config{Resolver: resolver})
	for _, addr := range []string{
		"127.0.0.1", "::ffff:127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fd00::1",
		"0.0.0.0", "::", "fe80::1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "2001:db8::1",
	} {
		names.set("bms.example", addr)
		_, err := client.Post(t.Context(), "https://bms.example:"+port+"/", nil, nil)
		if failure(err) != egress.FailureRefused {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// The verdict is on the address that is dialled: one that was looked up before does not count.
func TestRebinding(t *testing.T) {
	names, resolver := newNames(t)
	var served int
	port := serve(t, nil, func(w http.ResponseWriter, _ *http.Request) { served++ })
	client := newClient(t, egress.Config{Resolver: resolver, Allow: prefixes("127.0.0.1/32")})
	names.set("bms.example", "127.0.0.1")
	post := func() egress.Failure {
		_, err := client.Post(t.Context(), "http://bms.example:"+port+"/", nil, nil)
		return failure(err)
	}
	if got := post(); got != "" || served != 1 {
		t.Fatalf("%s, served %d", got, served)
	}
	names.set("bms.example", "127.0.0.2")
	if got := post(); got != "" || served != 2 { // over the connection that was judged
		t.Fatalf("%s, served %d", got, served)
	}
	client.Close()
	if got := post(); got != egress.FailureRefused || served != 2 {
		t.Errorf("%s, served %d", got, served)
	}
}

func TestGoodAddressesAmongBadOnes(t *testing.T) {
	names, resolver := newNames(t)
	var reached []string
	port := serve(t, nil, func(w http.ResponseWriter, r *http.Request) {
		reached = append(reached, r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	})
	client := newClient(t, egress.Config{Resolver: resolver, Allow: prefixes("127.0.0.1/32")})
	for _, addrs := range [][]string{
		{"127.0.0.2", "127.0.0.1"},
		{"127.0.0.1", "127.0.0.2"},
		{"::1", "fd00::1", "10.0.0.1", "127.0.0.1"},
		{"169.254.169.254", "127.0.0.1", "::ffff:127.0.0.3"},
	} {
		names.set("bms.example", addrs...)
		client.Close()
		if _, err := client.Post(t.Context(), "http://bms.example:"+port+"/", nil, nil); err != nil {
			t.Errorf("%v: %v", addrs, err)
		}
	}
	for _, addr := range reached {
		if addr != "127.0.0.1:"+port {
			t.Errorf("it reached %s", addr)
		}
	}
	if len(reached) != 4 {
		t.Errorf("it reached %v", reached)
	}
	// The good address does not answer: that is what is told.
	names.set("bms.example", "127.0.0.2", "127.0.0.1")
	if _, err := client.Post(t.Context(), "http://bms.example:1/", nil, nil); failure(err) != egress.FailureConnect {
		t.Error(err)
	}
}

// Two endpoints behind one address each get a handshake with their own name, and a kept connection serves its own only.
func TestNamesAreNotMixed(t *testing.T) {
	names, resolver := newNames(t)
	ca := newAuthority(t)
	certs := map[string]*tls.Certificate{}
	for _, name := range []string{"a.example", "b.example"} {
		names.set(name, "127.0.0.1")
		cert := ca.issue(t, time.Now().Add(time.Hour), name)
		certs[name] = &cert
	}
	var (
		mu         sync.Mutex
		handshakes []string
	)
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		handshakes = append(handshakes, hello.ServerName)
		if cert := certs[hello.ServerName]; cert != nil {
			return cert, nil
		}
		return certs["a.example"], nil
	}}
	port := serve(t, config, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.ServerName+":"+port(r) != r.Host || r.ProtoMajor != 2 {
			t.Errorf("%s was asked of %s over %s", r.Host, r.TLS.ServerName, r.Proto)
		}
	})
	client := newClient(t, egress.Config{Resolver: resolver, Allow: prefixes("127.0.0.1/32"), CAFile: ca.file})
	for _, name := range []string{"a.example", "b.example", "a.example", "b.example"} {
		if _, err := client.Post(t.Context(), "https://"+name+":"+port+"/", nil, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	names.set("c.example", "127.0.0.1")
	if _, err := client.Post(t.Context(), "https://c.example:"+port+"/", nil, nil); failure(err) != egress.FailureTLS {
		t.Errorf("with a's certificate: %v", err)
	}
	if len(handshakes) != 3 {
		t.Errorf("handshakes %v", handshakes)
	}
}

func port(r *http.Request) string {
	_, port, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	return port
}

// A handshake ends in time, and the connection with it, also when nobody waits for it any more.
func TestAHandshakeEndsInTime(t *testing.T) {
	for name, limit := range map[string]time.Duration{"somebody waits": time.Minute, "nobody waits": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hungUp := make(chan struct{}, 1)
			port := raw(t, func(conn net.Conn) {
				_, _ = io.Copy(io.Discard, conn)
				hungUp <- struct{}{}
			})
			client := newClient(t, egress.Config{Allow: loopback})
			client.SetLimit(limit)
			client.SetConnectLimit(2 * time.Second)
			if _, err := client.Post(t.Context(), "https://127.0.0.1:"+port+"/", nil, nil); failure(err) != egress.FailureTimeout {
				t.Error(err)
			}
			select {
			case <-hungUp:
			case <-time.After(30 * time.Second):
				t.Error("the connection stays open")
			}
		})
	}
}
