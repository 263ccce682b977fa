package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/doorflow/doorflowsim"
)

// The files below testdata are sessions at the command line. A gateway and a simulated DoorFlow run beside
// them. Two commands are no programs: "allow" opens the connect link that was printed last and allows it in
// DoorFlow's page, "happens" lets events of a code happen at DoorFlow and waits until they were fetched.
func TestScripts(t *testing.T) {
	// A building that takes what comes to /in, and nothing else.
	building := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/in" {
			http.Error(w, "nobody lives here", http.StatusNotFound)
		}
	}))
	t.Cleanup(building.Close) // the sessions run beside each other, after this function
	g := newGateway(t, map[string]string{"GATEHOUSE_RETURN_URLS": "https://visitors.example.com", "GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"})
	df := newCloud(t, g)
	g.start()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", binaries+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("GATEHOUSE_URL", g.url)
			e.Setenv("GATEHOUSE_TOKEN", adminToken)
			e.Setenv("WEBHOOK_SECRET", webhookSecret)
			e.Setenv("FREE", freeAddr(t))
			e.Setenv("BUILDING", building.URL)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"allow":   func(ts *testscript.TestScript, _ bool, _ []string) { allow(t, ts) },
			"happens": func(ts *testscript.TestScript, _ bool, args []string) { happens(ts, g, df, args) },
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

var linkPrinted = regexp.MustCompile(`http://\S+/oauth/start/[^\s"]+`)

func allow(t *testing.T, ts *testscript.TestScript) {
	link := linkPrinted.FindString(ts.ReadFile("stdout"))
	if link == "" {
		ts.Fatalf("no connect link was printed")
	}
	if p := walk(t, link, "allow"); p.status != 200 {
		ts.Fatalf("the callback answered %d", p.status)
	}
}

// happens waits for what the gateway says of the events: DoorFlow knows them as fetched a little earlier.
func happens(ts *testscript.TestScript, g *gateway, df *cloud, args []string) {
	before := said(g)
	for _, arg := range args {
		code, err := strconv.Atoi(arg)
		ts.Check(err)
		df.Emit(doorflowsim.AccountA, doorflowsim.EventSpec{Code: code, ChannelID: 5012, PersonID: 4821})
	}
	for deadline := time.Now().Add(time.Minute); said(g) < before+len(args); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s were not fetched", strings.Join(args, " "))
		}
	}
}

// said is how many events the gateway has told of.
func said(g *gateway) int {
	var page struct{ Items []json.RawMessage }
	g.call(http.MethodGet, "/v1/messages?limit=500&subject="+url.QueryEscape("gatehouse.event.>"), "").json(g.t, &page)
	return len(page.Items)
}

func acknowledged(df *cloud) int {
	n := 0
	for _, e := range df.Ledger() {
		if e.Acknowledged {
			n++
		}
	}
	return n
}
