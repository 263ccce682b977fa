package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/sharing"
)

// submit sends an operation with headers, and reads what it is answered.
func (g *gateway) submit(body string, headers ...string) (a answer, op sharing.Answer) {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodPost, g.url+"/v1/identities/acme/operations", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := probe.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, header: resp.Header}
	if a.status >= 300 {
		return a, op
	}
	if err := json.NewDecoder(resp.Body).Decode(&op); err != nil {
		g.t.Fatal(err)
	}
	return a, op
}

func TestOperationsOverHTTP(t *testing.T) {
	g := newGateway(t, nil)
	newDoordeck(t, g)
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	share := `{"type":"share","lock":"` + doordecksim.LockFront + `","invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}]}`
	a, op := g.submit(share, "Prefer: respond-async, wait=20", "Idempotency-Key: visit-1")
	if a.status != http.StatusOK || op.Status != sharing.Partial || op.ID != "visit-1" || op.Caller != "admin" || a.header.Get("Preference-Applied") != "wait=20" {
		t.Errorf("%d %+v", a.status, op)
	}
	if a.header.Get("Location") != "/v1/operations/"+op.Operation {
		t.Errorf("Location is %q", a.header.Get("Location"))
	}
	if again, same := g.submit(share, `Idempotency-Key: "visit-1"`); again.status != http.StatusOK || same.Operation != op.Operation || same.Status != op.Status {
		t.Errorf("again: %d %+v", again.status, same)
	}
	if other, _ := g.submit(strings.Replace(share, "ana@", "dora@", 1), "Idempotency-Key: visit-1"); other.status != http.StatusConflict {
		t.Errorf("another with the same id: %d", other.status)
	}
	began := time.Now()
	a, op = g.submit(`{"type":"share","lock":"`+doordecksim.LockBoat+`","invitees":[{"email":"ana@example.test"}],"valid_for":"1h"}`, "Prefer: wait=50")
	if a.status != http.StatusAccepted || op.Status != sharing.Queued || time.Since(began) > 20*time.Second {
		t.Errorf("%d %+v after %v", a.status, op, time.Since(began))
	}
	began = time.Now()
	a, op = g.submit(`{"type":"share","lock":"`+doordecksim.LockBoat+`","invitees":[{"telephone":"+442079460012"}]}`, "Prefer: wait=2")
	if a.status != http.StatusAccepted || op.Status.Final() || time.Since(began) < 2*time.Second {
		t.Errorf("%d %+v after %v", a.status, op, time.Since(began))
	}
	for name, row := range map[string]struct {
		body, header, field string
		status              int
	}{
		"a wait that is none":   {share, "Prefer: wait=soon", "Prefer", 400},
		"an empty key":          {share, "Idempotency-Key: ", "Idempotency-Key", 400},
		"another id":            {`{"id":"x","type":"unlock","lock":"` + doordecksim.LockFront + `"}`, "Idempotency-Key: y", "id", 400},
		"a field there is not":  {`{"typ":"unlock"}`, "X: y", "typ", 400},
		"more than a mebibyte":  {`{"id":"` + strings.Repeat("x", 1<<20) + `"}`, "Expect: 100-continue", "", 413},
		"an identity that isnt": {share, "X: y", "", 404},
	} {
		path := "/v1/identities/acme/operations"
		if row.status == 404 {
			path = "/v1/identities/nobody/operations"
		}
		req, err := http.NewRequest(http.MethodPost, g.url+path, strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		key, value, _ := strings.Cut(row.header, ": ")
		req.Header.Set(key, value)
		req.Header.Set("Authorization", "Bearer "+adminToken)
		resp, err := probe.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var p struct{ Field string }
		_ = json.NewDecoder(resp.Body).Decode(&p)
		_ = resp.Body.Close()
		if resp.StatusCode != row.status || p.Field != row.field {
			t.Errorf("%s: %d, field %q", name, resp.StatusCode, p.Field)
		}
	}
	var trail struct {
		Items []struct{ Action, Actor, Outcome, Target string }
	}
	g.call(http.MethodGet, "/v1/audit?action=operation.share&limit=100", "").json(t, &trail)
	if text := fmt.Sprint(trail.Items); !strings.Contains(text, "admin started acme "+doordecksim.LockFront) || len(trail.Items) < 4 {
		t.Errorf("the audit log says %s", text)
	}
}

// Without a Doordeck application the routes say so.
func TestOperationsWithoutDoordeckSaySo(t *testing.T) {
	g := newGateway(t, nil).start()
	for _, path := range []string{"GET /v1/operations", "GET /v1/operations/x", "POST /v1/identities/acme/operations", "POST /v1/identities/acme/lookup"} {
		verb, path, _ := strings.Cut(path, " ")
		if a := g.call(verb, path, "{}"); a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "GATEHOUSE_DOORDECK_ISSUER") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// Stopped in the middle, a gateway lets what it has sent be answered, and the next goes on with the rest.
func TestStoppingWithOperations(t *testing.T) {
	g := newGateway(t, nil)
	c := newDoordeck(t, g)
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	c.Faults().SlowAfter(doordecksim.RouteExecute, 1, 2*time.Second)
	_, unlock := g.submit(`{"type":"unlock","lock":"` + doordecksim.LockFront + `"}`)
	eventually(t, 20*time.Second, func() string { // which would not wait as long as a new start may take
		if c.Stats().Requests[doordecksim.RouteExecute] == 0 {
			return "nothing is sent"
		}
		return ""
	})
	_, share := g.submit(`{"type":"share","lock":"` + doordecksim.LockFront + `","invitees":[{"email":"ana@example.test"}]}`)
	g.signal(syscall.SIGTERM)
	g.awaitExit(0)
	g.start()
	eventually(t, 20*time.Second, func() string {
		var first, second sharing.Answer
		g.call(http.MethodGet, "/v1/operations/"+unlock.Operation, "").json(t, &first)
		g.call(http.MethodGet, "/v1/operations/"+share.Operation, "").json(t, &second)
		if first.Status != sharing.Applied || second.Status != sharing.Applied {
			return fmt.Sprintf("%+v\n%+v", first, second)
		}
		return ""
	})
	if n := c.Unlocks(doordecksim.LockFront); n != 1 {
		t.Errorf("%d unlocks", n)
	}
}

func TestOperationsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	c := newDoordeck(t, g)
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	front := doordecksim.LockFront
	do := func(want int, args ...string) string {
		t.Helper()
		code, stdout, stderr := command(t, g.caller(), args...)
		if code != want {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, code, want, stdout, stderr)
		}
		return stdout + stderr
	}
	out := do(0, "share", "acme", front, "--email", "ana@example.test", "--telephone=+442079460012", "--end", "8h", "--id", "visit-9", "--wait", "20s")
	for _, want := range []string{"status     applied", "id         visit-9", "email ana@example.test   applied"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	var a sharing.Answer
	if err := json.Unmarshal([]byte(do(0, "unlock", "acme", front, "--json")), &a); err != nil || a.Status != sharing.Applied {
		t.Errorf("%+v %v", a, err)
	}
	if out := do(1, "revoke", "acme", front, "--email", "nobody@example.test", "--wait", "20s"); !strings.Contains(out, "it ended as failed") || !strings.Contains(out, "not_in_directory") {
		t.Error(out)
	}
	do(0, "share", "acme", front, "--provision", "--foreign-key", "visitor-77", "--email", "lee@example.test", "--display-name", "Lee Ann", "--wait", "20s")
	if u, ok := c.User("visitor-77"); !ok || u.Name != "Lee Ann" || u.EmailVerified {
		t.Errorf("%+v", u)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a.b.c.d.e\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := do(1, "share", "acme", front, "--identity-token-file", token, "--wait", "20s"); !strings.Contains(out, "identity_token_refused") || strings.Contains(out, "a.b.c") {
		t.Error(out)
	}
	if out := do(0, "operations", "list", "--limit", "2", "--status", "applied"); strings.Count(out, "applied") != 2 || !strings.Contains(out, "OPERATION") {
		t.Error(out)
	}
	if out := do(0, "operations", "show", a.Operation); !strings.Contains(out, "unlock") || !strings.Contains(out, "applied") {
		t.Error(out)
	}
	var all []sharing.Answer
	if err := json.Unmarshal([]byte(do(0, "operations", "list", "--id", "visit-9", "--json")), &all); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
	for _, args := range [][]string{
		{"share", "acme", front},
		{"share", "acme", front, "--email", "a@b.c", "--start", "soon"},
		{"share", "acme", front, "--provision", "--email", "a@b.c"},
		{"share", "acme", front, "--email", "a@b.c", "--display-name", "x"},
		{"revoke", "acme", front},
		{"share", "acme", front, "--role", "user", "--email", "a@b.c"},
		{"unlock", "acme"},
		{"unlock", "acme", front, "--wait=-5s"},
		{"unlock", "acme", front, "--wait=61s"},
	} {
		do(2, args...)
	}
	do(1, "operations", "show", "nothing")
	if out := do(0, "operations", "--type", "unlock", "--limit", "1"); strings.Count(out, "unlock") != 1 {
		t.Error(out)
	}
	if out := do(2, "unlock", "acme", "front"); !strings.Contains(out, "gatehouse: lock: must be") {
		t.Errorf("the field is not named: %s", out)
	}
	for _, list := range []string{"identities", "connections", "api-keys"} {
		do(0, list, "--json")
	}
}
