package doorflowsim_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
)

func TestControl(t *testing.T) {
	c := newCloud(t)
	r, access := c.listen()
	post := func(path, body string, want int) answer {
		t.Helper()
		a := c.must(c.request("POST", "/sim/"+path, body))
		wantStatus(t, a, want)
		return a
	}
	post("accounts/hX9aQ2/events", `[{"code":11,"person_id":4821},{"code":31,"perimeter":true}]`, 201)
	post("accounts/hX9aQ2/events", `{"code":24}`, 201)
	post("accounts/hX9aQ2/random", ``, 201)
	c.flush()
	if got := len(r.all()); got != 3 {
		t.Errorf("%d webhooks, want 3", got)
	}
	var ledger []doorflowsim.LedgerEntry
	if err := json.Unmarshal(c.must(c.request("GET", "/sim/ledger", "")).body, &ledger); err != nil || len(ledger) != 4 {
		t.Errorf("%d entries, error %v, want 4", len(ledger), err)
	}
	before := c.Now()
	post("clock", `{"advance":"90m"}`, 200)
	if got := c.Now().Sub(before); got < 90*time.Minute {
		t.Errorf("the clock moved by %v", got)
	}
	wantStatus(t, c.api(access, "GET", "/api/3/account", ""), http.StatusUnauthorized)
	post("faults", `{"fault":"fail_token","n":1,"status":502}`, 200)
	wantStatus(t, c.refresh(c.LiveRefreshToken(doorflowsim.AccountA)), 502)
	post("accounts/hX9aQ2/revoke", ``, 200)
	state := c.must(c.request("GET", "/sim/state", "")).json(t)
	if a := state["accounts"].([]any)[0].(map[string]any); a["connected"] != false || a["events"] != 4.0 {
		t.Errorf("account = %v", a)
	}
	if got := c.must(c.request("GET", "/sim/stats", "")).json(t)["unauthorized"]; got != 1.0 {
		t.Errorf("stats: unauthorized = %v", got)
	}
	post("webhook_url", `{"url":"http://127.0.0.1:1/"}`, 200)

	post("faults", `{"fault":"gremlins"}`, 404)
	post("faults", `{"fault":"fail_api","status":99}`, 400)
	post("faults", `{"fault":"slow_api","duration":"soon"}`, 400)
	post("clock", `{"advance":"soon"}`, 400)
	post("accounts/nobody/random", ``, 404)
	post("accounts/hX9aQ2/dance", ``, 404)
}

// TestNothingSecretIsLogged runs a connection and a delivery and searches the log for what must not be there.
func TestNothingSecretIsLogged(t *testing.T) {
	var log bytes.Buffer
	c := newCloud(t, func(o *doorflowsim.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	_, access := c.listen(500)
	code := c.consent(authorizeQuery(), doorflowsim.AccountA, "allow").Get("code")
	wantStatus(t, c.must(c.formRequest("/oauth/token", exchangeForm(code))), 200)
	wantStatus(t, c.must(c.formRequest("/oauth/token", exchangeForm(code))), 400)
	c.Emit(doorflowsim.AccountA, pinUse())
	c.settle()
	c.Advance(10 * time.Second)
	c.flush()
	c.api(access, "GET", "/api/3/people", "")
	ack := c.Ledger()[0].AckToken
	c.api(access, "GET", "/api/3/events/"+c.Ledger()[0].ResourceID+"?ack_token="+ack, "")
	if log.Len() == 0 {
		t.Fatal("nothing was logged at all")
	}
	for name, secret := range map[string]string{
		"access token": access, "refresh token": c.LiveRefreshToken(doorflowsim.AccountA), "code": code, "ack token": ack,
		"client secret": clientSecret, "webhook secret": webhookSecret, "PIN": "604219", "name": "Pereira",
	} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the %s is in the log", name)
		}
	}
}
