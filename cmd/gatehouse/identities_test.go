package main_test

import (
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
	"gatehouse/sharing"
)

func TestIdentitiesWithoutDoordeckSaySo(t *testing.T) {
	g := newGateway(t, nil).start()
	for _, path := range []string{"", "/acme", "/acme/doors"} {
		a := g.call(http.MethodGet, "/v1/identities"+path, "")
		if a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "GATEHOUSE_DOORDECK_ISSUER") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if !strings.Contains(g.log(), "Doordeck is off") {
		t.Error("the log does not say that Doordeck is off")
	}
}

func TestDoordeckConfiguration(t *testing.T) {
	base := newGateway(t, nil)
	newDoordeck(t, base)
	open := keyFile(t, doordecksim.New(doordecksim.Options{}).SigningKey(doordecksim.KeyRSA))
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct{ variable, value, want string }{
		"plain http":     {"GATEHOUSE_DOORDECK_API_URL", "http://doordeck.example", "want https"},
		"no key":         {"GATEHOUSE_DOORDECK_SIGNING_KEY_FILE", "", "missing beside the issuer"},
		"no issuer":      {"GATEHOUSE_DOORDECK_ISSUER", "", "missing beside the signing key"},
		"an open key":    {"GATEHOUSE_DOORDECK_SIGNING_KEY_FILE", open, "chmod 600"},
		"no such key":    {"GATEHOUSE_DOORDECK_SIGNING_KEY_FILE", open + "x", "no such file"},
		"no key id":      {"GATEHOUSE_DOORDECK_KEY_ID", "", "key id"},
		"what is no key": {"GATEHOUSE_DOORDECK_SIGNING_KEY_FILE", binary, "open to others"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, base.env)
			g.env["GATEHOUSE_DATA_DIR"] = g.data
			g.env[row.variable] = row.value
			code, _, stderr := command(t, g.env, "serve")
			if code == 0 || !strings.Contains(stderr, row.want) || !strings.Contains(stderr, "GATEHOUSE_DOORDECK_") {
				t.Errorf("%d %s", code, stderr)
			}
		})
	}
}

// Doordeck has taken the key and the gateway dies before it hears so: the same key is registered again.
func TestKilledWhileRegistering(t *testing.T) {
	g := newGateway(t, nil)
	dd := newDoordeck(t, g)
	g.start()
	dd.Faults().SlowAfter(doordecksim.RouteCertificate, 1, time.Minute)
	if a := g.call(http.MethodPost, "/v1/identities", identityBody("acme", doordecksim.AdminAda)); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	eventually(t, 20*time.Second, func() string {
		if dd.Stats().Requests[doordecksim.RouteCertificate] == 0 {
			return "nothing is registered"
		}
		return ""
	})
	g.kill()
	dd.Faults().Reset()
	g.start()
	// Another key would want a code.
	g.awaitIdentity("acme", sharing.StatusReady)
	if codes := dd.Codes(); len(codes) != 0 || dd.Stats().Requests[doordecksim.RouteVerify] != 0 {
		t.Errorf("%d codes were sent", len(codes))
	}
}

// Doordeck has taken the code and the gateway dies before it hears so: the code is spent, and was not lost.
func TestKilledWhileChecking(t *testing.T) {
	g := newGateway(t, nil)
	dd := newDoordeck(t, g)
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	if a := g.call(http.MethodPost, "/v1/identities/acme/register", `{"new_key":true}`); !strings.Contains(string(a.body), sharing.StatusVerification) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := g.call(http.MethodPost, "/v1/identities/acme/verify", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	code := dd.Code(doordecksim.AdminAda)
	dd.Faults().SlowAfter(doordecksim.RouteCheck, 1, time.Minute)
	go func() { // it is killed before it answers
		req, err := http.NewRequest(http.MethodPost, g.url+"/v1/identities/acme/check", strings.NewReader(`{"code":"`+code+`"}`))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		if resp, err := probe.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	eventually(t, 20*time.Second, func() string {
		if dd.Stats().Requests[doordecksim.RouteCheck] == 0 {
			return "nothing is checked"
		}
		return ""
	})
	g.kill()
	dd.Faults().Reset()
	g.start()
	a := g.call(http.MethodPost, "/v1/identities/acme/check", `{"code":"`+code+`"}`)
	var got sharing.Identity
	if a.json(t, &got); a.status != http.StatusOK || got.Status != sharing.StatusReady || got.NewKey {
		t.Errorf("%d %s", a.status, a.body)
	}
	if n := dd.Stats().Requests[doordecksim.RouteVerify]; n != 1 {
		t.Errorf("%d codes were sent", n)
	}
}

func TestNoDoordeckSecretComesOut(t *testing.T) {
	g := newGateway(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "debug"})
	dd := newDoordeck(t, g)
	ear := &eavesdropper{next: probe.Transport, addr: g.addr}
	probe.Transport = ear
	t.Cleanup(func() { probe.Transport = ear.next })
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	post := func(path, body string, want int) {
		t.Helper()
		if a := g.call(http.MethodPost, "/v1/identities/acme"+path, body); a.status != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	post("/register", `{"new_key":true}`, http.StatusOK)
	post("/verify", ``, http.StatusOK)
	code := dd.Code(doordecksim.AdminAda)
	const wrong = "88442266"
	post("/check", `{"code":"`+wrong+`"}`, http.StatusForbidden)
	for _, style := range []doordecksim.ErrorStyle{doordecksim.ErrorsAsText, doordecksim.ErrorsAsObject} {
		dd.Faults().Errors(style)
		dd.Faults().Inject(doordecksim.Fault{Route: doordecksim.RouteCheck, N: 1, Status: 400, Body: "no code " + code + " here"})
		post("/check", `{"code":"`+code+`"}`, http.StatusBadGateway)
	}
	post("/check", `{"code":"`+code+`","also":"`+code+`"}`, http.StatusBadRequest)
	post("/check", `{"code":"`+code+`"}`, http.StatusOK)
	g.call(http.MethodGet, "/v1/identities/acme/doors", "")
	metrics := get(t, "http://"+g.ops+"/metrics")
	running := files(t, g.data)
	g.stop()

	places := map[string][]byte{
		"the log": []byte(g.log()), "an answer": ear.heard.Bytes(), "a metric": metrics,
		"a file of the data directory": append(running, files(t, g.data)...),
	}
	withEmbedded(t, g, func(js jetstream.JetStream) { places["a message"] = readStream(t, js).bytes.Bytes() })
	for place, text := range map[string]string{
		"the log": `"identity":"acme"`, "an answer": "code-wrong", "a metric": "gatehouse_identity_registrations_total",
		"a message": "gatehouse.identity.ready", "a file of the data directory": "identity.check",
	} {
		if !strings.Contains(string(places[place]), text) {
			t.Errorf("%s does not hold %q: it was not looked at", place, text)
		}
	}
	tokens, proofs := dd.secrets()
	if len(tokens) < 6 || len(proofs) < 3 {
		t.Fatalf("%d tokens and %d proofs are too few", len(tokens), len(proofs))
	}
	secrets := map[string][]string{
		"an auth token": tokens, "a signed code": proofs, "a wrong code": {wrong}, "the key's seed": {seed(t, g, "acme")},
	}
	for _, token := range tokens { // its signature is what nobody can make
		secrets["an auth token"] = append(secrets["an auth token"], token[strings.LastIndexByte(token, '.')+1:])
	}
	for _, leak := range leaks(secrets, places) {
		t.Error(leak)
	}
	// Six digits are found in anything: they are looked for as a word, and not in files.
	for _, place := range []string{"the log", "an answer", "a metric", "a message"} {
		if strings.Contains(string(places[place]), `"`+code) || strings.Contains(string(places[place]), " "+code) {
			t.Errorf("the code in %s", place)
		}
	}
	application, err := os.ReadFile(g.env["GATEHOUSE_DOORDECK_SIGNING_KEY_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range leaks(map[string][]string{"the application's key": {strings.Split(string(application), "\n")[1]}}, places) {
		t.Error(leak)
	}
}

// seed opens an identity's key with the gateway's key set.
func seed(t *testing.T, g *gateway, name string) (seed string) {
	t.Helper()
	g.withData(func(db *sqldb.DB, keyset string) {
		v, err := vault.Load(t.Context(), keyset, db.Writer(), false)
		if err != nil {
			t.Fatal(err)
		}
		var sealed []byte
		if err := db.Get(t.Context(), &sealed, `SELECT signing_key FROM identities WHERE name = ?`, name); err != nil {
			t.Fatal(err)
		}
		s, err := v.Open(vault.Place{Table: "identities", Row: name, Field: "signing_key"}, sealed)
		if err != nil {
			t.Fatal(err)
		}
		seed = s.Reveal()
	})
	if len(seed) != 32 {
		t.Fatalf("a seed of %d bytes", len(seed))
	}
	return seed
}

func TestIdentitiesInTheCommandLine(t *testing.T) {
	g := newGateway(t, nil)
	dd := newDoordeck(t, g)
	g.start()
	env := map[string]string{"GATEHOUSE_URL": g.url, "GATEHOUSE_TOKEN": adminToken}
	say := func(wantCode int, want string, args ...string) string {
		t.Helper()
		code, stdout, stderr := command(t, env, args...)
		if code != wantCode || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%q: %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout
	}
	say(0, "There are no identities", "identities")
	say(2, "--subject", "identities", "create", "acme")
	say(2, "or telephone", "identities", "create", "acme", "--subject", "x")
	say(0, "acme is ready, until", "identities", "create", "acme", "--subject", doordecksim.AdminAda,
		"--email", "ada@example.test", "--email-verified", "--display-name", "Ada Admin")
	say(1, "another identity has this subject", "identities", "create", "other", "--subject", doordecksim.AdminAda, "--email", "x@example.test")
	say(0, doordecksim.AdminAda, "identities", "list")
	say(0, `"status": "ready"`, "identities", "list", "--json")
	say(0, "ada@example.test", "identities", "show", "acme")
	say(0, "Boat Shed    no ", "doors", "acme")
	say(0, `"batch_sharing": true`, "doors", "acme", "--json")
	say(0, "BATCH_SHARING_25", "doors", "acme", doordecksim.LockFront)
	say(0, "dora@example.test", "doors", "acme", doordecksim.LockFront, "--users")
	say(2, "want the id of a door", "doors", "acme", "--users")
	say(1, "no such door", "doors", "acme", doordecksim.LockFront+"0")
	say(1, "does not wait for a code", "identities", "verify", "acme")
	say(2, "--method", "identities", "verify", "acme", "--method", "PIGEON")
	say(0, "Its old key serves until", "identities", "register", "acme", "--new-key")
	say(2, "no verified telephone", "identities", "verify", "acme", "--method", "SMS")
	say(0, "by EMAIL", "identities", "verify", "acme", "--method", "EMAIL")
	say(0, "waits to take over", "identities", "show", "acme")
	say(1, "does not take the code", "identities", "check", "acme", "88442266")
	say(0, "acme is ready", "identities", "check", "acme", dd.Code(doordecksim.AdminAda))
	say(0, "needs a code", "identities", "register", "acme", "--new-key")
	say(0, "acme is ready", "identities", "register", "acme", "--keep-key")
	say(0, "acme is deleted", "identities", "delete", "acme")
	say(1, "no such identity", "identities", "show", "acme")
	say(1, "no such identity", "doors", "acme")
}

func TestDoctorLooksAtDoordeck(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	newCloud(t, g)
	diagnose(t, g.env).wants(t, "Doordeck", "off", "GATEHOUSE_DOORDECK_ISSUER")
	dd := newDoordeck(t, g)
	d := diagnose(t, g.env)
	d.wants(t, "Doordeck: key", "ok", doordecksim.KeyEd25519)
	d.wants(t, "Doordeck: API", "ok", "answers")
	d.wants(t, "Doordeck: clock", "ok", "within two seconds")
	d.wants(t, "Doordeck: identities", "off", "unknown")
	g.start()
	diagnose(t, g.env).wants(t, "Doordeck: identities", "off", "none yet")
	people := len(dd.Users(doordecksim.LockFront))
	g.identity("acme", doordecksim.AdminAda)
	diagnose(t, g.env).wants(t, "Doordeck: identities", "ok", "identities that are ready: 1 of 1")
	g.call(http.MethodPost, "/v1/identities/acme/register", `{"new_key":true}`)
	diagnose(t, g.env).wants(t, "Doordeck: identities", "warn", "acme verification_required")
	g.stop()
	diagnose(t, g.env).wants(t, "Doordeck: identities", "warn", "acme verification_required")
	dd.Faults().ClockOffset(time.Hour)
	diagnose(t, g.env).wants(t, "Doordeck: clock", "warn", "behind")
	dd.Faults().Reset()
	if n := len(dd.Users(doordecksim.LockFront)); n != people {
		t.Errorf("%d people instead of %d", n, people)
	}
	for name, row := range map[string]struct{ variable, value, check, status, text string }{
		"another issuer": {"GATEHOUSE_DOORDECK_ISSUER", "https://other.example/", "Doordeck: identities", "fail", "GATEHOUSE_DOORDECK_ISSUER"},
		"another kid":    {"GATEHOUSE_DOORDECK_KEY_ID", "other", "Doordeck: identities", "fail", "does not accept"},
		"another key": {
			"GATEHOUSE_DOORDECK_SIGNING_KEY_FILE", keyFile(t, dd.SigningKey(doordecksim.KeyEC)), "Doordeck: identities", "fail", "does not accept",
		},
		"no key":  {"GATEHOUSE_DOORDECK_SIGNING_KEY_FILE", binary, "Doordeck: key", "fail", "0600"},
		"no API":  {"GATEHOUSE_DOORDECK_API_URL", "http://" + freeAddr(t), "Doordeck: API", "fail", "GATEHOUSE_DOORDECK_API_URL"},
		"no hope": {"GATEHOUSE_DOORDECK_API_URL", "http://" + freeAddr(t), "Doordeck: identities", "off", "see above"},
	} {
		t.Run(name, func(t *testing.T) {
			env := maps.Clone(g.env)
			env[row.variable] = row.value
			diagnose(t, env).wants(t, row.check, row.status, row.text)
		})
	}
}
