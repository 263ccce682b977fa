package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
)

// somebody's day: the story of the dashboard, in a real browser, with every page looked at.
func TestTheDashboardInABrowser(t *testing.T) {
	bms := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer bms.Close()
	g := newGateway(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "info", "GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"})
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	b := newChrome(t, g)
	complaints := b.listen()

	b.visit("/api?q=unlock") // which is open to all
	b.see(".api-list")
	b.inspect("api-found-stranger")
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
	b.see(".begin")
	b.inspect("overview-empty")
	b.visit("/connections")
	b.inspect("connections-empty")

	// The whole browser flow of connecting.
	b.click(".head .button, .empty .button")
	b.see("#reference")
	b.inspect("connect")
	b.write("#reference", "Harbour Makers, front desk")
	b.write("#account", "no account")
	b.click("form.form button")
	b.see("#account-fault") // what was typed is still there
	b.clear("#account")
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

	if a := g.call(http.MethodPost, "/v1/endpoints", `{"url":"`+bms.URL+`/hook","subjects":["gatehouse.event.>"],"description":"Harbour BMS"}`); a.status != http.StatusCreated {
		t.Fatal(a.status, string(a.body))
	}

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
	b.eventually("the tail does not say that it is paused", `document.querySelector(".live-state").innerText === "Paused"`)
	b.visit("/messages?subject=gatehouse.event.%3E&account=" + doorflowsim.AccountA)
	b.see("#rows tr[id]")
	b.inspect("messages-filtered")
	b.click("#rows th a")
	b.see("pre.json")
	eventually(t, 20*time.Second, func() string {
		if text := b.text("main"); !strings.Contains(text, "Harbour BMS") || !strings.Contains(text, "delivered") {
			b.visit(b.at())
			return "the delivery is not shown:\n" + text
		}
		return ""
	})
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
	for name, path := range map[string]string{"api": "/api", "api-requests": "/api/http/audit", "api-messages": "/api/nats/command", "api-problems": "/api/problems"} {
		b.visit(path)
		b.see(".head h1")
		b.inspect(name)
	}
	b.visit("/nothing")
	b.inspect("not-found")
	for _, c := range complaints() {
		if !strings.Contains(c, "401 (Unauthorized)") && !strings.Contains(c, "404 (Not Found)") && !strings.Contains(c, "400 (Bad Request)") { // a wrong key, /nothing, a wrong account
			t.Error("the browser complains:", c)
		}
	}
}

// What waits for a person stands first, and leads to where it can be seen to.
func TestWhatNeedsAPersonInABrowser(t *testing.T) {
	g := newGateway(t, nil)
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	b := newChrome(t, g)
	df.connected(g)
	const account = doorflowsim.AccountA
	event := df.Emit(account, doorflowsim.EventSpec{Code: 10, ChannelID: 5012, NoWebhook: true})
	df.RevokeGrant(account)
	if status, _, err := post(t.Context(), probe, g.url, "["+notification(df.url, account, fmt.Sprint(event.ID), "Alost")+"]"); status != http.StatusOK || err != nil {
		t.Fatal(status, err)
	}
	g.awaitConnection(account, "reauthorize")
	g.identity("acme", doordecksim.AdminAda)
	if a := g.call(http.MethodPost, "/v1/identities", identityBody("annex", doordecksim.AdminBen)); a.status != http.StatusCreated {
		t.Fatal(a.status, string(a.body))
	}
	g.awaitIdentity("annex", "ready")
	if a := g.call(http.MethodPost, "/v1/identities/annex/register", `{"new_key":true}`); a.status != http.StatusOK {
		t.Fatal(a.status, string(a.body))
	}
	if a := g.call(http.MethodPost, "/v1/identities/annex/verify", `{"method":"EMAIL"}`); a.status != http.StatusOK {
		t.Fatal(a.status, string(a.body))
	}
	b.signIn(adminToken)
	b.see(".need.bad")
	b.inspect("overview-needs")
	b.click(".need.bad .button")
	b.see(".said.bad")
	b.inspect("connection-reauthorize")
	b.click(".actions .button")
	b.see("#account")
	if got := ask[string](b, `document.getElementById("account").value`); got != account {
		t.Errorf("reauthorizing is for %q", got)
	}
}

// A key sees what it may do and nothing else, and the keyboard is enough.
func TestTheDashboardByKeyboardWithASmallKey(t *testing.T) {
	g := newGateway(t, nil)
	newCloud(t, g)
	g.start()
	b := newChrome(t, g)
	var made struct{ ID, Key string }
	g.call(http.MethodPost, "/v1/api-keys", `{"name":"front desk","scopes":["messages:read"],"accounts":["hX9aQ2"]}`).json(t, &made)
	b.signIn(made.Key)
	if got := b.text("nav"); got != "Overview\nMessages\nAPI" {
		t.Errorf("the menu is %q", got)
	}
	if text := b.text("main"); strings.Contains(text, "The flow") || strings.Contains(text, "Connect") {
		t.Errorf("the overview shows more than the key may see:\n%s", text)
	}
	b.inspect("overview-small-key")
	b.press("\t")
	if got := ask[string](b, "document.activeElement.innerText"); got != "Skip to content" {
		t.Errorf("the first that the keyboard reaches is %q", got)
	}
	b.press("\r")
	b.eventually("skipping leads nowhere", `document.activeElement.id === "main" || location.hash === "#main"`)
	b.focus("details.who summary")
	b.press("\r")
	b.see("[data-theme-toggle]")
	b.inspect("menu")
	b.press("\t\r")
	b.eventually("the theme does not change", `document.documentElement.dataset.theme === "dark"`)
	b.visit("/messages")
	if got := ask[string](b, "document.documentElement.dataset.theme"); got != "dark" {
		t.Errorf("the next page is %q", got)
	}
	b.visit("/")
	if a := g.call(http.MethodDelete, "/v1/api-keys/"+made.ID, ""); a.status != http.StatusNoContent {
		t.Fatal(a.status)
	}
	b.see("#key") // the page that was left open goes there by itself
}
