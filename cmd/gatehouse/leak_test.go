package main_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/doorflow/doorflowsim"
)

// What must not come out anywhere. Tokens and codes are added as the simulator hands them out.
const (
	plantedPIN    = "90817263"
	plantedCard   = "CARD-7Q2W9E4R5T"
	plantedNumber = "NUMBER-1Z8X3C6V0B"
	plantedCode   = "planted-code-Gy7Hu3Ji9K"
)

// eavesdropper keeps every answer of the gateway, headers included.
type eavesdropper struct {
	next http.RoundTripper
	addr string

	mu    sync.Mutex
	heard bytes.Buffer
}

func (e *eavesdropper) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := e.next.RoundTrip(req)
	if err != nil || req.URL.Host != e.addr {
		return resp, err
	}
	dump, err := httputil.DumpResponse(resp, true)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard.Write(dump)
	return resp, nil
}

// forms are the ways in which a secret could be written.
func forms(secret string) map[string]string {
	return map[string]string{
		"plain":   secret,
		"escaped": url.QueryEscape(secret),
		"base64":  strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		"hex":     hex.EncodeToString([]byte(secret)),
	}
}

// leaks names where secrets are found, without showing them.
func leaks(secrets map[string][]string, places map[string][]byte) []string {
	var found []string
	for kind, all := range secrets {
		for _, secret := range all {
			for form, text := range forms(secret) {
				for place, data := range places {
					if bytes.Contains(data, []byte(text)) {
						found = append(found, fmt.Sprintf("%s (%s) in %s", kind, form, place))
					}
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestLeakSearchFindsLeaks(t *testing.T) {
	places := map[string][]byte{"log": []byte(`x="czNjcjN0LXYhbHVl" s3cr3t-v%21lue`), "file": {0, 's', '3'}}
	got := leaks(map[string][]string{"key": {"s3cr3t-v!lue"}, "other": {"absent"}}, places)
	want := []string{"key (base64) in log", "key (escaped) in log"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestNoSecretComesOut(t *testing.T) {
	g := newGateway(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "debug"})
	df := newCloud(t, g)
	ear := &eavesdropper{next: probe.Transport, addr: g.addr}
	probe.Transport = ear
	t.Cleanup(func() { probe.Transport = ear.next })
	g.start()

	connectInEveryWay(t, g, df)
	useEverything(t, g, df)
	g.call(http.MethodPost, "/v1/keys/rotate", "")
	g.awaitRotated(30 * time.Second)
	misuse(t, g)
	key := misuseKey(t, g)
	endpointSecrets := useEndpoint(t, g)
	doctor := exec.Command(binary, "doctor")
	doctor.Env = environment(g.env)
	report, _ := doctor.CombinedOutput() // what it says is checked, not whether all is well
	metrics := get(t, "http://"+g.ops+"/metrics")
	loseConnection(t, g, df)
	running := files(t, g.data) // with the write-ahead log, which goes when the gateway stops
	g.stop()

	places := map[string][]byte{"the log": []byte(g.log()), "an answer": ear.heard.Bytes(), "a metric": metrics, "doctor": report}
	withEmbedded(t, g, func(js jetstream.JetStream) { places["a message"] = readStream(t, js).bytes.Bytes() })
	store := files(t, filepath.Join(g.data, "jetstream"))
	places["the JetStream store"] = store
	wantInPlaces(t, places)

	acks := map[string][]string{}
	for _, e := range df.Ledger() {
		acks["an ack token"] = append(acks["an ack token"], e.AckToken)
	}
	secrets := map[string][]string{
		"the client secret": {clientSecret}, "the webhook secret": {webhookSecret}, "the admin token": {adminToken}, "an API key": {key}, "an endpoint's secret": endpointSecrets,
		"a token or code": append(df.secrets(), plantedCode), "a PIN or card number": {plantedPIN, plantedCard, plantedNumber},
	}
	if n := len(secrets["a token or code"]); n < 8 {
		t.Errorf("the simulator handed out %d tokens and codes, which is too few for what was done", n)
	}
	for _, leak := range leaks(acks, places) {
		t.Errorf("%s", leak)
	}
	for _, leak := range leaks(map[string][]string{"a key of the key set": keyMaterial(t, g)}, places) {
		t.Errorf("%s", leak)
	}
	places["a file of the data directory"] = append(running, files(t, g.data)...)
	for _, leak := range leaks(secrets, places) {
		t.Errorf("%s", leak)
	}
	t.Logf("%d secrets and %d ack tokens looked for in %d KiB of log, %d KiB of answers, %d KiB of files",
		len(secrets["a token or code"])+8, len(acks["an ack token"]), len(places["the log"])>>10,
		ear.heard.Len()>>10, len(places["a file of the data directory"])>>10)
}

// wantInPlaces makes sure that each place was really looked at.
func wantInPlaces(t *testing.T, places map[string][]byte) {
	t.Helper()
	for place, text := range map[string]string{
		"the log": `"level":"DEBUG"`, "an answer": "HTTP/1.1 401", "a metric": "gatehouse_log_messages_total",
		"a message": "gatehouse.event." + doorflowsim.AccountA + ".credential.created", "the JetStream store": "gatehouse.event.",
		"doctor": "GATEHOUSE_DOORFLOW_CLIENT_SECRET",
	} {
		if !bytes.Contains(places[place], []byte(text)) {
			t.Errorf("%s does not hold %q: it was not looked at", place, text)
		}
	}
}

// connectInEveryWay: denied, failed at the token endpoint, with a code that is not ours, and at last well.
func connectInEveryWay(t *testing.T, g *gateway, df *cloud) {
	t.Helper()
	if status := df.connect(g, "deny"); status != "denied" {
		t.Errorf("the denied link is %q", status)
	}
	df.Faults().FailToken(1, http.StatusUnauthorized,
		`{"error":"invalid_client","error_description":"unknown client `+clientSecret+`"}`)
	if status := df.connect(g, "allow"); status != "failed" {
		t.Errorf("the failed link is %q", status)
	}
	df.Faults().Reset()
	g.call(http.MethodGet, "/oauth/callback?state=forged&code="+plantedCode, "")
	df.connected(g)
}

// useEverything lets DoorFlow say what holds secrets, and answer badly.
func useEverything(t *testing.T, g *gateway, df *cloud) {
	t.Helper()
	const account = doorflowsim.AccountA
	emit := func() {
		df.Emit(account, doorflowsim.EventSpec{Code: 20, ChannelID: 5012, CredentialsNumber: plantedNumber})
	}
	emit()
	token, _ := df.Grant(account, "account.person")
	for kind, value := range map[string]string{"8033": plantedPIN, "8047": plantedCard} {
		request(t, token, http.MethodPost, df.url+"/api/3/people/4902/credentials",
			`{"person_credential":{"credential_type_id":`+kind+`,"value":"`+value+`"}}`, http.StatusCreated)
	}
	df.awaitAcknowledged(t, 3)
	df.ExpireAccessTokens(account) // 401, refresh
	emit()
	df.awaitAcknowledged(t, 4)
	if n := df.Stats().Refreshes; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	// Bodies as a careless server could send them, of what is fetched: the account is being compared at the same time.
	df.Faults().FailOnly("/api/3/events/")
	body := `{"error":"x","value":"` + plantedPIN + `","token":"` + df.LiveRefreshToken(account) + `"}`
	for i, fault := range []func(){
		func() { df.Faults().RateLimitAPI(1, "1", 1) },
		func() { df.Faults().FailAPI(1, http.StatusInternalServerError, nil, body) },
		func() { df.Faults().FailAPI(1, http.StatusOK, nil, `{"broken":"`+plantedPIN) },
	} {
		fault()
		emit()
		df.awaitAcknowledged(t, 5+i)
	}
	df.Faults().FailAPI(1, http.StatusForbidden, nil, body)
	emit() // parked
	eventually(t, time.Minute, func() string {
		if !strings.Contains(g.log(), "parked") {
			return "nothing was parked"
		}
		return ""
	})
	g.call(http.MethodGet, "/v1/messages?limit=500", "")
	g.call(http.MethodGet, "/v1/connections/"+account, "")
}

// misuse sends what nobody should, secrets in the wrong places among it.
func misuse(t *testing.T, g *gateway) {
	t.Helper()
	l := newLoad()
	hook := l.webhook().body
	for _, header := range []http.Header{
		{},
		{"Timestamp": {"1"}, "Signature": {webhookSecret}},
		{"Timestamp": {webhookSecret}, "Signature": {"00"}},
		{"Timestamp": {fmt.Sprint(time.Now().Unix())}, "Signature": {strings.Repeat("0", 64)}},
	} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, g.url+"/webhooks/doorflow", strings.NewReader(hook))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := probe.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("an unproven webhook was answered %d", resp.StatusCode)
		}
	}
	for _, body := range []string{`not json ` + plantedPIN, `[{"action":"CREATE","ack_token":"` + l.webhook().acks[0] + `"}]`} {
		if _, _, err := post(t.Context(), probe, g.url, body); err != nil {
			t.Fatal(err)
		}
	}
	for _, token := range []string{clientSecret, webhookSecret, "x"} {
		if a := g.callWith(token, http.MethodGet, "/v1/connections", ""); a.status != http.StatusUnauthorized {
			t.Errorf("a wrong key was answered %d", a.status)
		}
	}
	for _, path := range []string{"/v1/messages?limit=no", "/v1/connections/nobody", "/v1/connect-links/" + plantedCode, "/nothing/" + clientSecret, "/", "/openapi.yaml", "/readyz", "/oauth/start/" + plantedCode} {
		g.call(http.MethodGet, path, "")
	}
	g.call(http.MethodPost, "/v1/connect-links", `{"reference":`)
	g.call(http.MethodPost, "/v1/connect-links", `{"return_url":"https://elsewhere.example/?code=`+plantedCode+`"}`)
}

// misuseKey makes an API key on the command line, whose answer is the one that shows it, uses it rightly and
// sends it to where it should not be.
func misuseKey(t *testing.T, g *gateway) string {
	t.Helper()
	code, stdout, stderr := command(t, g.caller(), "api-keys", "create", "leaky", "--scope=connections:read")
	key := strings.TrimSpace(stdout)
	if code != 0 || len(key) < 40 || strings.Contains(stderr, key) {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	escaped := url.QueryEscape(key)
	for path, want := range map[string]int{
		"/v1/connections": 200, "/v1/messages": 403, "/v1/messages/" + key: 403, "/v1/connections/" + key: 404, "/" + key: 404,
		"/v1/connections?after=" + escaped: 400, "/v1/connect-links/" + key: 404, "/v1/messages/stream?access_token=" + escaped: 403,
	} {
		if a := g.callWith(key, http.MethodGet, path, ""); a.status != want {
			t.Errorf("GET %s: %d, want %d", strings.ReplaceAll(path, key, "KEY"), a.status, want)
		}
	}
	for _, body := range []string{
		`{"name":"x","scopes":["` + key + `"]}`, `{"name":"x","scopes":["admin"],"accounts":["` + key + `"]}`,
		`{"name":"x","scopes":["messages:read"],"expires_at":"` + key + `"}`, key,
	} {
		if a := g.call(http.MethodPost, "/v1/api-keys", body); a.status != http.StatusBadRequest {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	g.callWith(key+"x", http.MethodGet, "/v1/connections", "")
	return key
}

// useEndpoint makes an endpoint on the command line, whose answers are the ones that show its secrets, and looks at it
// in every other way.
func useEndpoint(t *testing.T, g *gateway) []string {
	t.Helper()
	shown := regexp.MustCompile(`^whsec_[A-Za-z0-9+/]{43}=\n$`)
	code, first, stderr := command(t, g.caller(), "endpoints", "create", "https://bms.example.com/in", "--subject=>", "--disabled")
	if code != 0 || !shown.MatchString(first) {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	var page struct{ Items []struct{ ID string } }
	g.call(http.MethodGet, "/v1/endpoints", "").json(t, &page)
	id := page.Items[0].ID
	code, second, stderr := command(t, g.caller(), "endpoints", "rotate-secret", id)
	if code != 0 || !shown.MatchString(second) || second == first {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	secrets := []string{strings.TrimSpace(first), strings.TrimSpace(second)}
	g.call(http.MethodGet, "/v1/endpoints/"+id, "")
	g.call(http.MethodPatch, "/v1/endpoints/"+id, `{"description":"x"}`)
	g.call(http.MethodPost, "/v1/endpoints/"+id+"/test", "")
	g.call(http.MethodGet, "/v1/audit", "")
	for _, secret := range secrets {
		for _, a := range []answer{
			g.call(http.MethodGet, "/v1/endpoints/"+url.PathEscape(secret), ""), g.call(http.MethodGet, "/v1/endpoints?after="+url.QueryEscape(secret), ""),
			g.call(http.MethodPost, "/v1/endpoints/"+id+"/rotate-secret", `{"secret":"`+secret+`"}`),
			g.call(http.MethodPatch, "/v1/endpoints/"+id, `{"subjects":["`+secret+`"]}`), g.callWith(secret, http.MethodGet, "/v1/endpoints", ""),
		} {
			if a.status < 400 || a.status >= 500 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
	}
	return secrets
}

// loseConnection ends the grant at DoorFlow, which the next fetch finds out, then connects again and
// disconnects.
func loseConnection(t *testing.T, g *gateway, df *cloud) {
	t.Helper()
	const account = doorflowsim.AccountA
	event := df.Emit(account, doorflowsim.EventSpec{Code: 10, ChannelID: 5012, CredentialsNumber: plantedNumber, NoWebhook: true})
	df.RevokeGrant(account)
	hook := "[" + notification(df.url, account, fmt.Sprint(event.ID), "Areauthorize") + "]"
	if status, _, err := post(t.Context(), probe, g.url, hook); status != http.StatusOK || err != nil {
		t.Fatalf("%d %v", status, err)
	}
	g.awaitConnection(account, "reauthorize")
	df.connected(g)
	g.awaitConnection(account, "active")
	if a := g.call(http.MethodDelete, "/v1/connections/"+account, ""); a.status != http.StatusOK {
		t.Errorf("disconnecting was answered %d %s", a.status, a.body)
	}
	g.awaitConnection(account, "disconnected")
}

func (g *gateway) awaitConnection(account, status string) {
	g.t.Helper()
	eventually(g.t, time.Minute, func() string {
		var c struct{ Status string }
		g.call(http.MethodGet, "/v1/connections/"+account, "").json(g.t, &c)
		if c.Status != status {
			return fmt.Sprintf("the connection is %q, want %q", c.Status, status)
		}
		return ""
	})
}

// awaitAcknowledged waits until n items were fetched with their ack tokens.
func (c *cloud) awaitAcknowledged(t testing.TB, n int) {
	t.Helper()
	eventually(t, 90*time.Second, func() string {
		got := 0
		for _, e := range c.Ledger() {
			if e.Acknowledged {
				got++
			}
		}
		if got < n {
			return fmt.Sprintf("%d of %d notifications are acknowledged", got, n)
		}
		return ""
	})
}

func request(t *testing.T, token, method, target, body string, want int) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := probe.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("%s %s: %d %s %v", method, target, resp.StatusCode, got, err)
	}
	return got
}

func get(t *testing.T, target string) []byte {
	t.Helper()
	return request(t, "", http.MethodGet, target, "", http.StatusOK)
}

// files are the bytes of all files below a directory.
func files(t *testing.T, dir string) []byte {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all.WriteString(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}
