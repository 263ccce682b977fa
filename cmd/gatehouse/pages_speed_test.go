package main_test

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb"
)

// pageWithin is how long a page may take, however long the history is.
const pageWithin = 50 * time.Millisecond

// Every page answers at once with a long history: of 100,000 messages, or as many as PAGE_MESSAGES says, and for each
// hundred of them 20 deliveries, 10 operations and 30 entries of the audit log.
func TestPagesAreFastWithALongHistory(t *testing.T) {
	n := 100_000
	if s := os.Getenv("PAGE_MESSAGES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1000 {
			t.Fatalf("PAGE_MESSAGES=%q: want a number from 1000", s)
		}
	}
	g := newGateway(t, nil)
	df := newCloud(t, g)
	newDoordeck(t, g)
	g.start()
	df.connected(g)
	tn := &tenant{account: doorflowsim.AccountA, identity: "acme"}
	g.identity(tn.identity, doordecksim.AdminAda)
	var link, made struct{ ID string }
	g.call(http.MethodPost, "/v1/connect-links", `{"account":"`+tn.account+`"}`).json(t, &link)
	g.call(http.MethodPost, "/v1/endpoints", `{"url":"https://bms.example.com/hook","subjects":["gatehouse.event.>"],"enabled":false}`).json(t, &made)
	tn.open, tn.endpoint = link.ID, made.ID
	g.stop()
	started := time.Now()
	fillHistory(t, g.data, n, tn)
	t.Logf("%d messages, and what goes with them, were written in %v", n, time.Since(started).Round(time.Millisecond))
	g.start()

	session := g.session(adminToken)
	var page struct {
		Items []struct{ ID string }
		Next  string
	}
	g.call(http.MethodGet, "/v1/messages?limit=500&subject=gatehouse.event.*.access.*", "").json(t, &page)
	for _, m := range page.Items {
		tn.messages = append(tn.messages, m.ID)
	}
	hour := time.Now().UTC().Add(-time.Duration(n/2) * time.Millisecond).Format(time.RFC3339)
	paths := []string{
		"/messages/more?after=" + page.Next, "/messages?until=" + hour, "/messages?since=" + hour + "&until=" + hour,
		"/messages?account=" + tn.account, "/messages?account=nobody", "/messages?person=Person+7&door=Door+3", "/messages?person=nobody",
		"/messages?subject=" + url.QueryEscape("gatehouse.operation.>"), "/messages?subject=" + url.QueryEscape("gatehouse.event.*.access.>"),
		"/endpoints/" + tn.endpoint + "?status=parked", "/operations?status=failed", "/operations?status=expired", "/operations?identity=acme&lock=" + doordecksim.LockFront,
		"/operations?since=" + hour, "/operations?until=" + hour, "/audit?actor=front+desk", "/audit?action=message.replay", "/audit?outcome=refused", "/audit?account=" + tn.account,
		"/audit?since=" + hour, "/audit?until=" + hour, "/doors/acme?search=front",
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if r := pages[name]; method(name) == http.MethodGet && !r.live {
			path, _ := r.ask(tn)
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		best, status := time.Hour, 0
		for range 5 {
			a, took := g.timed(session, path)
			best, status = min(best, took), a.status
			if a.status >= 500 {
				t.Fatalf("%s: %d %s", path, a.status, a.body)
			}
		}
		t.Logf("%6.1f ms  %d  %s", float64(best.Microseconds())/1000, status, path)
		if best > pageWithin {
			t.Errorf("%s took %v", path, best)
		}
	}
}

// timed asks for a page, again where a key has asked for too much.
func (g *gateway) timed(session *http.Cookie, path string) (answer, time.Duration) {
	g.t.Helper()
	for {
		started := time.Now()
		a := g.paged(session, http.MethodGet, path, "")
		if a.status != http.StatusTooManyRequests {
			return a, time.Since(started)
		}
		seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
		time.Sleep(time.Duration(max(seconds, 1)) * time.Second) // as the answer asks
	}
}

// fillHistory writes messages, one a millisecond, and what goes with them, into a database that no gateway has open.
// They are of a writer that the relay does not know, so that it leaves them alone.
func fillHistory(t *testing.T, dir string, n int, tn *tenant) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	start := time.Now().Add(-time.Duration(n) * time.Millisecond).UnixMilli()
	for _, fill := range history {
		query := strings.NewReplacer("{account}", tn.account, "{identity}", tn.identity, "{endpoint}", tn.endpoint, "{lock}", doordecksim.LockFront).Replace(fill.query)
		if _, err := db.Writer().ExecContext(t.Context(), counting+query, start, n/fill.of, fill.of); err != nil {
			t.Fatalf("%s: %v", fill.query, err)
		}
	}
	if err := db.Get(t.Context(), &tn.delivery, `SELECT message_id || '.' || endpoint_id FROM deliveries WHERE state = 'parked' LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	if err := db.Get(t.Context(), &tn.operation, `SELECT id FROM operations ORDER BY seq DESC LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "gatehouse.db")); err == nil {
		t.Logf("the database has %d MB", info.Size()>>20)
	}
}

// counting gives rows with a number, from 1 on, a time, and the id of the message of that time.
const counting = `WITH RECURSIVE
	r (n, ms) AS (SELECT 1, ?1 UNION ALL SELECT n + 1, ms + ?3 FROM r WHERE n < ?2),
	rows (n, ms, id) AS (SELECT n, ms, printf('%08x-%04x-7000-8000-%012x', ms >> 16, ms & 65535, (n - 1) * ?3 + 1) FROM r) `

// history is what is written: one row for so many messages.
var history = []struct {
	of    int
	query string
}{
	{1, `INSERT INTO messages (writer, seq, id, account, subject, at, body)
		SELECT 4242, n, id, '{account}', CASE n % 3 WHEN 0 THEN 'gatehouse.notification.{account}.event.create' ELSE 'gatehouse.event.{account}.access.granted' END, ms,
			CAST('{"specversion":"1.0","id":"' || id || '","source":"/doorflow/accounts/{account}","type":"gatehouse.event.access.granted","subject":"events/' || n ||
			'","time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","account":"{account}","origin":"webhook","data":{"channel_id":' || (n % 40) ||
			',"channel_name":"Door ' || (n % 40) || '","created_at":"2026-01-01T00:00:00Z","credentials_number":"****","event_code":11,"event_id":' || n ||
			',"event_label":"Admitted somebody using PIN","id":' || n || ',"person_id":' || (n % 3000) || ',"person_name":"Person ' || (n % 3000) ||
			'","updated_at":"2026-01-01T00:00:00Z"}}' AS BLOB)
		FROM rows`},
	{3, `INSERT INTO notifications (key, account, resource_type, resource_id, action, path, ack_token, callback, flag, state, due_at, message_id, received_at)
		SELECT CAST(id AS BLOB), '{account}', 'event', n, 'create', '/api/3/events/' || n, '', '', '', 'done', 0, id, ms FROM rows`},
	{5, `INSERT INTO deliveries (message_id, endpoint_id, writer, seq, state, place, due_at, attempts, round_from, round_at, holder, created_at, settled_at)
		SELECT id, '{endpoint}', 4242, (n - 1) * 5 + 1, CASE WHEN n % 100 = 1 THEN 'parked' WHEN n % 100 = 2 THEN 'waiting' ELSE 'delivered' END,
			ms * 1000, ms, 1, 0, ms, '', ms, CASE n % 100 WHEN 2 THEN 0 ELSE ms + 40 END FROM rows`},
	{5, `INSERT INTO delivery_attempts (message_id, endpoint_id, n, at, took, outcome, status, answer)
		SELECT id, '{endpoint}', 1, ms, 40, CASE n % 100 WHEN 1 THEN 'failed' ELSE 'delivered' END, CASE n % 100 WHEN 1 THEN 500 ELSE 200 END, '' FROM rows`},
	{10, `INSERT INTO operations (id, caller, identity, caller_id, digest, type, lock, status, stage, waits, people, received_at, deadline_at, due_at, finished_at)
		SELECT id, 'key:front desk', '{identity}', 'visit-' || n, x'00', CASE n % 5 WHEN 0 THEN 'revoke' ELSE 'share' END, '{lock}',
			CASE n % 50 WHEN 0 THEN 'failed' ELSE 'applied' END, 'done', 0, 2, ms, ms, ms, ms + 300 FROM rows`},
	{10, `INSERT INTO operation_parts (operation, n, asked_by, value, provision, role, start_at, end_at, status)
		SELECT id, part, 'email', 'person' || n || '@example.test', '', 'USER', 0, 0, 'applied' FROM rows, (SELECT 0 AS part UNION SELECT 1)`},
	{10, `INSERT INTO audit_log (id, at, actor_kind, actor, key_id, remote, request_id, action, account, target, outcome, status, started, chain, seq, prev, mac, heads)
		SELECT substr(id, 1, 35) || part, ms + part, 'key', 'front desk', 'x', '10.0.0.7', id, CASE part WHEN 0 THEN 'operation.submit' ELSE 'message.replay' END,
			'', '{identity}', 'done', 202, '', 0, (n - 1) * 3 + part + 1, x'', x'', '' FROM rows, (SELECT 0 AS part UNION SELECT 1 UNION SELECT 2)`},
	{500, `INSERT INTO connections (account, status, created_at, connected_at, scopes) SELECT 'more' || n, 'disconnected', ms, ms, 'account.person' FROM rows`},
	{500, `INSERT INTO api_keys (id, hash, name, scopes, created_at) SELECT id, CAST(id AS BLOB), 'key ' || n, '["messages:read"]', ms FROM rows WHERE n <= 500`},
}
