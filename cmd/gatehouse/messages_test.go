package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// event is a message as the stream sends it.
func event(id, subject, happened string) string {
	return fmt.Sprintf("id: %s\nevent: message\ndata: {\"id\":\"m-%s\",\"subject\":\"gatehouse.%s\",\"message\":{\"time\":\"2026-01-01T00:00:00Z\",%s}}\n\n", id, id, subject, happened)
}

// The gateway goes away in the middle of an event, answers 503 for a while, and is back. Nothing is shown twice, and
// nothing is left out. In the end whoever follows has had enough.
func TestTailGoesOnWhereItBrokeOff(t *testing.T) {
	granted := func(id string) string {
		return event(id, "event.hX9aQ2.access.granted", `"subject":"events/`+id+`","data":{"event_label":"Admitted Ana Pereira using PIN","door_controller_name":"Boat Shed"}`)
	}
	var resumed []string
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed = append(resumed, r.Header.Get("Last-Event-ID"))
		flush := func(s string) { _, _ = w.Write([]byte(s)); w.(http.Flusher).Flush() }
		switch len(resumed) {
		case 1:
			half, _, _ := strings.Cut(granted("3"), "\n\n")
			flush(": heartbeat\nid: 0\n\n" + granted("1") + ": heartbeat\nid: 2\n\n" + half + "\n")
			panic(http.ErrAbortHandler)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			flush(granted("3") + event("4", "event.hX9aQ2.access.denied", `"origin":"catchup","data":{"person_name":"Bram"}`))
			<-r.Context().Done()
		}
	}))
	defer gateway.Close()
	cmd := exec.CommandContext(t.Context(), binary, "messages", "tail", "--ids")
	cmd.Env = environment(map[string]string{"GATEHOUSE_URL": gateway.URL, "GATEHOUSE_TOKEN": "x", "TZ": "UTC"})
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	var got []string
	for lines := bufio.NewScanner(out); len(got) < 3 && lines.Scan(); {
		got = append(got, strings.Join(strings.Fields(lines.Text()), " "))
	}
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ends with %v: %s", err, errs.String())
	}
	gateway.Close() // nothing is asked of it any more
	want := []string{
		"m-1 2026-01-01 00:00:00 Admitted Ana Pereira using PIN · Boat Shed gatehouse.event.hX9aQ2.access.granted",
		"m-3 2026-01-01 00:00:00 Admitted Ana Pereira using PIN · Boat Shed gatehouse.event.hX9aQ2.access.granted",
		"m-4 2026-01-01 00:00:00 Access denied · Bram (caught up) gatehouse.event.hX9aQ2.access.denied",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if want := []string{"", "2", "2"}; !slices.Equal(resumed, want) {
		t.Errorf("it resumed at %q, want %q", resumed, want)
	}
	const told = "gatehouse: the gateway is away (the connection has broken); waiting for it\ngatehouse: it is back; going on where it broke off\n"
	if errs.String() != told {
		t.Errorf("%q", errs.String())
	}
}

func TestMessagesInWords(t *testing.T) {
	rows := []struct{ subject, message, want string }{
		{"notification.hX9aQ2.event.create", `"subject":"events/7"`, "Notification: event created, events/7"},
		{"notification.hX9aQ2.cat.stroke", `"flag":"unknown_type"`, "Notification: cat stroke, of what is not said [unknown type]"},
		{"event.hX9aQ2.credential.destroyed", `"data":{"id":"9"}`, "Credential destroyed"},
		{"event.hX9aQ2.door.31", `"origin":"replay","data":{"event_label":"Door forced open","channel_name":"Boat Shed"}`, "Door forced open · Boat Shed (replayed)"},
		{"connection.hX9aQ2.reauthorize", `"data":{"reason":"invalid_grant"}`, "Account hX9aQ2 must be connected again: invalid grant"},
		{"identity.acme.verification_required", `"data":{}`, "Identity acme waits for a code"},
		{"endpoint.e-1.failing", `"data":{"description":"Harbour","last_error":"connect"}`, "Endpoint Harbour does not take deliveries: connect"},
		{
			"operation.acme.failed", `"data":{"type":"share","lock":"l-1","caller":"desk","error":"not_in_directory","results":[{"invitee":{"email":"a@example.test"}}]}`,
			"Share failed (not in directory) · email a@example.test · lock l-1, asked by desk",
		},
		{"odd", `"subject":"odd"`, "odd"},
		{"..", `"data":7`, "gatehouse..."},
	}
	items := ""
	for i, r := range rows {
		_, data, _ := strings.Cut(event("x", r.subject, r.message), "data: ")
		if items += strings.TrimSpace(data); i < len(rows)-1 {
			items += ","
		}
	}
	url, _ := answering(t, http.StatusOK, "", `{"items":[`+items+`]}`)
	code, stdout, stderr := command(t, map[string]string{"GATEHOUSE_URL": url, "GATEHOUSE_TOKEN": "x", "TZ": "UTC"}, "messages", "list")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if code != 0 || len(lines) != len(rows) {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	for i, r := range rows {
		if want := "2026-01-01 00:00:00  " + r.want + " "; !strings.HasPrefix(lines[i], want) || !strings.HasSuffix(lines[i], " gatehouse."+r.subject) {
			t.Errorf("%q, want %q", lines[i], want)
		}
	}
}
