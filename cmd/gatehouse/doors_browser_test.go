package main_test

import (
	"crypto/ed25519"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

// An administrator is registered, proves the key with a code, and shares a door with two people and takes it away from
// one of them again: all of it in the browser.
func TestIdentitiesAndDoorsInABrowser(t *testing.T) {
	g := newGateway(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "debug"})
	dd := newDoordeck(t, g)
	// Ada has a key on her telephone already, so that Doordeck wants another one proven.
	telephone, _, err := ed25519.GenerateKey(nil)
	if err == nil {
		err = dd.RegisterKey(doordecksim.AdminAda, telephone)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.start()
	b := newChrome(t, g)
	b.zone("Europe/Amsterdam")
	complaints := b.listen()
	b.signIn(adminToken)
	b.visit("/doors")
	b.inspect("doors-empty")
	b.visit("/identities")
	b.inspect("identities-empty")

	b.click(".empty .button")
	b.see("#subject")
	b.write("#name", "reception")
	b.write("#subject", doordecksim.AdminAda)
	b.write("#display_name", "Ada Achterberg")
	b.write("#email", "ada.example.test")
	b.write("#telephone", "+442079460001")
	b.click("[name=email_verified]")
	b.click("[name=telephone_verified]")
	b.click("form.form button")
	b.see("#email-fault")
	b.inspect("register-refused")
	b.clear("#email")
	b.write("#email", "ada@example.test")
	b.click("form.form button")
	b.see("#code") // by itself, when Doordeck has been asked
	b.inspect("identity-needs-code")

	// The code comes by the way that is chosen. A wrong one is said to be wrong.
	b.click("[value=SMS]")
	b.click("#code form[action$=verify] button")
	b.see("#entered")
	code := dd.Code(doordecksim.AdminAda)
	wrong := "000000"
	if code == wrong {
		wrong = "111111"
	}
	b.write("#entered", wrong)
	b.click("#code form[action$=check] button")
	b.see("#entered-fault")
	if text := b.text("#code"); !strings.Contains(text, "4 tries are left") {
		t.Errorf("a wrong code is answered:\n%s", text)
	}
	if strings.Contains(b.html(), wrong) || strings.Contains(b.html(), code) {
		t.Error("the page shows a code")
	}
	b.inspect("identity-code-wrong")
	b.write("#entered", code[:3]+" "+code[3:])
	b.click("#code form[action$=check] button")
	b.see(".life-dates")
	b.inspect("identity")
	b.visit("/identities")
	b.inspect("identities")

	// Its doors, and one of them.
	b.visit("/doors") // there is one identity: its doors
	b.see("tbody th a")
	b.inspect("doors")
	b.visit("/doors/reception?search=fro")
	b.see("tbody th a")
	b.click("tbody th a")
	b.see("table.people")
	b.inspect("door")

	// Two people are pasted, with a third that cannot be taken.
	b.click(".head .button")
	b.see("#people")
	b.eventually("the door's name does not come", `document.querySelector("#summary")?.innerText.includes("Front Door") === true`)
	if text := b.text(".times"); !strings.Contains(text, "Europe/Amsterdam") || !strings.Contains(text, "09:00") || !strings.Contains(text, "UTC") {
		t.Errorf("the times are not said with their zone:\n%s", text)
	}
	b.write("#people", "Ana Pereira <ana@example.test>\nbram@example\n+44 20 7946 0012\nnobody@example.test")
	b.focus("#wait")
	b.eventually("the lines are not looked at", `document.querySelectorAll("#lines li").length === 4`)
	b.inspect("share")
	b.click("#provision") // to be made known, each needs what the application calls them
	b.eventually("the lines are not looked at anew", `document.querySelectorAll("#lines .fault").length === 4`)
	b.clear("#people")
	b.write("#people", "visitor-ana, ana@example.test\nvisitor-81, eve@example.test")
	b.focus("#wait")
	b.eventually("nobody is told to be new", `document.querySelector("#lines").innerText.includes("Doordeck knows them") && document.querySelector("#lines").innerText.includes("Will be made known")`)
	b.click("#provision")
	b.clear("#people")
	b.write("#people", "ana@example.test\nbram")
	b.click("form.form .actions button:not([type])")
	b.see("#people-fault")
	b.inspect("share-refused")
	b.clear("#people")
	b.write("#people", "ana@example.test\n+442079460012")
	days := []time.Time{tomorrow(t)}
	b.click("[data-nine='1']")
	days = append(days, tomorrow(t)) // another one at midnight
	b.click("form.form .actions button:not([type])")
	b.see(".said.good") // by itself
	b.inspect("share-done")
	if m := member(dd, doordecksim.VisitorAna); m == nil || !slices.ContainsFunc(days, m.Start.Equal) || !m.End.Equal(m.Start.Add(8*time.Hour)) {
		t.Errorf("at Doordeck Ana has %+v", m)
	}
	if member(dd, doordecksim.VisitorBram) == nil {
		t.Error("at Doordeck Bram does not have the door")
	}

	b.click(".actions .button")
	b.see("table.people")
	ana, _ := dd.User(doordecksim.VisitorAna)
	b.click("[value='" + ana.ID + "']")
	b.click("button.danger")
	b.eventually("who it is does not come", `document.querySelector("#summary")?.innerText.includes("ana@example.test") === true`)
	b.inspect("revoke")
	b.click("button.danger")
	b.see(".said.good")
	if member(dd, doordecksim.VisitorAna) != nil || member(dd, doordecksim.VisitorBram) == nil {
		t.Error("at Doordeck it was not Ana who was revoked")
	}

	// Lists call the door by its name.
	for _, path := range []string{"/operations", "/messages?subject=gatehouse.operation.%3E", "/audit?action=operation.share"} {
		if b.visit(path); !strings.Contains(b.text("tbody"), "Front Door") {
			t.Errorf("%s does not name the door:\n%s", path, b.text("tbody"))
		}
	}

	// A door that is offline is waited for, and one opens.
	b.visit("/doors/reception/" + doordecksim.LockBoat + "/share")
	b.see("#people")
	b.write("#people", "ana@example.test")
	b.click("form.form .actions button:not([type])")
	b.eventually("nothing waits for the door", `document.querySelector("tbody .badge")?.innerText === "queued"`)
	b.inspect("share-queued")
	b.visit("/doors/reception/" + doordecksim.LockFront + "/unlock")
	b.see("#summary .badge")
	b.inspect("unlock")
	b.click("main form button")
	b.see(".said.good")
	if dd.Unlocks(doordecksim.LockFront) != 1 {
		t.Error("the door was not opened")
	}
	b.visit("/identities/reception/new-key")
	b.inspect("new-key")
	b.visit("/identities/reception/delete")
	b.inspect("identity-delete")

	// The filter of messages, too, is in the zone of whoever looks.
	b.visit("/messages")
	b.see("#since")
	ask[bool](b, `document.querySelector("#since").value = "2026-07-01T09:00:00", true`)
	b.click(".filter button")
	b.eventually("the time is not sent in UTC", `location.search.includes(encodeURIComponent("2026-07-01T07:00:00.000Z"))`)

	// Doordeck is slow, and fails: the page is there all the same, and says so.
	dd.Faults().Inject(doordecksim.Fault{N: -1, Delay: time.Second, Status: http.StatusServiceUnavailable})
	if a := g.paged(g.session(adminToken), http.MethodGet, "/doors/reception", ""); !strings.Contains(string(a.body), `class="waiting`) {
		t.Errorf("while Doordeck is asked the page says:\n%s", a.body)
	}
	b.visit("/doors/reception")
	b.see(".said.bad")
	b.inspect("doors-away")
	dd.Faults().Reset()
	b.click(".said.bad button")
	b.see("tbody th a")
	b.eventually("the doors stand beside why they did not", `!document.querySelector(".said.bad")`)

	for _, c := range complaints() {
		if !strings.Contains(c, "Failed to load resource") { // refused forms, and a Doordeck that fails
			t.Error("the browser complains:", c)
		}
	}
	nothingSecret(t, g, dd, code)
	// Without a script the doors, and who has one, are pages that a link leads to.
	for path, want := range map[string]string{"/doors/reception": "Boat Shed", "/doors/reception/" + doordecksim.LockFront: "Take access away"} {
		session := g.session(adminToken)
		page, live := string(g.paged(session, http.MethodGet, path, "").body), string(g.paged(session, http.MethodGet, path+"/live", "").body)
		if !strings.Contains(page, `<noscript><p><a class="button" href="`+path+`/live`) || !strings.Contains(live, "</html>") || !strings.Contains(live, want) {
			t.Errorf("%s does without a script:\n%s\n%s", path, page, live)
		}
	}
	whatASmallKeySees(t, g)
	administratorsOnly(t, g)
}

// tomorrow is nine o'clock in Amsterdam.
func tomorrow(t *testing.T) time.Time {
	t.Helper()
	amsterdam, err := time.LoadLocation("Europe/Amsterdam")
	must(t, err)
	now := time.Now().In(amsterdam)
	return time.Date(now.Year(), now.Month(), now.Day()+1, 9, 0, 0, 0, amsterdam)
}

// nothingSecret looks for what nobody must learn, in the log and in the pages.
func nothingSecret(t *testing.T, g *gateway, dd *doordeckCloud, code string) {
	t.Helper()
	seen, session := g.log(), g.session(adminToken)
	for _, path := range []string{
		"/identities", "/identities/reception", "/identities/reception/live", "/doors/reception/live", "/doors/reception/" + doordecksim.LockFront + "/live",
		"/doors/reception/" + doordecksim.LockFront + "/summary", "/messages?subject=gatehouse.identity.%3E",
	} {
		a := g.paged(session, http.MethodGet, path, "")
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d", path, a.status)
		}
		seen += string(a.body)
	}
	pem, err := os.ReadFile(g.env["GATEHOUSE_DOORDECK_SIGNING_KEY_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	tokens, proofs := dd.secrets()
	if len(tokens) == 0 || len(proofs) != 2 {
		t.Fatalf("%d tokens and %d proofs were overheard", len(tokens), len(proofs))
	}
	for _, secret := range slices.Concat(tokens, proofs, []string{code, strings.Split(string(pem), "\n")[1]}) {
		if strings.Contains(seen, secret) {
			t.Errorf("%q is in the log or in a page", secret)
		}
	}
}

// whatASmallKeySees is what it may do and nothing else.
func whatASmallKeySees(t *testing.T, g *gateway) {
	t.Helper()
	door := "/doors/reception/" + doordecksim.LockFront
	actions := []string{"/register", "/delete", "/new-key", door + "/share", door + "/revoke", door + "/unlock"}
	for scope, want := range map[string][]string{
		"identities:read": nil, "identities:write": {"/register", "/new-key"}, "operations:read": nil, "operations:write": {door + "/share", door + "/revoke"},
		"operations:unlock": {door + "/unlock"}, "operations:admin": {door + "/share"},
	} {
		session, shown := g.session(g.key(map[string]any{"scopes": slices.Compact(slices.Sorted(slices.Values([]string{"identities:read", "operations:read", scope})))})), ""
		for _, path := range []string{"/identities", "/identities/reception", door + "/live"} {
			shown += string(g.paged(session, http.MethodGet, path, "").body)
		}
		for _, action := range actions {
			if strings.Contains(shown, action+`"`) != slices.Contains(want, action) {
				t.Errorf("with %s: is %s offered? %t", scope, action, !slices.Contains(want, action))
			}
		}
	}
}

// administratorsOnly may be made by a key that may not share with users, as below /v1.
func administratorsOnly(t *testing.T, g *gateway) {
	t.Helper()
	session, form := g.session(g.key(map[string]any{"scopes": []string{"operations:admin"}})), "people=cleo@example.test&forever=yes&role="
	for role, want := range map[string]int{"ADMIN": http.StatusSeeOther, "USER": http.StatusForbidden} {
		if a := g.paged(session, http.MethodPost, "/doors/reception/"+doordecksim.LockFront+"/share", form+role); a.status != want {
			t.Errorf("sharing as %s: %d", role, a.status)
		}
	}
}

// member is what somebody has of the front door at Doordeck.
func member(dd *doordeckCloud, subject string) *doordecksim.Member {
	for _, m := range dd.Users(doordecksim.LockFront) {
		if u, ok := dd.User(m.User); ok && u.Subject == subject {
			return &m
		}
	}
	return nil
}
