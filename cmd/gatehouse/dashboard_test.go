package main_test

import (
	"net/http"
	"net/url"
	"testing"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
)

// somebody's day: the story of the dashboard, in a real browser, with every page looked at.
func TestTheDashboardInABrowser(t *testing.T) {
	g := newGateway(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "info"})
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	b := newChrome(t, g)
	complaints := b.listen()

	b.visit("/messages?account=x")
	b.see("#key")
	b.inspect("sign-in")
	b.write("#key", "gh_wrong")
	b.click("form[action='/sign-in'] button")
	b.see(".said.bad")
	b.inspect("sign-in-refused")
	b.write("#key", adminToken)
	b.click("form[action='/sign-in'] button")
	b.see("nav")
	if got := b.at(); got != "/messages?account=x" {
		t.Errorf("signing in led to %s", got)
	}
	b.inspect("messages-nothing-fits")
	b.visit("/")
	b.see(".empty")
	b.inspect("overview-empty")
	b.visit("/connections")
	b.inspect("connections-empty")

	// The whole browser flow of connecting.
	b.click(".head .button, .empty .button")
	b.see("#reference")
	b.inspect("connect")
	b.write("#reference", "Harbour Makers, front desk")
	b.click("form.form button")
	b.see("#url")
	b.inspect("connect-link")
	link := ask[string](b, "document.getElementById('url').value")
	if p := walkWith(t, link, url.Values{"decision": {"allow"}, "account": {doorflowsim.AccountA}}); p.status != http.StatusOK {
		t.Fatalf("connecting: %d", p.status)
	}
	b.see(".said.good") // by itself
	b.inspect("connect-done")
	b.click(".panel .button")
	b.see("dl.facts")
	b.inspect("connection")
	b.visit("/connections")
	b.inspect("connections")

	// Messages come by themselves.
	b.visit("/messages")
	b.eventually("the tail is not live", `document.querySelector(".live-state").innerText === "Live"`)
	for range 12 {
		before := acknowledged(df)
		df.Emit(doorflowsim.AccountA, df.Random(doorflowsim.AccountA))
		df.awaitAcknowledged(t, before+1)
	}
	b.eventually("what was said does not come", `document.querySelectorAll("#rows tr.fresh").length >= 24`)
	b.inspect("messages")
	b.click("[data-pause]")
	if got := b.text(".live-state"); got != "Paused" {
		t.Errorf("the tail says %q", got)
	}
	b.visit("/messages?subject=gatehouse.event.%3E&account=" + doorflowsim.AccountA)
	b.see("#rows tr[id]")
	b.inspect("messages-filtered")
	b.click("#rows th a")
	b.see("pre.json")
	b.inspect("message")
	message := b.at()
	b.click(".head form button")
	b.see(".said.good")
	if b.at() == message {
		t.Error("replaying shows the old message")
	}
	b.inspect("message-replayed")

	g.identity("acme", doordecksim.AdminAda)
	b.visit("/")
	b.eventually("the picture does not move", `[...document.querySelectorAll(".station b")].some(n => +n.innerText >= 12)`)
	b.inspect("overview")

	b.visit("/connections/" + doorflowsim.AccountA + "/disconnect")
	b.inspect("disconnect")
	b.click("button.danger")
	b.see(".said.good")
	b.inspect("disconnected")
	b.visit("/nothing")
	b.inspect("not-found")
	for _, c := range complaints() {
		t.Log("the browser complains:", c)
	}
}
