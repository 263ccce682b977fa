package doordeck_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
)

// What the vectors are made with.
const (
	seedHex  = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	admin    = doordeck.UserID("7a1d2c30-0001-11f0-8000-00000000a001")
	lock     = doordeck.LockID("7a1d2c30-0002-11f0-8000-00000000b001")
	invitee1 = doordeck.UserID("7a1d2c30-0003-11f0-8000-00000000c001")
	invitee2 = doordeck.UserID("7a1d2c30-0004-11f0-8000-00000000c002")
	token    = "planted.auth-token.Zm9yYmlkZGVu"
)

var moment = time.Unix(1767312000, 0).UTC() // 2026-01-02

func still() *doordeck.Clock { return doordeck.NewClock(nil, func() time.Time { return moment }) }

func vector(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func ephemeral(t testing.TB) doordeck.EphemeralKey {
	t.Helper()
	key, err := doordeck.ParseEphemeralKey(unhex(t, seedHex))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func chain(t testing.TB) doordeck.Chain {
	t.Helper()
	c, err := doordeck.ParseChain([]string{vector(t, "v2-leaf.txt"), vector(t, "v2-ca.txt")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func signer(t testing.TB) doordeck.Signer {
	t.Helper()
	return doordeck.Signer{UserID: admin, Key: ephemeral(t), Chain: chain(t), Clock: still()}
}

// asked is a request as it came.
type asked struct{ method, uri, accept, contentType, authorization, agent, body string }

// serve makes a client for a server whose API is below a path.
func serve(t testing.TB, handler func(w http.ResponseWriter, r asked)) *doordeck.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		handler(w, asked{
			r.Method, r.URL.RequestURI(), r.Header.Get("Accept"), r.Header.Get("Content-Type"),
			r.Header.Get("Authorization"), r.UserAgent(), string(body),
		})
	}))
	t.Cleanup(server.Close)
	client, err := doordeck.NewClient(doordeck.Config{URL: server.URL + "/below/", Transport: server.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// answering is a server that gives one answer; it keeps what it was asked.
func answering(t testing.TB, status int, body string) (*doordeck.Client, *[]asked) {
	t.Helper()
	var got []asked
	return serve(t, func(w http.ResponseWriter, r asked) {
		got = append(got, r)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}), &got
}

// expect compares the one request that was made.
func expect(t testing.TB, got []asked, method, uri, accept, contentType, body string) {
	t.Helper()
	want := asked{method, "/below" + uri, accept, contentType, "Bearer " + token, doordeck.UserAgent, body}
	if len(got) != 1 || got[0] != want {
		t.Fatalf("asked %q,\nwant %q", got, want)
	}
}

func bearer() doordeck.Token { return doordeck.NewToken(token) }
