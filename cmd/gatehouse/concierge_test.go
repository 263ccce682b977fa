package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
)

// The program that the documentation prints does what it says: whom DoorFlow lets in gets the lock. And it is the
// one that is printed.
func TestTheConciergeExample(t *testing.T) {
	source, err := os.ReadFile("../../examples/concierge/main.go")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/sharing.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, body, _ := strings.Cut(string(source), "package main\n"); !strings.Contains(string(docs), strings.TrimSpace(body)) {
		t.Error("docs/sharing.md prints another program")
	}
	g, addr := listening(t, nil)
	df, dd := newCloud(t, g), newDoordeck(t, g)
	g.start()
	df.connected(g)
	g.identity("acme", doordecksim.AdminAda)
	file := g.minted(t, "concierge", "--events", doorflowsim.AccountA, "--ask", "acme:share")
	example, err := build("concierge", "gatehouse/examples/concierge")
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := exec.CommandContext(t.Context(), example, file, doorflowsim.AccountA, "acme", doordecksim.LockFront), &output{}
	cmd.Env = environment(map[string]string{"NATS_URL": "nats://" + addr})
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	says := func(text string) {
		t.Helper()
		eventually(t, 30*time.Second, func() string {
			if !strings.Contains(out.String(), text) {
				return "it does not say " + text + ": " + out.String()
			}
			return ""
		})
	}
	says("listening")
	var e doorflowsim.Event
	for e.PersonID == nil || e.EventCode < 10 || e.EventCode > 18 {
		spec := df.Random(doorflowsim.AccountA)
		if spec.Code < 10 || spec.Code > 18 || spec.PersonID == 0 {
			continue
		}
		subject := fmt.Sprintf("doorflow-%d", spec.PersonID)
		if _, err := dd.AddUser(doordecksim.User{Subject: subject, Name: subject}); err != nil {
			t.Fatal(err)
		}
		e = df.Emit(doorflowsim.AccountA, spec)
	}
	says(`"status":"applied"`)
	subject := fmt.Sprintf("doorflow-%d", *e.PersonID)
	for _, m := range dd.Users(doordecksim.LockFront) {
		if u, _ := dd.User(m.User); u.Subject == subject && !m.End.IsZero() {
			return
		}
	}
	t.Errorf("%s does not have the lock", subject)
}
