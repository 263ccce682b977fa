package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
)

// output is what a running program has printed so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// visitorKey makes an API key as the documentation says.
func (g *gateway) visitorKey(t *testing.T) string {
	t.Helper()
	code, key, stderr := command(t, g.caller(), "api-keys", "create", "visitors",
		"--scope=doorflow:read,doorflow:write,messages:read,operations:write,operations:provision",
		"--account="+doorflowsim.AccountA, "--identity=acme")
	if code != 0 {
		t.Fatal(key, stderr)
	}
	return strings.TrimSpace(key)
}

// The story that people come for, told by the program that the documentation prints: a visitor gets a PIN,
// comes in, and cannot come in any more.
func TestTheVisitorExample(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	df, dd := newCloud(t, g), newDoordeck(t, g)
	g.start()
	df.connected(g)
	g.identity("acme", doordecksim.AdminAda)
	key := g.visitorKey(t)
	example, err := build("visitor", "gatehouse/examples/visitor")
	if err != nil {
		t.Fatal(err)
	}
	start := func(args ...string) (*exec.Cmd, *output) {
		cmd, out := exec.CommandContext(t.Context(), example, append([]string{"-account=" + doorflowsim.AccountA, "-visit=visit-8841", "-first=Lee", "-last=Ann"}, args...)...), &output{}
		cmd.Env = environment(map[string]string{"GATEHOUSE_URL": g.url, "GATEHOUSE_TOKEN": key})
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, out
	}
	begins, ends := time.Now().UTC().Add(-time.Hour).Truncate(time.Second), time.Now().UTC().Add(3*time.Hour).Truncate(time.Second)
	cmd, out := start("-group=12", "-from="+begins.Format(time.RFC3339), "-until="+ends.Format(time.RFC3339),
		"-identity=acme", "-lock="+doordecksim.LockFront, "-email=lee@example.test")
	var pin string
	eventually(t, 30*time.Second, func() string {
		m := regexp.MustCompile(`Lee Ann may come in until \d\d:\d\d\. The PIN is (\d{4,8})\n`).FindStringSubmatch(out.String())
		if m == nil {
			return "the visitor has no PIN: " + out.String()
		}
		pin = m[1]
		if !strings.Contains(out.String(), "The lock is shared with lee@example.test: applied\n") {
			return "the visitor has no lock: " + out.String()
		}
		return ""
	})
	visitor := func(m doordecksim.Member) bool { return m.Start.Equal(begins) && m.End.Equal(ends) }
	if !slices.ContainsFunc(dd.Users(doordecksim.LockFront), visitor) {
		t.Errorf("from nine to five the lock is open for none of %v", dd.Users(doordecksim.LockFront))
	}
	token, _ := df.Grant(doorflowsim.AccountA, "account.person")
	var people []struct{ ID int }
	must(t, json.Unmarshal(request(t, token, http.MethodGet, df.url+"/api/3/people?system_id=visit-8841", "", 200), &people))
	if len(people) != 1 {
		t.Fatalf("%d people were made", len(people))
	}
	somebody := doorflowsim.EventSpec{Code: 11, PersonID: 4821, ChannelID: 5012, CredentialsNumber: "604219"}
	df.Emit(doorflowsim.AccountA, somebody)
	df.Emit(doorflowsim.AccountA, doorflowsim.EventSpec{Code: 11, PersonID: people[0].ID, ChannelID: 5027, CredentialsNumber: pin})
	eventually(t, 30*time.Second, func() string {
		if !strings.Contains(out.String(), "Lee Ann came in: Workshop\n") {
			return "nobody came in: " + out.String()
		}
		return ""
	})

	df.Advance(time.Minute) // DoorFlow wants half a minute between two syncs
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	credentials := string(request(t, token, http.MethodGet, fmt.Sprintf("%s/api/3/people/%d/credentials", df.url, people[0].ID), "", 200))
	if strings.TrimSpace(credentials) != "[]" || !strings.Contains(out.String(), "Lee Ann can no longer come in.\n") || strings.Contains(out.String(), "Ana") {
		t.Errorf("%s is left, %s", credentials, out)
	}
	if slices.ContainsFunc(dd.Users(doordecksim.LockFront), visitor) {
		t.Error("the visitor still has the lock")
	}
	visitorWasAudited(t, g, people[0].ID)

	// The same visit again finds the person, and ends by itself when it is time.
	df.Advance(time.Minute)
	cmd, out = start("-until=" + time.Now().UTC().Add(8*time.Second).Format(time.RFC3339))
	eventually(t, 30*time.Second, func() string {
		if !strings.Contains(out.String(), "The PIN is") {
			return "the visitor has no PIN: " + out.String()
		}
		return ""
	})
	df.Advance(time.Minute)
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "Lee Ann can no longer come in.\n") {
		t.Errorf("%v: %s", err, out)
	}
	must(t, json.Unmarshal(request(t, token, http.MethodGet, df.url+"/api/3/people?system_id=visit-8841", "", 200), &people))
	if len(people) != 1 {
		t.Errorf("%d people are there after two runs", len(people))
	}
	for place, text := range map[string]string{"the log": g.log(), "the data directory": string(files(t, g.data))} {
		if strings.Contains(text, pin) {
			t.Errorf("the PIN is in %s", place)
		}
	}
}

func visitorWasAudited(t *testing.T, g *gateway, person int) {
	t.Helper()
	var got []string
	for _, e := range g.audited("--actor=visitors") {
		if e.Outcome != "started" && e.Action == "doorflow.write" {
			got = append(got, fmt.Sprint(e.Action, " ", e.Account, " ", e.Target, " ", e.Outcome, " ", e.Status))
		}
	}
	credential := regexp.MustCompile(`credentials/\w+`)
	want := fmt.Sprintf(`doorflow.write %[1]s POST /api/3/people done 201
doorflow.write %[1]s POST /api/3/people/%[2]d/credentials done 201
doorflow.write %[1]s POST /api/3/sync done 200
doorflow.write %[1]s DELETE /api/3/people/%[2]d/credentials/… done 200
doorflow.write %[1]s POST /api/3/sync done 200`, doorflowsim.AccountA, person)
	if s := credential.ReplaceAllString(strings.Join(got, "\n"), "credentials/…"); s != want {
		t.Errorf("audited:\n%s\nwant:\n%s", s, want)
	}
}

// Every piece of Go that the documentation shows stands in the example, word for word.
func TestTheDocumentationPrintsTheExample(t *testing.T) {
	docs, err := os.ReadFile("../../docs/integrating.md")
	must(t, err)
	var example []byte
	for _, name := range []string{"main.go", "gateway.go", "door.go"} {
		source, err := os.ReadFile("../../examples/visitor/" + name)
		must(t, err)
		example = append(example, source...)
	}
	pieces := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatch(docs, -1)
	if len(pieces) < 10 {
		t.Errorf("docs/integrating.md shows only %d pieces", len(pieces))
	}
	for _, m := range pieces {
		if !bytes.Contains(example, m[1]) {
			t.Errorf("docs/integrating.md shows what does not stand in examples/visitor:\n%s", m[1])
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
