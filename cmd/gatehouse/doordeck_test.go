package main_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/sharing"
)

// doordeckCloud is the Doordeck of one gateway. It remembers what in its clients' requests is secret.
type doordeckCloud struct {
	*doordecksim.Sim
	url string

	mu     sync.Mutex
	tokens []string
	proofs []string // signatures of codes
}

// newDoordeck makes one, and configures the gateway for it.
func newDoordeck(t testing.TB, g *gateway) *doordeckCloud {
	t.Helper()
	c := &doordeckCloud{Sim: doordecksim.New(doordecksim.Options{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.overhear(r)
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	key := c.SigningKey(doordecksim.KeyEd25519)
	g.env["GATEHOUSE_DOORDECK_API_URL"] = c.url
	g.env["GATEHOUSE_DOORDECK_ISSUER"] = doordecksim.DefaultIssuer
	g.env["GATEHOUSE_DOORDECK_KEY_ID"] = key.ID
	g.env["GATEHOUSE_DOORDECK_SIGNING_KEY_FILE"] = keyFile(t, key)
	return c
}

func keyFile(t testing.TB, key doordecksim.SigningKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key.Private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "application.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *doordeckCloud) overhear(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var in struct{ VerificationSignature string }
	_ = json.Unmarshal(body, &in) // not every body is an object
	c.mu.Lock()
	defer c.mu.Unlock()
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		c.tokens = append(c.tokens, token)
	}
	if in.VerificationSignature != "" {
		c.proofs = append(c.proofs, in.VerificationSignature)
	}
}

func (c *doordeckCloud) secrets() (tokens, proofs []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.tokens), slices.Clone(c.proofs)
}

// identityBody asks for an identity of one of the seeded administrators.
func identityBody(name, subject string) string {
	email, telephone := "ada@example.test", "+442079460001"
	if subject == doordecksim.AdminBen {
		email, telephone = "ben@example.test", "+442079460002"
	}
	return `{"name":"` + name + `","subject":"` + subject + `","email":"` + email + `","email_verified":true,"telephone":"` + telephone + `","telephone_verified":true}`
}

// identity makes one and waits until it is ready.
func (g *gateway) identity(name, subject string) {
	g.t.Helper()
	if a := g.call(http.MethodPost, "/v1/identities", identityBody(name, subject)); a.status != http.StatusCreated {
		g.t.Fatalf("%d %s", a.status, a.body)
	}
	g.awaitIdentity(name, sharing.StatusReady)
}

func (g *gateway) awaitIdentity(name, status string) (got sharing.Identity) {
	g.t.Helper()
	eventually(g.t, 60*time.Second, func() string {
		a := g.call(http.MethodGet, "/v1/identities/"+name, "")
		if a.status != http.StatusOK {
			return string(a.body)
		}
		a.json(g.t, &got)
		if got.Status != status {
			return "its status is " + got.Status + ", " + got.Detail
		}
		return ""
	})
	return got
}
