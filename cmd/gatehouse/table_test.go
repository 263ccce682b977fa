package main_test

import (
	"maps"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// onTerminal runs the program on a terminal of so many columns, and returns what it shows there.
func onTerminal(t *testing.T, columns string, vars map[string]string, args string) string {
	t.Helper()
	need(t, "script")
	cmd := exec.CommandContext(t.Context(), "script", "-qec", "stty cols "+columns+"; exec "+binary+" "+args, "/dev/null")
	vars = maps.Clone(vars)
	if vars["TERM"] == "" {
		vars["TERM"] = "xterm"
	}
	cmd.Env, cmd.Dir = environment(vars), t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.ReplaceAll(string(out), "\r", "")
}

func TestTablesFitTheTerminal(t *testing.T) {
	url, _ := answering(t, http.StatusOK, "", `{"items":[{"account":"an-account-with-quite-a-long-id","status":"active","last_webhook_at":"2026-01-01T00:00:00Z","missing_scopes":["account.person","日本語日本語日本語日本語","account.sync"]},
		{"account":"hX9aQ2","status":"reauthorize"}]}`)
	vars := map[string]string{"GATEHOUSE_URL": url, "GATEHOUSE_TOKEN": "x", "NO_COLOR": "1"}
	wide := onTerminal(t, "200", vars, "connections")
	if !strings.Contains(wide, "account.person 日本語日本語日本語日本語 account.sync\n") || strings.Contains(wide, "\x1b") {
		t.Errorf("%q", wide)
	}
	narrow := onTerminal(t, "100", vars, "connections")
	for _, want := range []string{"an-account-with-quite-a-long-id  active ", "…\n"} {
		if !strings.Contains(narrow, want) {
			t.Errorf("no %q in\n%s", want, narrow)
		}
	}
	if narrower := onTerminal(t, "90", vars, "connections"); !strings.Contains(narrower, "\n  account.person 日本語日本語日本語日本語 account.sync\n") {
		t.Errorf("not below its row:\n%s", narrower)
	}
	if tiny := onTerminal(t, "20", vars, "connections"); !strings.Contains(tiny, "an-account-with-quite-a-long-id\n") {
		t.Errorf("an id was cut:\n%s", tiny)
	}
	for line := range strings.Lines(narrow) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}

	delete(vars, "NO_COLOR")
	if shown := onTerminal(t, "200", vars, "connections"); !strings.Contains(shown, "\x1b[32mactive\x1b[0m") || !strings.Contains(shown, "\x1b[31mreauthorize\x1b[0m") {
		t.Errorf("no colours: %q", shown)
	}
	vars["TERM"] = "dumb"
	if shown := onTerminal(t, "200", vars, "connections"); strings.Contains(shown, "\x1b") {
		t.Errorf("colours on a dumb terminal: %q", shown)
	}
	_, piped, _ := command(t, vars, "connections")
	if strings.Contains(piped, "\x1b") || !strings.Contains(piped, "account.sync\n") {
		t.Errorf("%q", piped)
	}
}

// Other commands ask for a delivery's id, which is long: it is never cut.
func TestDeliveriesCanBeCopied(t *testing.T) {
	const id = "01a2037f-81ca-7c8b-a9b1-5ca2fa7c9275.01a2037f-81a2-7771-9c95-e9850cc1fec9"
	url, _ := answering(t, http.StatusOK, "", `{"items":[{"id":"`+id+`","subject":"gatehouse.notification.hX9aQ2.event.create","status":"waiting","attempts":1,
		"tried":[{"outcome":"failed","status":500}],"created_at":"2026-01-01T00:00:00Z"}]}`)
	vars := map[string]string{"GATEHOUSE_URL": url, "GATEHOUSE_TOKEN": "x", "NO_COLOR": "1"}
	if shown := onTerminal(t, "220", vars, "endpoints deliveries e-1"); !strings.Contains(shown, "gatehouse.notification.hX9aQ2.event.create  "+id+"\n") {
		t.Errorf("in a line of its own on a wide terminal:\n%s", shown)
	}
	for _, columns := range []string{"160", "80", "60", "20"} {
		if shown := onTerminal(t, columns, vars, "endpoints deliveries e-1"); !strings.Contains(shown, "\n  "+id+"\n") {
			t.Errorf("on %s columns the id is not there whole:\n%s", columns, shown)
		}
	}
}

// On a narrow terminal nothing is left off: what finds no room stands below its row, and words are whole.
func TestColumnsStandBelowTheirRows(t *testing.T) {
	const id, url = "01a20550-26ed-79de-a011-de9444a1b2e4", "http://127.0.0.1:39999/hooks/a-building/gatehouse"
	gate, _ := answering(t, http.StatusOK, "", `{"items":[{"id":"`+id+`","url":"`+url+`","enabled":true,"failures":9,"subjects":["gatehouse.event.*.access.>","gatehouse.operation.>"],
		"health":{"waiting":3,"delivered":1}}]}`)
	vars := map[string]string{"GATEHOUSE_URL": gate, "GATEHOUSE_TOKEN": "x", "NO_COLOR": "1"}
	want := "" +
		"ID                                    STATE\n" +
		"  URL                                                WAITING\n" +
		"  PARKED  SUCCESS  OLDEST  SUBJECTS\n" +
		id + "  failing (9 in a row)\n" +
		"  " + url + "  3\n" +
		"  0       100%     -       gatehouse.event.*.access.> gateh…\n"
	if shown := onTerminal(t, "60", vars, "endpoints"); shown != want {
		t.Errorf("got\n%s\nwant\n%s", shown, want)
	}
	_, piped, _ := command(t, vars, "endpoints")
	if lines := strings.Count(piped, "\n"); lines != 2 || !strings.Contains(piped, url+"  3 ") || !strings.Contains(piped, " gatehouse.event.*.access.> gatehouse.operation.>\n") {
		t.Errorf("in a pipe a row is one line:\n%s", piped)
	}
}

// An API key stands in the audit log with its id in front of its name, which is of use to programs only.
func TestTheAuditLogNamesKeysFirst(t *testing.T) {
	url, _ := answering(t, http.StatusOK, "", `{"items":[{"action":"api_key.create","outcome":"done","target":"01a20550-26c8-728c-9464-477ecffb3626 Harbour visitors: messages:read"}]}`)
	_, shown, _ := command(t, map[string]string{"GATEHOUSE_URL": url, "GATEHOUSE_TOKEN": "x"}, "audit")
	if !strings.HasSuffix(shown, "  Harbour visitors: messages:read (01a20550-26c8-728c-9464-477ecffb3626)\n") {
		t.Errorf("%q", shown)
	}
}

func TestMessagesStandBelowTheirIDsOnANarrowTerminal(t *testing.T) {
	const id = "01a204c9-711b-7b0c-ad96-16f1d2ddb9de"
	url, _ := answering(t, http.StatusOK, "", `{"items":[{"id":"`+id+`","subject":"gatehouse.event.hX9aQ2.access.granted","message":{"time":"2026-01-01T00:00:00Z","data":{"event_label":"Admitted Ana Pereira using PIN"}}}]}`)
	vars := map[string]string{"GATEHOUSE_URL": url, "GATEHOUSE_TOKEN": "x", "NO_COLOR": "1"}
	if shown := onTerminal(t, "60", vars, "messages list --ids"); !strings.HasPrefix(shown, id+"\n  ") || !strings.Contains(shown, "Admitted Ana Pereira using PIN\n") {
		t.Errorf("%q", shown)
	}
}
