package doordeck_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse/doordeck"
)

// saying is a transport on which one answer is given, whatever is asked.
type saying struct {
	status int
	body   string
}

func (s saying) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

func hearing(t *testing.T, status int, body string) *doordeck.Client {
	client, err := doordeck.NewClient(doordeck.Config{URL: "https://doordeck.test", Transport: saying{status, body}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func FuzzError(f *testing.F) {
	f.Add(404, `{"code":404.12,"message":"No devices associated with this tile"}`, "30")
	f.Add(503, "device offline "+token, "Thu, 01 Jan 2026 00:00:00 GMT")
	f.Add(429, `{"code":"429","message":{"a":[null]}}`, "1e400")
	f.Fuzz(func(t *testing.T, status int, body, after string) {
		e := doordeck.NewError(status, http.Header{"Retry-After": {after}}, []byte(body), false, token)
		text := e.Error()
		if strings.Contains(text, token) || utf8.RuneCountInString(text) > 300 || !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00\x1b") {
			t.Fatalf("the text is %q", text)
		}
		if e.RetryAfter < 0 || e.RetryAfter > 24*time.Hour || e.Class == "" {
			t.Fatalf("%+v", *e)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add(lockBody)
	f.Add(`[{"id":"` + string(invitee1) + `","foreignKey":"emp-17","publicKey":"MIIBIjAN"}]`)
	f.Add(`{"userId":"` + string(admin) + `","devices":[{"deviceId":"` + string(lock) + `","end":1.5}]}`)
	f.Add(`{"now":1767312000000}`)
	f.Add(`{"method":"EMAIL"}`)
	f.Fuzz(func(t *testing.T, body string) {
		client := hearing(t, 200, body)
		if l, err := client.Lock(t.Context(), bearer(), lock); err == nil && (!l.ID.Valid() || l.End.Year() > 9999) {
			t.Errorf("%+v", l)
		}
		if users, err := client.LockUsers(t.Context(), bearer(), lock); err == nil {
			for _, u := range users {
				if !u.ID.Valid() {
					t.Errorf("%+v", u)
				}
			}
		}
		if u, _, err := client.User(t.Context(), bearer(), admin); err == nil && !u.ID.Valid() {
			t.Errorf("%+v", u)
		}
		if found, err := client.FindAll(t.Context(), bearer(), doordeck.ByForeignKey, []string{"emp-17"}); err == nil {
			for asked, e := range found {
				if asked != "emp-17" || !e.ID.Valid() || e.PublicKey == "" {
					t.Errorf("%q: %+v", asked, e)
				}
			}
		}
		if at, err := client.Time(t.Context()); err == nil && (at.Year() < 2001 || at.Year() > 9999) {
			t.Error(at)
		}
		if r, err := client.Register(t.Context(), bearer(), ephemeral(t)); err == nil && (!r.UserID.Valid() || !r.Chain.For(ephemeral(t))) {
			t.Errorf("%+v", r)
		}
		_, _ = client.Verify(t.Context(), bearer(), ephemeral(t), "")
	})
}

func FuzzParseChain(f *testing.F) {
	leaf, ca := decode(f, vector(f, "v2-leaf.txt")), decode(f, vector(f, "v2-ca.txt"))
	f.Add(leaf, ca)
	f.Add(leaf[:40], []byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		entries, err := json.Marshal([][]byte{first, second}) // []byte is standard base64
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		if err := json.Unmarshal(entries, &texts); err != nil {
			t.Fatal(err)
		}
		c, err := doordeck.ParseChain(texts)
		if err == nil && (c.IsZero() || !c.RenewAt().Before(c.NotAfter())) {
			t.Fatalf("renewed at %v, ends at %v", c.RenewAt(), c.NotAfter())
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte(v10Key), "gw-2026-01")
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n"), "k")
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"","y":"","d":""}`), "k")
	f.Add([]byte(`{"kty":"RSA","n":"AQ","e":"AQAB","d":"AQ","p":"AQ","q":"AQ"}`), "k")
	f.Fuzz(func(t *testing.T, data []byte, id string) {
		key, err := doordeck.ParseKey(data, id)
		if (err == nil) != (key.ID() != "") {
			t.Fatalf("%q, %v", key.ID(), err)
		}
		if err == nil {
			if _, err := (doordeck.Issuer{URL: "x", Key: key}).Token(doordeck.Person{Subject: "s", Email: "a@b"}, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseEphemeralKey(f *testing.F) {
	f.Add(unhex(f, seedHex))
	f.Add(decode(f, "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if key, err := doordeck.ParseEphemeralKey(b); err == nil && (len(key.Reveal()) != 32 || len(key.PublicKey()) != 60) {
			t.Fatalf("%d bytes, %q", len(key.Reveal()), key.PublicKey())
		}
	})
}

func FuzzSignCode(f *testing.F) {
	f.Add("123-456")
	f.Add(" 12 34\u200b56\n")
	f.Fuzz(func(t *testing.T, code string) {
		signature, err := ephemeral(t).SignCode(code)
		if err != nil {
			return
		}
		if again, err := ephemeral(t).SignCode(" " + code + "-\n"); err != nil || again != signature {
			if len(code) < 250 {
				t.Fatalf("%q is signed in two ways: %v", code, err)
			}
		}
	})
}
