package main_test

import (
	"strings"
	"testing"
)

// Who may do what: somebody makes a key for somebody else, who sees only what is theirs, until it is revoked.
func TestGivingAndTakingAccessInABrowser(t *testing.T) {
	g := newGateway(t, nil)
	newCloud(t, g)
	g.start()
	b := newChrome(t, g)
	b.signIn(adminToken)
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
	if got := other.text("nav"); got != "Overview\nMessages" {
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
	if strings.Contains(g.log(), key) {
		t.Error("the key is in the log")
	}
}
