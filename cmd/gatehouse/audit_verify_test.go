package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

// verified runs `audit verify` and returns its exit code and report.
func verified(t *testing.T, vars map[string]string, args ...string) (int, audit.Report) {
	t.Helper()
	code, stdout, stderr := command(t, vars, append([]string{"audit", "verify", "--json"}, args...)...)
	var r audit.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	return code, r
}

// alone is the environment of a command that opens the data directory.
func (g *gateway) alone() map[string]string { return map[string]string{"GATEHOUSE_DATA_DIR": g.data} }

// act makes connect links, each of which is an entry, until ctx ends, and counts those that were answered.
func (g *gateway) act(ctx context.Context, answered *atomic.Int64) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/connect-links", strings.NewReader(`{}`))
		if err != nil {
			g.t.Error(err)
			return
		}
		req.Header = http.Header{"Authorization": {"Bearer " + adminToken}, "Content-Type": {"application/json"}}
		resp, err := probe.Do(req)
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusCreated {
			answered.Add(1)
		}
	}
}

// actThrough lets several act on gateways at once, kills one in the middle of it, and returns how many acts were
// answered, by the others also after that.
func actThrough(t *testing.T, killed *gateway, others ...*gateway) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var answered atomic.Int64
	var wg sync.WaitGroup
	for _, g := range append(others, killed) {
		for range 3 {
			wg.Go(func() { g.act(ctx, &answered) })
		}
	}
	more := func(n int64) {
		t.Helper()
		n += answered.Load()
		eventually(t, 30*time.Second, func() string {
			if have := answered.Load(); have < n {
				return fmt.Sprintf("%d of %d acts are answered", have, n)
			}
			return ""
		})
	}
	more(10)
	killed.kill()
	if len(others) > 0 {
		more(10)
	}
	cancel()
	wg.Wait()
	return int(answered.Load())
}

// A gateway that is killed in the middle of its work leaves a chain that verifies, and everything that it
// answered is in it. What somebody then does to the database is found.
func TestTheAuditLogAfterACrash(t *testing.T) {
	g := newGateway(t, nil).start()
	answered := 0
	for range 3 {
		answered += actThrough(t, g)
		g.start()
	}
	code, report := verified(t, g.caller())
	if code != 0 || len(report.Faults) != 0 || report.Chains != 1 || report.Entries < int64(answered) || answered < 5 {
		t.Fatalf("exit code %d after %d answers: %+v", code, answered, report)
	}
	kept := report.Head
	g.stop()
	if err := os.Remove(filepath.Join(g.data, "lock")); err != nil { // a restored backup has none
		t.Fatal(err)
	}
	if code, offline := verified(t, g.alone(), "--head="+kept); code != 0 || offline.Head != kept || len(offline.Faults) != 0 {
		t.Fatalf("exit code %d: %+v", code, offline)
	}
	spoil := func(statements ...string) {
		t.Helper()
		g.withData(func(db *sqldb.DB, _ string) {
			for _, s := range statements {
				if _, err := db.Writer().ExecContext(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	spoil(`DROP TRIGGER audit_log_no_update`, `DROP TRIGGER audit_log_no_delete`,
		fmt.Sprintf(`DELETE FROM audit_log WHERE seq = %d`, report.Entries))
	if code, cut := verified(t, g.alone()); code != 0 {
		t.Fatalf("exit code %d: %+v", code, cut) // nothing that is left knows of it
	}
	spoil(`UPDATE audit_log SET actor = 'somebody else' WHERE seq = 3`)
	for name, vars := range map[string]map[string]string{"alone": g.alone(), "beside": g.caller()} {
		if name == "beside" {
			g.start()
		}
		code, bad := verified(t, vars)
		if code != 1 || len(bad.Faults) != 1 || bad.Faults[0].Kind != audit.Changed || bad.Faults[0].Seq != 3 {
			t.Errorf("%s: exit code %d: %+v", name, code, bad)
		}
		g.kill()
	}
	spoil(`DELETE FROM audit_log WHERE seq = 3`, fmt.Sprintf(`DELETE FROM audit_log WHERE seq > %d`, 2))
	code, stdout, stderr := command(t, g.alone(), "audit", "verify", "--head", kept)
	if code != 1 || !strings.Contains(stdout, "chain 1, entry 3: cut off") || !strings.Contains(stdout, "NOT AS IT WAS WRITTEN") || stderr != "" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// Two replicas act at once, one is killed, the keys are exchanged: the chains verify, for a gateway that is asked
// and for a command that opens the database itself.
func TestTheAuditLogOfReplicas(t *testing.T) {
	t.Parallel()
	database := sqldbtest.PostgresURL(t)
	replicas := shared(t, database, newNATS(t), 2)
	one, two := replicas[0].start(), replicas[1].start()
	answered := actThrough(t, two, one)
	ask := func(path string, want int) {
		t.Helper()
		eventually(t, 20*time.Second, func() string { // the key has just asked for more than it may
			if a := one.call(http.MethodPost, path, `{}`); a.status != want {
				return fmt.Sprintf("%s: %d %s", path, a.status, a.body)
			}
			return ""
		})
	}
	ask("/v1/keys/rotate", http.StatusAccepted)
	one.awaitRotated(time.Minute) // the one that is dead counts as alive for a while
	ask("/v1/connect-links", http.StatusCreated)
	code, report := verified(t, one.caller())
	if code != 0 || len(report.Faults) != 0 || report.Entries < int64(answered)+2 || answered < 5 {
		t.Fatalf("exit code %d after %d answers: %+v", code, answered, report)
	}
	t.Logf("%d entries in %d chains", report.Entries, report.Chains)
	vars := map[string]string{"GATEHOUSE_DATABASE_URL": database, "GATEHOUSE_KEYSET_FILE": one.env["GATEHOUSE_KEYSET_FILE"]}
	if code, direct := verified(t, vars, "--head="+report.Head); code != 0 || direct.Entries < report.Entries {
		t.Fatalf("exit code %d: %+v", code, direct)
	}
}

// The head is published when a gateway starts, in the gateway's own NATS account and in no stream, and logged.
func TestTheHeadIsPublished(t *testing.T) {
	n := newNATS(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": n.url(), "GATEHOUSE_LOG_LEVEL": "info", "GATEHOUSE_LOG_FORMAT": "json"})
	conn, err := nats.Connect(n.url(), unhurried())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	heard, err := conn.SubscribeSync("gatehouse.audit.head")
	if err != nil {
		t.Fatal(err)
	}
	must(t, conn.Flush())
	head := func() string {
		t.Helper()
		msg, err := heard.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var m events.Message
		var data struct{ Head *string }
		if err := json.Unmarshal(msg.Data, &m); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data, &data); err != nil || data.Head == nil || m.Type != "gatehouse.audit.head" || m.Source != "/gatehouse" ||
			msg.Header.Get("Content-Type") != events.ContentType || m.SpecVersion != "1.0" {
			t.Fatalf("%s, %v", msg.Data, err)
		}
		return *data.Head
	}
	g.start()
	if first := head(); first != "" {
		t.Errorf("a new gateway says %q", first)
	}
	if a := g.call(http.MethodPost, "/v1/connect-links", `{}`); a.status != http.StatusCreated {
		t.Fatal(a.status)
	}
	g.stop()
	g.start()
	said := head()
	if !strings.HasPrefix(said, "1:1:") || !strings.Contains(g.log(), `"msg":"audit head","head":"`+said+`"`) {
		t.Errorf("the head is %q", said)
	}
	if code, report := verified(t, g.caller(), "--head", said); code != 0 || report.Head != said {
		t.Errorf("exit code %d: %+v", code, report)
	}
}
