package main_test

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/doordeck/doordecksim"
)

// Who may do what: somebody makes a key for somebody else, who sees only what is theirs, until it is revoked.
func TestGivingAndTakingAccessInABrowser(t *testing.T) {
	g := newGateway(t, nil)
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	b := newChrome(t, g)
	complaints := b.listen()
	b.signIn(adminToken)
	ask[bool](b, `window.really = window.fetch, window.fetch = async () => new Response("<p>no</p>", {status: 503}), true`)
	b.see("#stale") // what was there stays, and is said to be old
	if text := b.text("#live"); !strings.Contains(text, "The flow") {
		t.Errorf("an error took the place of the overview:\n%s", text)
	}
	ask[bool](b, `window.fetch = window.really, true`)
	b.eventually("the page does not say that it is up to date again", `!document.getElementById("stale")`)
	b.visit("/api-keys")
	b.inspect("api-keys-empty")
	b.click(".empty .button")
	b.see("#name")
	b.write("#name", "Front desk")
	b.click(".actions button")
	b.see("#scopes-fault")
	if got := ask[string](b, "document.getElementById('name').value"); got != "Front desk" {
		t.Errorf("the name that was typed is now %q", got)
	}
	b.click("a[href$='for=read']")
	b.see("#name")
	b.eventually("the choice is not made", `document.querySelectorAll("input[name=scope]:checked").length === 7`)
	b.write("#name", "Front desk")
	b.inspect("api-key-new")
	for range 6 { // all but messages:read
		b.click("input[name=scope]:checked:not([value='messages:read'])")
	}
	b.click("input[name=account_limit][value=some]")
	b.click(".actions button")
	b.see("#secret")
	b.inspect("api-key-made")
	key := ask[string](b, "document.getElementById('secret').value")
	if !strings.HasPrefix(key, "gh_") || strings.Contains(b.at(), key) {
		t.Fatalf("the key is %q, at %s", key, b.at())
	}
	b.visit(b.at()) // as who reloads
	b.see("dl.facts")
	if strings.Contains(b.html(), key) {
		t.Error("the key is shown a second time")
	}
	b.inspect("api-key")

	g.key(map[string]any{"scopes": []string{"messages:read", "messages:write", "operations:read", "operations:unlock"}, "accounts": []string{"hX9aQ2"}, "identities": []string{}})
	other := b.another()
	other.signIn(key)
	if got := other.text("nav"); got != "Overview\nMessages\nAPI" {
		t.Errorf("the menu of the new key is %q", got)
	}
	other.click("nav a[href='/messages']")
	other.eventually("the tail is not live", `document.querySelector(".live-state")?.innerText === "Live"`)
	b.click("a.danger")
	b.see("button.danger")
	b.inspect("api-key-revoke")
	b.click("button.danger")
	b.see(".said.good")
	b.inspect("api-keys")
	other.eventually("the tail does not say that it has ended", `document.querySelector(".live-state")?.innerText === "Ended: reload the page"`)
	other.click("nav a[href='/']")
	other.see("#key")
	if got := other.text(".said"); !strings.HasPrefix(got, "You are signed out") {
		t.Errorf("who lost the key reads %q", got)
	}
	other.inspect("signed-out")

	b.visit("/nats-credentials")
	b.inspect("nats-empty")
	b.click(".empty .button")
	b.see("#name")
	b.write("#name", "harbour-visitors")
	b.click("input[name=command][value=share]")
	b.click(".actions button")
	b.see("#identities-fault")
	b.write("#identities", "acme")
	b.inspect("nats-new")
	b.click(".actions button")
	b.see("#secret")
	b.inspect("nats-made")
	file := b.text("#secret")
	if !strings.Contains(file, "BEGIN USER NKEY SEED") || b.at() != "/nats-credentials/harbour-visitors" {
		t.Fatalf("at %s the file is %q", b.at(), file)
	}
	b.visit(b.at())
	b.see("dl.facts")
	if strings.Contains(b.html(), "SEED") {
		t.Error("the credentials are shown a second time")
	}
	b.inspect("nats")
	b.visit("/nats-credentials")
	b.inspect("nats-list")
	b.visit("/nats-credentials/harbour-visitors/revoke")
	b.inspect("nats-revoke")
	b.click("button.danger")
	b.see(".said.good")

	// What was asked of a door, and by whom.
	df.connected(g)
	g.identity("acme", doordecksim.AdminAda)
	var asked struct{ Operation string }
	g.call(http.MethodPost, "/v1/identities/acme/operations", `{"type":"share","lock":"`+doordecksim.LockFront+`","invitees":[{"foreign_key":"visitor-ana"},{"email":"nobody@example.test"}]}`).json(t, &asked)
	b.visit("/operations/" + asked.Operation)
	b.eventually("the outcome does not come by itself", `document.querySelector("h1 .badge").innerText === "partial" && document.querySelectorAll("tbody .steps li").length === 4`)
	b.inspect("operation")
	b.visit("/operations?status=partial&identity=acme")
	b.inspect("operations")
	if got := b.text("tbody th"); got != "Share with 2 people" {
		t.Errorf("the operation is %q", got)
	}
	b.visit("/operations?status=failed")
	b.inspect("operations-nothing-fits")

	b.visit("/audit")
	b.inspect("audit")
	b.visit("/audit?target=front+DESK&action=api_key.revoke")
	b.click("tbody th a")
	b.see("pre.json")
	b.inspect("audit-entry")
	b.visit("/audit/verify")
	b.inspect("audit-verify")
	b.click("main form button")
	b.see(".said.good")
	b.inspect("audit-verified")
	b.visit("/audit")
	b.eventually("the page does not say that the log is verified", `document.querySelector(".chain").innerText.startsWith("Verified")`)

	other.signIn(adminToken)
	b.visit("/sessions")
	b.inspect("sessions")
	b.click("td.do form[action$='/end'] button")
	b.see(".said.good")
	other.visit("/messages")
	other.see("#key")
	for _, c := range complaints() {
		if !strings.Contains(c, "400 (Bad Request)") { // forms that were refused
			t.Error("the browser complains:", c)
		}
	}
	if strings.Contains(g.log(), file) {
		t.Error("the credentials are in the log")
	}
	if strings.Contains(g.log(), key) {
		t.Error("the key is in the log")
	}
}
