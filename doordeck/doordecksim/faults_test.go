package doordecksim_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

func TestFaultsOnARoute(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	shareable := func() answer { t.Helper(); return c.api(ada.token, "GET", "/device/shareable", "") }
	c.Faults().Fail(doordecksim.RouteShareable, 2, 503)
	wantStatus(t, c.api(ada.token, "GET", "/device", ""), 200)
	for range 2 {
		a := shareable()
		wantStatus(t, a, 503)
		if a.object(t)["code"] != 503.0 {
			t.Errorf("body %s", a.body)
		}
	}
	wantStatus(t, shareable(), 200)
	c.Faults().RateLimit("", 1, "7")
	a := shareable()
	wantStatus(t, a, 429)
	if a.header.Get("Retry-After") != "7" {
		t.Errorf("header %v", a.header)
	}
	c.Faults().RateLimit(doordecksim.RouteVerify, 1, "")
	a = c.api(ada.token, "POST", "/auth/certificate/verify", keyBody(ada.key))
	wantStatus(t, a, 429)
	if _, has := a.header["Retry-After"]; has {
		t.Error("there is a Retry-After")
	}
	c.Faults().Inject(doordecksim.Fault{Route: doordecksim.RouteTime, N: -1, Status: 200, Body: "<html>", Header: http.Header{"content-type": {"text/html"}}})
	for range 3 {
		if a := c.must(c.request("GET", "/time", "")); string(a.body) != "<html>" || a.header.Get("Content-Type") != "text/html" {
			t.Errorf("%v %s", a.header, a.body)
		}
	}
	c.Faults().Reset()
	if got := c.must(c.request("GET", "/time", "")).object(t)["now"]; got != 1767312000000.0 {
		t.Errorf("now %v", got)
	}
	if s := c.Stats(); s.Faults != 7 || s.Answers[503] != 2 || s.Requests[doordecksim.RouteShareable] != 4 {
		t.Errorf("stats %+v", s)
	}
	for name, fault := range map[string]doordecksim.Fault{
		"route": {Route: "GET /nothing", Cut: true}, "status": {Status: 99}, "nothing": {N: 1},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a fault with no %s was taken", name)
				}
			}()
			c.Faults().Inject(fault)
		}()
	}
}

// TestCuts: before the cut nothing or everything has happened, and the client cannot tell.
func TestCuts(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	share := func(subject string) *http.Request {
		jwt := compact(t, ada.key, ada.header(), ada.claims(doordecksim.LockFront, c.add(subject)))
		return c.request("POST", "/device/"+doordecksim.LockFront+"/execute", jwt, "Authorization", "Bearer "+ada.token, "Content-Type", "application/jwt")
	}
	for _, test := range []struct {
		name    string
		set     func()
		applied bool
		status  int // 0 for none
	}{
		{"CutBefore", func() { c.Faults().CutBefore(doordecksim.RouteExecute, 1) }, false, 0},
		{"CutAfter", func() { c.Faults().CutAfter(doordecksim.RouteExecute, 1) }, true, 0},
		{"Fail", func() { c.Faults().Fail(doordecksim.RouteExecute, 1, 504) }, false, 504},
		{"FailAfter", func() { c.Faults().FailAfter(doordecksim.RouteExecute, 1, 504) }, true, 504},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := c.RemoveAccess(doordecksim.LockFront, doordecksim.VisitorAna); err != nil {
				t.Fatal(err)
			}
			before := len(c.Ledger())
			test.set()
			a, err := c.send(share(doordecksim.VisitorAna))
			if (err != nil) != (test.status == 0) || a.status != test.status {
				t.Errorf("status %d, error %v", a.status, err)
			}
			if applied := c.role(doordecksim.LockFront, doordecksim.VisitorAna) != ""; applied != test.applied || (len(c.Ledger()) > before) != applied {
				t.Errorf("applied %t, %d entries more", applied, len(c.Ledger())-before)
			}
		})
	}
}

func TestSlowness(t *testing.T) {
	c := newCloud(t)
	c.Faults().Slow(doordecksim.RouteTime, 1, 30*time.Millisecond)
	c.Faults().SlowAfter(doordecksim.RouteTime, 1, 30*time.Millisecond)
	begin := time.Now()
	wantStatus(t, c.must(c.request("GET", "/time", "")), 200)
	if took := time.Since(begin); took < 60*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	c.Faults().Slow(doordecksim.RouteTime, 1, time.Hour)
	c.client.Timeout = 20 * time.Millisecond
	if _, err := c.send(c.request("GET", "/time", "")); err == nil {
		t.Error("it was not slow")
	}
}

func TestErrorStyles(t *testing.T) {
	c := newCloud(t)
	token := c.openID(c.claims(doordecksim.AdminAda))
	for style, want := range map[doordecksim.ErrorStyle]string{
		doordecksim.ErrorsSubCode: `{"code":404.12,"message":null}` + "\n",
		doordecksim.ErrorsAsText:  "HTTP 404 Not Found",
		doordecksim.ErrorsEmpty:   "",
	} {
		c.Faults().Errors(style)
		for _, path := range []string{"/device/" + newUUID(), "/nothing"} {
			a := c.api(token, "GET", path, "")
			wantStatus(t, a, 404)
			if string(a.body) != want {
				t.Errorf("style %d: %q, want %q", style, a.body, want)
			}
		}
	}
}

func TestFaultsOfKeys(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	certificate := func() answer {
		t.Helper()
		return c.api(ada.token, "POST", "/auth/certificate", keyBody(ada.key))
	}
	c.Faults().DemandCode(1)
	wantStatus(t, certificate(), 423)
	wantStatus(t, certificate(), 200)
	c.Faults().ChainLife(1, -time.Hour)
	ada.chain = certificate().chain(t).CertificateChain
	if end := certificates(t, ada.chain)[0].NotAfter; !end.Equal(start.Add(-time.Hour)) {
		t.Errorf("the leaf ends %s", end)
	}
	wantStatus(t, ada.do(doordecksim.LockFront, unlock()), 403)
	c.Faults().ChainLife(1, time.Minute)
	ada.chain = certificate().chain(t).CertificateChain
	wantStatus(t, ada.do(doordecksim.LockFront, unlock()), 200)
	ada.chain = certificate().chain(t).CertificateChain
	if end := certificates(t, ada.chain)[0].NotAfter; !end.Equal(start.Add(30 * 24 * time.Hour)) {
		t.Errorf("the leaf ends %s", end)
	}
}

func TestFaultsOfLocks(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	c.Faults().ShareStatus(1, 200)
	a := ada.do(doordecksim.LockFront, c.add(doordecksim.VisitorAna))
	wantStatus(t, a, 200)
	if strings.TrimSpace(string(a.body)) != "{}" {
		t.Errorf("body %q", a.body)
	}
	wantStatus(t, ada.do(doordecksim.LockFront, batch(c.entry(doordecksim.VisitorAna))), 204)
	capabilities := func() map[string]any {
		t.Helper()
		return c.api(ada.token, "GET", "/device/"+doordecksim.LockFront, "").object(t)["settings"].(map[string]any)["capabilities"].(map[string]any)
	}
	for _, value := range []string{doordecksim.Unsupported, "supported", ""} {
		if err := c.SetCapability(doordecksim.LockFront, doordecksim.BatchSharing, value); err != nil {
			t.Fatal(err)
		}
		if got, has := capabilities()[doordecksim.BatchSharing]; has != (value != "") || (has && got != value) {
			t.Errorf("capability %v, want %q", got, value)
		}
		wantStatus(t, ada.do(doordecksim.LockFront, batch(c.entry(doordecksim.VisitorAna))), 400)
	}
	c.Faults().Novelties(true)
	if capabilities()["TELEPORTATION"] == nil {
		t.Error("no novelty")
	}
	before := c.Now()
	c.Faults().ClockOffset(-3 * time.Hour)
	if got := c.Now().Sub(before); got != -3*time.Hour {
		t.Errorf("the clock is off by %v", got)
	}
	wantStatus(t, ada.do(doordecksim.LockFront, unlock()), 403) // its chain is not good yet
	c.Faults().Reset()
	wantStatus(t, ada.do(doordecksim.LockFront, unlock()), 200)
}

// TestControl does over HTTP what tests do by calls.
func TestControl(t *testing.T) {
	c := newCloud(t)
	post := func(path, body string, want int) answer {
		t.Helper()
		a := c.must(c.request("POST", "/sim/"+path, body))
		wantStatus(t, a, want)
		return a
	}
	get := func(path string) []map[string]any {
		t.Helper()
		a := c.must(c.request("GET", "/sim/"+path, ""))
		wantStatus(t, a, 200)
		return a.list(t)
	}
	lock := newUUID()
	user := post("users", `{"subject":"guest","email":"guest@example.test","email_verified":true}`, 201).object(t)
	if user["id"] == "" || user["public_key"] == "" || user["email_verified"] != true {
		t.Errorf("user %v", user)
	}
	post("locks", `{"id":"`+lock+`","name":"Attic","capabilities":{"BATCH_SHARING_25":"SUPPORTED"}}`, 201)
	post("locks/"+lock+"/users", `{"user":"admin-ada","role":"ADMIN"}`, 201)
	post("locks/"+lock+"/users", `{"user":"guest","role":"USER","end":"2026-02-01T00:00:00Z"}`, 201)
	post("locks/"+lock+"/users", `{"user":"guest","remove":true}`, 201)
	post("locks/"+lock, `{"online":false,"capabilities":{"BATCH_SHARING_25":""}}`, 201)
	post("keys", `{"jwk":{"kty":"OKP","crv":"Ed25519","kid":"k","x":"zRSzf5VulTGU_3-3Oz2B3MVh1hp1OAlLfD4aZD7l86o"}}`, 201)
	ada := c.identity(doordecksim.AdminAda)
	wantStatus(t, ada.do(lock, unlock()), 503)
	post("locks/"+lock, `{"online":true}`, 201)
	wantStatus(t, ada.do(lock, unlock()), 200)
	if got := get("locks/" + lock + "/users"); len(got) != 1 || got[0]["role"] != "ADMIN" {
		t.Errorf("users %v", got)
	}
	if got := get("locks/" + lock + "/audit"); len(got) != 3 || got[2]["type"] != "DOOR_UNLOCK" {
		t.Errorf("audit %v", got)
	}
	if got := get("ledger"); len(got) != 2 || got[0]["step"] != 14.0 || got[1]["outcome"] != "applied" {
		t.Errorf("ledger %v", got)
	}
	wantStatus(t, c.api(ada.token, "POST", "/auth/certificate/verify", keyBody(newKey(t))), 200)
	if got := get("codes"); len(got) != 1 || got[0]["code"] != c.Code(doordecksim.AdminAda) {
		t.Errorf("codes %v", got)
	}
	post("clock", `{"advance":"90m"}`, 200)
	state := c.must(c.request("GET", "/sim/state", "")).object(t)
	if locks := state["locks"].([]any); len(locks) != 6 || locks[5].(map[string]any)["unlocks"] != 1.0 || state["now"] != "2026-01-02T01:30:00Z" {
		t.Errorf("state %v", state)
	}
	if got := c.must(c.request("GET", "/sim/stats", "")).object(t)["requests"].(map[string]any)[doordecksim.RouteExecute]; got != 2.0 {
		t.Errorf("stats %v", got)
	}

	for _, order := range []string{
		`{"fault":"fail","route":"GET /time","n":1,"status":502,"body":"bad gateway"}`, `{"fault":"rate_limit","n":1,"retry_after":"3"}`,
		`{"fault":"cut","n":1,"after":true}`, `{"fault":"slow","n":1,"duration":"1ms"}`, `{"fault":"demand_code","n":1}`,
		`{"fault":"chain_life","n":1,"duration":"-1h"}`, `{"fault":"omit_refresh_token","n":-1}`, `{"fault":"share_status","n":1,"status":200}`,
		`{"fault":"decimals","on":true}`, `{"fault":"novelties","on":true}`, `{"fault":"telephone_echo","on":true}`,
		`{"fault":"clock_offset","duration":"-3h"}`, `{"fault":"errors","style":"text"}`,
	} {
		post("faults", order, 200)
	}
	wantStatus(t, c.must(c.request("GET", "/time", "")), 502)
	wantStatus(t, c.must(c.request("GET", "/time", "")), 429)
	if _, err := c.send(c.request("GET", "/time", "")); err == nil {
		t.Error("it was not cut")
	}
	post("faults", `{"fault":"reset"}`, 200)
	wantStatus(t, c.must(c.request("GET", "/time", "")), 200)

	for path, body := range map[string]string{
		"faults": `{"fault":"gremlins"}`, "clock": `{"advance":"soon"}`, "users": `{}`, "locks": `{"id":"x"}`, "keys": `{"jwk":{}}`,
		"locks/" + lock + "/users": `{"user":"nobody","role":"USER"}`, "locks/" + newUUID(): `{}`,
	} {
		post(path, body, 400)
	}
	for _, order := range []string{
		`x`, `{"fault":"fail","route":"GET /x"}`, `{"fault":"fail","status":99}`, `{"fault":"slow","duration":"soon"}`, `{"fault":"slow"}`,
		`{"fault":"errors","style":"odd"}`,
	} {
		post("faults", order, 400)
	}
	wantStatus(t, c.must(c.request("GET", "/sim/locks/"+lock+"/dance", "")), 404)
	wantStatus(t, c.must(c.request("GET", "/sim/locks/"+newUUID()+"/users", "")), 404)
}

// TestNothingSecretIsLogged does what has secrets in it and searches the log, the state and the answers to failures.
func TestNothingSecretIsLogged(t *testing.T) {
	var log bytes.Buffer
	c := newCloud(t, func(o *doordecksim.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	ada := c.identity(doordecksim.AdminAda)
	second := newKey(t)
	wantStatus(t, c.api(ada.token, "POST", "/auth/certificate/verify", keyBody(second)), 200)
	code := c.Code(doordecksim.AdminAda)
	jwt := compact(t, ada.key, ada.header(), ada.claims(doordecksim.LockFront, c.add(doordecksim.VisitorAna)))
	wantStatus(t, ada.execute(doordecksim.LockFront, jwt), 204)
	bad := ada.execute(doordecksim.LockFront, jwt[:len(jwt)-8]+"AAAAAAAA")
	refusedToken := c.api(ada.token+"x", "GET", "/device", "")
	login := c.must(c.request("POST", "/auth/token", `{"email":"erin@example.test","password":"hunter2-hunter2"}`))
	wantStatus(t, login, 401)
	if log.Len() == 0 {
		t.Fatal("nothing was logged at all")
	}
	everything := log.String() + string(bad.body) + string(refusedToken.body) + string(login.body) + string(c.must(c.request("GET", "/sim/state", "")).body)
	ledger, err := json.Marshal(c.Ledger())
	if err != nil {
		t.Fatal(err)
	}
	everything += string(ledger)
	for name, secret := range map[string]string{
		"auth token": ada.token, "its signature": ada.token[strings.LastIndex(ada.token, ".")+1:], "signed operation": jwt,
		"its signature too": jwt[strings.LastIndex(jwt, ".")+1:], "code": `"` + code + `"`, "password": "hunter2-hunter2", "address": "ada@example.test",
	} {
		if strings.Contains(everything, secret) {
			t.Errorf("the %s can be read", name)
		}
	}
}
