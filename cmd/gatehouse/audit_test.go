package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/audit"
)

// audited asks the program for its audit log, oldest first.
func (g *gateway) audited(args ...string) []audit.Stored {
	g.t.Helper()
	code, stdout, stderr := command(g.t.(*testing.T), g.caller(), append([]string{"audit", "--json"}, args...)...)
	var entries []audit.Stored
	if err := json.Unmarshal([]byte(stdout), &entries); code != 0 || err != nil {
		g.t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	slices.Reverse(entries)
	return entries
}

// caller is the environment of a command that talks to the gateway.
func (g *gateway) caller() map[string]string {
	return map[string]string{"GATEHOUSE_URL": g.url, "GATEHOUSE_TOKEN": adminToken}
}

func TestConnectingAndDisconnectingIsAudited(t *testing.T) {
	g := newGateway(t, nil)
	df := newCloud(t, g)
	g.start()
	df.connected(g)
	if a := g.call(http.MethodDelete, "/v1/connections/"+doorflowsim.AccountA, ""); a.status != http.StatusOK {
		t.Fatal(a.status, string(a.body))
	}
	// Once more changes nothing, so there is nothing to record.
	g.call(http.MethodDelete, "/v1/connections/"+doorflowsim.AccountA, "")

	entries := g.audited()
	want := []struct{ kind, actor, action, account string }{
		{"key", "admin", "connect_link.create", ""},
		{"browser", "", "connection.connect", doorflowsim.AccountA},
		{"key", "admin", "connection.disconnect", doorflowsim.AccountA},
	}
	if len(entries) != len(want) {
		t.Fatalf("%d entries: %+v", len(entries), entries)
	}
	for i, w := range want {
		e := entries[i]
		if e.ActorKind != w.kind || e.Actor != w.actor || e.Action != w.action || e.Account != w.account || e.Outcome != "done" ||
			e.Remote != "127.0.0.1" || e.RequestID == "" || e.Target == "" {
			t.Errorf("entry %d is %+v, want %+v", i, e, w)
		}
	}
	if entries[0].Target != entries[1].Target {
		t.Errorf("the link is %q when made and %q when used", entries[0].Target, entries[1].Target)
	}
	if only := g.audited("--action=connection.disconnect", "--actor=admin", "--since=1h"); len(only) != 1 || only[0].ID != entries[2].ID {
		t.Errorf("%+v", only)
	}
	code, stdout, stderr := command(t, g.caller(), "audit", "--limit=2")
	if code != 0 || strings.Count(stdout, "\n") != 3 || !strings.Contains(stdout, "key admin") || !strings.Contains(stdout, "browser") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// A write that was under way when the gateway was killed stays in the log as what it is: begun.
func TestAWriteThatACrashCutsOff(t *testing.T) {
	g := newGateway(t, nil)
	df := newCloud(t, g)
	g.start()
	df.connected(g)
	df.Faults().SlowAPI(time.Minute)
	const path = "/api/3/people"
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, g.url+"/v1/connections/"+doorflowsim.AccountA+"/doorflow"+path,
			strings.NewReader(`{"first_name":"Lee","last_name":"Ann"}`))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header = http.Header{"Authorization": {"Bearer " + adminToken}, "Content-Type": {"application/json"}}
		if resp, err := probe.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("it was answered %d", resp.StatusCode)
		}
	}()
	eventually(t, 20*time.Second, func() string {
		if df.Stats().Requests["POST /api/3/people"] == 0 {
			return "the write has not reached DoorFlow"
		}
		return ""
	})
	g.kill()
	<-ended
	df.Faults().Reset()
	g.start()
	entries := g.audited("--action=doorflow.write")
	if len(entries) != 1 || entries[0].Outcome != "started" || entries[0].Target != "POST "+path || entries[0].Account != doorflowsim.AccountA {
		t.Errorf("%+v", entries)
	}
}
