package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/sqldb/sqldbtest"
)

// within is how soon the end of a key must be felt everywhere: two seconds, and as long again on a busy machine. A stream
// whose key is not looked at has no end.
const within = 4 * time.Second

// status is how a key is answered.
func (g *gateway) status(key string) int {
	g.t.Helper()
	return g.callWith(key, http.MethodGet, "/v1/messages?limit=1", "").status
}

// following opens a stream with a key and returns when it has begun. The channel is closed when it ends.
func (g *gateway) following(key string) <-chan struct{} {
	g.t.Helper()
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		first := true
		g.listen(key, "", func(string, string) bool {
			if first {
				close(begun)
			}
			first = false
			return true
		})
	}()
	select {
	case <-begun:
	case <-ended:
		g.t.Fatal("the stream ended at once")
	}
	return ended
}

// ends wants a stream to end in time, and returns how long that took.
func ends(t *testing.T, ended <-chan struct{}) time.Duration {
	t.Helper()
	began := time.Now()
	eventually(t, within, func() string {
		select {
		case <-ended:
			return ""
		default:
			return "the stream goes on"
		}
	})
	return time.Since(began)
}

// newKey makes a key at one gateway and returns it with its id.
func newKey(t *testing.T, g *gateway, token, body string) (id, key string) {
	t.Helper()
	var made struct{ ID, Key string }
	a := g.callWith(token, http.MethodPost, "/v1/api-keys", body)
	if a.status != http.StatusCreated {
		t.Fatalf("making a key: %d %s", a.status, a.body)
	}
	a.json(t, &made)
	return made.ID, made.Key
}

func TestAKeyRevokedAtOneReplicaEndsAtTheOther(t *testing.T) {
	t.Parallel()
	gateways := shared(t, sqldbtest.PostgresURL(t), newNATS(t), 2)
	here, there := gateways[0].start(), gateways[1].start()
	id, key := newKey(t, here, adminToken, `{"name":"x","scopes":["messages:read"]}`)
	if got := there.status(key); got != http.StatusOK {
		t.Fatalf("the other replica answers %d", got)
	}
	ended, own := there.following(key), here.following(key)
	if a := here.call(http.MethodDelete, "/v1/api-keys/"+id, ""); a.status != http.StatusNoContent {
		t.Fatal(a.status, string(a.body))
	}
	if got := there.status(key); got != http.StatusUnauthorized {
		t.Errorf("the other replica still answers %d", got)
	}
	t.Logf("the other replica's stream ended after %s, the own after %s", ends(t, ended), ends(t, own))

	// An end that was set beforehand needs nobody to tell anybody.
	expires := time.Now().Add(10 * time.Second)
	_, short := newKey(t, here, adminToken, fmt.Sprintf(`{"name":"x","scopes":["messages:read"],"expires_at":%q}`, expires.Format(time.RFC3339Nano)))
	ended = there.following(short)
	time.Sleep(time.Until(expires))
	ends(t, ended)
	if got := there.status(short); got != http.StatusUnauthorized {
		t.Errorf("an expired key is answered %d", got)
	}
}

func TestTheFirstAdminTokenMakesWay(t *testing.T) {
	g := newGateway(t, nil)
	delete(g.env, "GATEHOUSE_ADMIN_TOKEN")
	g.start()
	path := filepath.Join(g.data, "admin-token")
	first := keptToken(t, path)
	if got := g.status(first); got != http.StatusOK {
		t.Fatalf("the first token is answered %d", got)
	}
	ended := g.following(first)
	id, admin := newKey(t, g, first, `{"name":"ops","scopes":["admin"]}`)
	if got := g.status(first); got != http.StatusUnauthorized {
		t.Errorf("the first token is answered %d although there is another admin key", got)
	}
	if token := keptToken(t, path); token != "" {
		t.Error("the file is still there")
	}
	t.Logf("its stream ended after %s", ends(t, ended))

	g.stop()
	g.start()
	if keptToken(t, path) != "" || g.status(first) != http.StatusUnauthorized || g.status(admin) != http.StatusOK {
		t.Error("a restart brought the first token back, or ended the admin key")
	}
	a := g.callWith(admin, http.MethodDelete, "/v1/api-keys/"+id, "")
	if a.status != http.StatusConflict || !strings.Contains(string(a.body), "/problems/last-admin-key") {
		t.Errorf("revoking the last admin key: %d %s", a.status, a.body)
	}

	// The way back when the last admin key is lost.
	g.stop()
	g.env["GATEHOUSE_ADMIN_TOKEN"] = adminToken
	g.start()
	if a := g.call(http.MethodDelete, "/v1/api-keys/"+id, ""); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	g.stop()
	delete(g.env, "GATEHOUSE_ADMIN_TOKEN")
	g.start()
	if again := keptToken(t, path); again == "" || again == first || g.status(again) != http.StatusOK || g.status(adminToken) != http.StatusUnauthorized {
		t.Error("no new token was made although no admin key is left, or an old one works")
	}
	for _, key := range []string{first, admin} {
		if strings.Contains(g.log(), key) {
			t.Error("a key is in the log")
		}
	}
}

// keptToken is the token in the file, "" without one.
func keptToken(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	return strings.TrimSpace(string(data))
}
