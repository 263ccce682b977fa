package egress_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/egress"
)

func serverTLS(ca *authority, cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ca.pool()}
}

// Each way to fail has its word, and none lets out what was sent, what was answered, or what a name resolves to.
func TestFailures(t *testing.T) {
	const planted = "planted-Gy7Hu3Ji9K"
	names, resolver := newNames(t)
	names.set("inside.example", "10.9.8.7")
	names.set("bms.example", "127.0.0.1")
	names.set("nowhere.example")
	names.set("public.example", "8.8.8.8", "2606:4700::1111")
	ca, stranger := newAuthority(t), newAuthority(t)
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	answers := func(http.ResponseWriter, *http.Request) {}
	secure := func(change func(*tls.Config)) string {
		config := serverTLS(ca, ca.issue(t, soon, "bms.example"))
		change(config)
		return serve(t, config, answers)
	}
	hangup := func(text string) string {
		return raw(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			fmt.Fprint(conn, text)
		})
	}
	silent := func(text string) string {
		return raw(t, func(conn net.Conn) {
			for buf := make([]byte, 4096); ; {
				if _, err := conn.Read(buf); err != nil {
					return
				}
				fmt.Fprint(conn, text)
			}
		})
	}
	reflect := planted + " 10.9.8.7"
	old := func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }
	cases := []struct {
		name, url string
		want      egress.Failure
		text      string
	}{
		{"not a URL", "https://bms.example\x7f/" + planted, egress.FailureURL, "not a URL"},
		{"no URL to send to", "https://user:" + planted + "@bms.example/", egress.FailureURL, "no user"},
		{"an unknown name", "https://unknown.example/", egress.FailureDNS, "no such host"},
		{"a name without addresses", "https://nowhere.example/", egress.FailureDNS, "no such host"},
		{"an address within", "https://inside.example/", egress.FailureRefused, "a private address"},
		{"nobody listens", "http://bms.example:1/", egress.FailureConnect, "connection refused"},
		{"no TLS", "https://bms.example:" + serve(t, nil, answers) + "/", egress.FailureTLS, ""},
		{"an unknown authority", "https://bms.example:" + secure(func(c *tls.Config) { c.Certificates[0] = stranger.issue(t, soon, "bms.example") }) + "/", egress.FailureTLS, "unknown authority"},
		{"another name", "https://bms.example:" + secure(func(c *tls.Config) { c.Certificates[0] = ca.issue(t, soon, "other.example") }) + "/", egress.FailureTLS, "other.example"},
		{"a name without end", "https://bms.example:" + secure(func(c *tls.Config) {
			c.Certificates[0] = ca.issue(t, soon, strings.Repeat(strings.Repeat("a", 60)+".", 60)+"b")
		}) + "/", egress.FailureTLS, ""},
		{"an old certificate", "https://bms.example:" + secure(func(c *tls.Config) { c.Certificates[0] = ca.issue(t, past, "bms.example") }) + "/", egress.FailureTLS, "expired"},
		{"TLS 1.1", "https://bms.example:" + secure(old) + "/", egress.FailureTLS, "protocol version"},
		{"no certificate for TLS 1.3", "https://bms.example:" + secure(func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert }) + "/", egress.FailureTLS, "certificate"},
		{"no certificate for TLS 1.2", "https://bms.example:" + secure(func(c *tls.Config) {
			c.ClientAuth, c.MaxVersion = tls.RequireAndVerifyClientCert, tls.VersionTLS12
		}) + "/", egress.FailureTLS, ""},
		{"plain http to an address of the internet", "http://public.example/", egress.FailureRefused, "https only"},
		{"no handshake", "https://bms.example:" + silent("") + "/", egress.FailureTimeout, "15 s"},
		{"no answer", "http://bms.example:" + silent("") + "/", egress.FailureTimeout, "15 s"},
		{"half an answer", "http://bms.example:" + silent("HTTP/1.1 200 OK\r\nX: ") + "/", egress.FailureTimeout, "15 s"},
		{"hung up", "http://bms.example:" + hangup("") + "/", egress.FailureAnswer, ""},
		{"not HTTP", "http://bms.example:" + hangup("SSH-2.0-"+reflect+"\r\n") + "/", egress.FailureAnswer, ""},
		{"a bad status", "http://bms.example:" + hangup("HTTP/1.1 abc "+reflect+"\r\n\r\n") + "/", egress.FailureAnswer, ""},
		{"a header without end", "http://bms.example:" + hangup("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", 40<<10)+"\r\n\r\n") + "/", egress.FailureAnswer, ""},
		{"headers without end", "http://bms.example:" + hangup("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: a\r\n", 10<<10)+"\r\n") + "/", egress.FailureAnswer, ""},
		{"hints without end", "http://bms.example:" + hangup(strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: a\r\n\r\n", 100)) + "/", egress.FailureAnswer, ""},
	}
	seen := map[egress.Failure]bool{egress.FailureCanceled: true} // in a test of its own
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			client := newClient(t, egress.Config{Resolver: resolver, Allow: loopback, CAFile: ca.file})
			if test.want == egress.FailureTimeout {
				client.SetLimit(200 * time.Millisecond)
			}
			target := test.url
			if test.want != egress.FailureURL {
				target += planted + "?k=" + planted
			}
			_, err := client.Post(t.Context(), target, http.Header{"Signature": {planted}}, []byte(planted))
			if failure(err) != test.want || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("%v, want %s: %s", err, test.want, test.text)
			}
			for _, secret := range []string{planted, "10.9.8.7", "127.0.0.1"} {
				if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) {
					t.Errorf("%s is in %s", secret, text)
				}
			}
			if name := string(test.want) + ": "; strings.Contains(err.Error(), name+name) {
				t.Errorf("%s is said twice: %v", test.want, err)
			}
			if len(err.Error()) > 300 {
				t.Errorf("%d bytes", len(err.Error()))
			}
		})
		seen[test.want] = true
	}
	for _, f := range egress.Failures() {
		if !seen[f] {
			t.Errorf("no case for %s", f)
		}
	}
}

func TestTheClientsCertificate(t *testing.T) {
	ca := newAuthority(t)
	own := ca.issue(t, time.Now().Add(time.Hour))
	config := serverTLS(ca, ca.issue(t, time.Now().Add(time.Hour)))
	config.ClientAuth = tls.RequireAndVerifyClientCert
	var name string
	port := serve(t, config, func(_ http.ResponseWriter, r *http.Request) { name = r.TLS.PeerCertificates[0].Subject.CommonName })
	client := newClient(t, egress.Config{
		Allow: loopback, CAFile: ca.file,
		Certificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
	})
	if _, err := client.Post(t.Context(), "https://127.0.0.1:"+port+"/", nil, nil); err != nil || name != "leaf" {
		t.Errorf("%q, %v", name, err)
	}
}
