package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb"
	"gatehouse/standardwebhooks"
)

// building is a receiver that proves what comes, and answers as it is told.
type building struct {
	url string

	mu      sync.Mutex
	secrets []standardwebhooks.Secret
	status  int
	times   map[string]int // how often each id was taken
	wrong   []string
}

func newBuilding(t *testing.T) *building {
	t.Helper()
	b := &building{status: http.StatusNoContent, times: map[string]int{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *building) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	b.mu.Lock()
	defer b.mu.Unlock()
	id := ""
	if err == nil {
		id, err = standardwebhooks.Verify(r.Header, body, time.Now(), 5*time.Minute, b.secrets...)
	}
	switch {
	case err != nil:
		b.wrong = append(b.wrong, err.Error())
		http.Error(w, "not proven", http.StatusUnauthorized)
	case b.status >= 300:
		http.Error(w, "no such <b>building</b>", b.status)
	default:
		b.times[id]++
		w.WriteHeader(b.status)
	}
}

// trust has one secret more believed.
func (b *building) trust(t *testing.T, shown string) {
	t.Helper()
	secret, err := standardwebhooks.ParseSecret(shown)
	must(t, err)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.secrets = append(b.secrets, secret)
}

func (b *building) answer(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = status
}

// taken is how many messages came, and how many of them more than once.
func (b *building) taken() (messages, again int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.times {
		if n > 1 {
			again++
		}
	}
	return len(b.times), again
}

// An endpoint's life, in a real browser: it is made, gets what happens at a door, fails, is helped, and goes.
func TestEndpointsInABrowser(t *testing.T) {
	bms := newBuilding(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "debug", "GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"})
	df := newCloud(t, g)
	g.start()
	b := newChrome(t, g)
	df.connected(g)
	emit := func() {
		t.Helper()
		before := acknowledged(df)
		df.Emit(doorflowsim.AccountA, doorflowsim.EventSpec{Code: 10, ChannelID: 5012})
		df.awaitAcknowledged(t, before+1)
	}

	b.signIn(adminToken)
	b.visit("/endpoints")
	b.inspect("endpoints-empty")
	b.click(".empty .button")
	b.see("#url")
	b.inspect("endpoint-new")
	b.write("#description", "Harbour BMS")
	b.write("#url", bms.url+"/hook#part")
	b.clear("#concurrency")
	b.click(".form button")
	b.see("#url-fault")
	if got := ask[string](b, `document.getElementById("description").value`); got != "Harbour BMS" {
		t.Errorf("what was typed has become %q", got)
	}
	b.inspect("endpoint-new-refused")
	b.clear("#url")
	b.write("#url", bms.url+"/hook")
	b.write("#concurrency", "4")
	b.write("#subjects", "gatehouse.event.*.door.*")
	b.click(".form button")
	secrets := []string{b.once(bms)}
	page := b.at()
	b.inspect("endpoint-made")
	b.click("#trial-button")
	b.eventually("the test's outcome does not show", `document.getElementById("trial").innerText.includes("Delivered, 204")`)
	b.forgets(secrets[0])

	// What happens shows by itself.
	b.visit(page)
	ask[bool](b, "window.stayed = true")
	emit()
	b.eventually("the delivery does not show", `document.querySelector("#list tbody")?.innerText.includes("delivered") && window.stayed`)
	bms.answer(http.StatusInternalServerError)
	emit()
	b.eventually("the failure does not show", `document.querySelector("#list tbody")?.innerText.includes("failed, 500") && document.querySelector("h1").innerText.includes("failing") && window.stayed`)
	b.inspect("endpoint-failing")
	b.click("#list tbody th a")
	b.see(".timeline .answer")
	if got := b.text(".timeline"); !strings.Contains(got, "no such <b>building</b>") || !strings.Contains(got, "Next attempt") {
		t.Errorf("the timeline says %s", got)
	}
	b.inspect("delivery-waiting")
	bms.answer(http.StatusNoContent)
	b.click(".head form button")
	b.see(".said.good")
	b.eventually("the retry does not show", `document.querySelector("h1").innerText.includes("delivered") && document.querySelectorAll(".timeline .attempt").length > 1`)
	b.inspect("delivery")

	// The message knows where it went, and can be said again.
	b.click(".facts dd a")
	b.see("#json")
	if got := ask[string](b, `document.querySelector("[aria-labelledby=deliveries] tbody a").getAttribute("href")`); !strings.HasPrefix(got, "/deliveries/") {
		t.Errorf("the message leads to %q", got)
	}
	before, _ := bms.taken()
	b.click(".head form button")
	b.see(".said.good")
	eventually(t, 30*time.Second, func() string {
		if now, _ := bms.taken(); now != before+1 {
			return "what was said again did not arrive"
		}
		return ""
	})

	// A span of time once more, and then what was given up.
	b.visit(page + "/replay")
	b.inspect("replay")
	b.click("button[value=hour]")
	b.see(".said.good")
	b.inspect("replay-done")
	all := before // with what was said again, and without the test message
	eventually(t, 30*time.Second, func() string {
		if _, again := bms.taken(); again != all {
			return fmt.Sprintf("%d of %d were replayed", again, all)
		}
		return ""
	})
	g.park()
	b.visit(page + "?status=parked")
	b.see("#list tbody")
	b.inspect("endpoint-parked")
	b.click("#list form button")
	b.see(".said.good")
	b.visit(page)
	b.eventually("what was given up is not sent", `!document.querySelector(".tabs b") && document.querySelector("#list tbody").innerText.includes("delivered")`)
	b.inspect("endpoint")
	b.visit("/endpoints")
	b.inspect("endpoints")

	// Who may only look is offered nothing else.
	looker := g.session(g.key(map[string]any{"scopes": []string{"endpoints:read"}}))
	for _, path := range []string{"/endpoints", page, page + "?status=parked"} {
		a := g.paged(looker, http.MethodGet, path, "")
		for _, act := range []string{"/new", "/change", "/rotate", "/test", "/disable", "/delete", "/replay", "/retry"} {
			if strings.Contains(string(a.body), act+`"`) {
				t.Errorf("%s offers %s", path, act)
			}
		}
	}

	// A part of long work that fails can be asked for again, with what was done so far.
	a := g.paged(g.session(adminToken), http.MethodPost, page+"/replay", "since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z&after=no-cursor&done=1234")
	for _, want := range []string{"1\u202f234 on their way so far", `name="after" value="no-cursor"`, `name="done" value="1234"`, "Go on", `role="alert"`} {
		if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), want) {
			t.Errorf("a part that failed is answered %d, without %s:\n%s", a.status, want, a.body)
		}
	}

	// Another secret, a change, a pause, the end.
	b.visit(page + "/rotate")
	b.click("form.actions button")
	secrets = append(secrets, b.once(bms))
	b.forgets(secrets[1])
	b.visit(page + "/change")
	b.click("input[value=ordered]")
	b.click(".form button")
	b.see(".said.good")
	b.visit(page + "/disable")
	b.click("button.danger")
	b.see(".said.good")
	b.inspect("endpoint-disabled")
	b.visit(page + "/delete")
	b.inspect("endpoint-delete")
	b.click("button.danger")
	b.see(".empty")

	if len(bms.wrong) > 0 {
		t.Errorf("deliveries were not proven: %v", bms.wrong)
	}
	if secrets[0] == secrets[1] {
		t.Error("the new secret is the old one")
	}
	logged, err := os.ReadFile(g.logs)
	must(t, err)
	for _, secret := range secrets {
		if strings.Contains(string(logged), secret) || strings.Contains(string(logged), strings.TrimPrefix(secret, "whsec_")) {
			t.Error("the log has a secret")
		}
	}
}

// once takes the secret that a page shows, and has a receiver believe it.
func (b *chrome) once(bms *building) string {
	b.t.Helper()
	b.see(".once #secret")
	secret := ask[string](b, `document.getElementById("secret").value`)
	bms.trust(b.t.(*testing.T), secret)
	return secret
}

// forgets wants a secret that the page shows to be gone when it is loaded again, left, or come back to.
func (b *chrome) forgets(secret string) {
	b.t.Helper()
	for _, act := range []string{"location.reload()", "history.back()", "history.forward()"} {
		ask[bool](b, "window.old = true; setTimeout(() => "+act+"); true")
		b.eventually("nothing happens after "+act, "window.old !== true && document.readyState === 'complete'")
		if strings.Contains(b.html(), secret) || strings.Contains(b.at(), secret) {
			b.t.Errorf("the secret shows again after %s", act)
		}
	}
}

// park has everything that was delivered given up, as after three days.
func (g *gateway) park() {
	g.t.Helper()
	g.stop()
	db, err := sqldb.Open(g.t.Context(), "", g.data)
	if err == nil {
		_, err = db.Writer().ExecContext(g.t.Context(), `UPDATE deliveries SET state = 'parked', due_at = 0, holder = '', settled_at = ?`, time.Now().UnixMilli())
		_ = db.Close()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	g.start()
}
