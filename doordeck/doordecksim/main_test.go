package doordecksim_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/doordeck/doordecksim"
)

const (
	v2 = "application/vnd.doordeck.api-v2+json"
	v3 = "application/vnd.doordeck.api-v3+json"
)

// start is when the tests' clock stands still: 2026-01-02T00:00:00Z, as in the vectors.
var start = time.Unix(1767312000, 0).UTC()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud is a simulation behind a real HTTP server.
type cloud struct {
	*doordecksim.Sim
	t      *testing.T
	url    string
	client *http.Client // keeps no connections
}

func newCloud(t *testing.T, change ...func(*doordecksim.Options)) *cloud {
	t.Helper()
	o := doordecksim.Options{Now: func() time.Time { return start }}
	for _, f := range change {
		f(&o)
	}
	sim := doordecksim.New(o)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return &cloud{Sim: sim, t: t, url: server.URL, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("decoding %q: %v", a.body, err)
	}
	return v
}

func (a answer) list(t *testing.T) []map[string]any {
	t.Helper()
	var v []map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("decoding %q: %v", a.body, err)
	}
	return v
}

func (c *cloud) send(req *http.Request) (answer, error) {
	resp, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

func (c *cloud) must(req *http.Request) answer {
	c.t.Helper()
	a, err := c.send(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// request makes one with pairs of header name and value.
func (c *cloud) request(method, path, body string, header ...string) *http.Request {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// api calls with an auth token; pairs of header name and value may follow.
func (c *cloud) api(token, method, path, body string, header ...string) answer {
	c.t.Helper()
	return c.must(c.request(method, path, body, append(header, "Authorization", "Bearer "+token)...))
}

// object is a JSON object in a test.
type object = map[string]any

// with is a copy with pairs of name and value changed; the value absent takes one away.
func with(o object, pairs ...any) object {
	o = maps.Clone(o)
	for i := 0; i < len(pairs); i += 2 {
		if o[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == absent {
			delete(o, pairs[i].(string))
		}
	}
	return o
}

const absent = "\x00absent"

func encoded(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// compact signs with an Ed25519, EC or RSA key as the header's alg has it.
func compact(t *testing.T, key crypto.Signer, header, payload any) string {
	t.Helper()
	signed := encoded(t, header) + "." + encoded(t, payload)
	message, hash := []byte(signed), crypto.Hash(0)
	if _, edwards := key.(ed25519.PrivateKey); !edwards {
		sum := sha256.Sum256(message)
		message, hash = sum[:], crypto.SHA256
	}
	signature, err := key.Sign(rand.Reader, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// claims are those of a good token of a person who is seeded.
func (c *cloud) claims(subject string) object {
	claims := object{
		"iss": doordecksim.DefaultIssuer, "sub": subject, "aud": "https://api.doordeck.com",
		"iat": c.Now().Unix(), "exp": c.Now().Unix() + 30*86400, "email": subject + "@tokens.test",
	}
	if u, known := c.User(subject); known {
		claims["email"], claims["email_verified"], claims["name"] = u.Email, u.EmailVerified, u.Name
		claims["telephone"], claims["telephone_verified"] = u.Telephone, u.TelephoneVerified
	}
	return claims
}

// openID signs claims with the seeded Ed25519 key.
func (c *cloud) openID(claims object) string {
	c.t.Helper()
	return compact(c.t, c.SigningKey(doordecksim.KeyEd25519).Private,
		object{"alg": "EdDSA", "kid": doordecksim.KeyEd25519, "typ": "JWT"}, claims)
}

// identity is somebody who signs operations.
type identity struct {
	c     *cloud
	id    string
	token string
	key   ed25519.PrivateKey
	chain []string
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func public(key ed25519.PrivateKey) string {
	return base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

func keyBody(key ed25519.PrivateKey) string { return fmt.Sprintf(`{"ephemeralKey":%q}`, public(key)) }

// chainAnswer is what a certificate call answers.
type chainAnswer struct {
	CertificateChain []string
	UserID           string
}

func (a answer) chain(t *testing.T) chainAnswer {
	t.Helper()
	wantStatus(t, a, 200)
	var answer chainAnswer
	if err := json.Unmarshal(a.body, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// identity registers a first key for somebody.
func (c *cloud) identity(subject string) *identity {
	c.t.Helper()
	i := &identity{c: c, token: c.openID(c.claims(subject)), key: newKey(c.t)}
	chain := c.api(i.token, "POST", "/auth/certificate", keyBody(i.key)).chain(c.t)
	i.chain, i.id = chain.CertificateChain, chain.UserID
	return i
}

func (i *identity) header() object { return object{"alg": "EdDSA", "typ": "JWT", "x5c": i.chain} }

// claims are those of an operation that is good for the next minute.
func (i *identity) claims(lock string, operation object) object {
	now := i.c.Now().Unix()
	return object{
		"iss": i.id, "sub": lock, "nbf": now, "iat": now, "exp": now + 55, "jti": rand.Text(), "operation": operation,
	}
}

// do signs an operation with pairs of claims changed and sends it.
func (i *identity) do(lock string, operation object, changes ...any) answer {
	i.c.t.Helper()
	return i.execute(lock, compact(i.c.t, i.key, i.header(), with(i.claims(lock, operation), changes...)))
}

func (i *identity) execute(lock, jwt string) answer {
	i.c.t.Helper()
	return i.c.api(i.token, "POST", "/device/"+lock+"/execute", jwt, "Content-Type", "application/jwt")
}

// later are the changes that make an operation a queued one.
func (i *identity) later(d time.Duration) []any { return []any{"exp", i.c.Now().Add(d).Unix()} }

// entry is somebody, by subject, as ADD_USER and a batch name them.
func (c *cloud) entry(subject string) object {
	c.t.Helper()
	u, known := c.User(subject)
	if !known {
		c.t.Fatalf("nobody is called %s", subject)
	}
	return object{"user": u.ID, "publicKey": u.PublicKey}
}

func (c *cloud) add(subject string) object { return with(c.entry(subject), "type", "ADD_USER") }

func batch(entries ...object) object { return object{"type": "BATCH_ADD_USER", "users": entries} }

func remove(ids ...string) object { return object{"type": "REMOVE_USER", "users": ids} }

func unlock() object { return object{"type": "MUTATE_LOCK", "locked": false} }

func (c *cloud) id(subject string) string {
	c.t.Helper()
	return c.entry(subject)["user"].(string)
}

// role is what somebody has at a lock, "" for nothing.
func (c *cloud) role(lock, subject string) doordecksim.Role {
	for _, m := range c.Users(lock) {
		if m.User == c.id(subject) {
			return m.Role
		}
	}
	return ""
}

// last is the newest entry of the ledger.
func (c *cloud) last() doordecksim.LedgerEntry {
	c.t.Helper()
	entries := c.Ledger()
	if len(entries) == 0 {
		c.t.Fatal("the ledger is empty")
	}
	return entries[len(entries)-1]
}

// run starts Run for the length of the test.
func (c *cloud) run() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("Run: %v", err)
		}
	})
}

func wantStatus(t *testing.T, a answer, want int) {
	t.Helper()
	if a.status != want {
		t.Fatalf("status = %d, want %d; body %s", a.status, want, bytes.TrimSpace(a.body))
	}
}
