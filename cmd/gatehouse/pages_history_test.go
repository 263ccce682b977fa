package main_test

import (
	"strconv"
	"strings"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
)

// fillHistory writes messages, one a millisecond, and what goes with them, into a database that no gateway has open.
// They are of a writer that the relay does not know, so that it leaves them alone.
func (g *gateway) fillHistory(n int, tn *tenant) {
	t := g.t
	t.Helper()
	db, err := sqldb.Open(t.Context(), g.env["GATEHOUSE_DATABASE_URL"], g.data)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	start := time.Now().Add(-time.Duration(n) * time.Millisecond).UnixMilli()
	names, counting := []string{"{account}", tn.account, "{identity}", tn.identity, "{endpoint}", tn.endpoint, "{lock}", doordecksim.LockFront}, countingSQLite
	if db.Postgres() {
		names, counting = append(names, "AS BLOB", "AS BYTEA"), countingPostgres
	}
	for _, fill := range history {
		names := append(names, "{rows}", strconv.Itoa(n/fill.of))
		if _, err := db.Writer().ExecContext(t.Context(), counting+strings.NewReplacer(names...).Replace(fill.query), start, n/fill.of, fill.of); err != nil {
			t.Fatalf("%s: %v", fill.query, err)
		}
	}
	if db.Postgres() { // as the server does by itself, some time later
		if _, err := db.Writer().ExecContext(t.Context(), `ANALYZE`); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Get(t.Context(), &tn.delivery, `SELECT message_id || '.' || endpoint_id FROM deliveries WHERE state = 'parked' LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	if err := db.Get(t.Context(), &tn.operation, `SELECT id FROM operations ORDER BY seq DESC LIMIT 1`); err != nil {
		t.Fatal(err)
	}
}

// Both give rows with a number, from 1 on, a time, and the id of the message of that time.
const (
	countingSQLite = `WITH RECURSIVE
	r (n, ms) AS (SELECT 1, ?1 UNION ALL SELECT n + 1, ms + ?3 FROM r WHERE n < ?2),
	rows (n, ms, id) AS (SELECT n, ms, printf('%08x-%04x-7000-8000-%012x', ms >> 16, ms & 65535, (n - 1) * ?3 + 1) FROM r) `
	countingPostgres = `WITH
	r (n, ms) AS (SELECT n, $1::bigint + (n - 1) * $3::bigint FROM generate_series(1, $2::bigint) AS n),
	rows (n, ms, id) AS (SELECT n, ms, lpad(to_hex(ms >> 16), 8, '0') || '-' || lpad(to_hex(ms & 65535), 4, '0') || '-7000-8000-' ||
		lpad(to_hex((n - 1) * $3::bigint + 1), 12, '0') FROM r) `
)

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
		SELECT id, '{endpoint}', 4242, (n - 1) * 5 + 1, CASE WHEN n % 100 = 1 THEN 'parked' WHEN n > {rows} * 2 / 3 THEN 'waiting' ELSE 'delivered' END,
			ms * 1000, ms, 1, 0, ms, '', ms, CASE WHEN n > {rows} * 2 / 3 THEN 0 ELSE ms + 40 END FROM rows`},
	{5, `INSERT INTO delivery_attempts (message_id, endpoint_id, n, at, took, outcome, status, answer)
		SELECT id, '{endpoint}', 1, ms, 40, CASE n % 100 WHEN 1 THEN 'failed' ELSE 'delivered' END, CASE n % 100 WHEN 1 THEN 500 ELSE 200 END, '' FROM rows`},
	{10, `INSERT INTO operations (id, caller, identity, caller_id, digest, type, lock, status, stage, waits, people, received_at, deadline_at, due_at, finished_at)
		SELECT id, 'key:front desk', '{identity}', 'visit-' || n, CAST('0' AS BLOB), CASE n % 5 WHEN 0 THEN 'revoke' ELSE 'share' END, '{lock}',
			CASE n % 50 WHEN 0 THEN 'failed' ELSE 'applied' END, 'done', 0, 2, ms, ms, ms, ms + 300 FROM rows`},
	{10, `INSERT INTO operation_parts (operation, n, asked_by, value, provision, role, start_at, end_at, status)
		SELECT id, part, 'email', 'person' || n || '@example.test', '', 'USER', 0, 0, 'applied' FROM rows, (SELECT 0 AS part UNION SELECT 1) AS parts`},
	{10, `INSERT INTO audit_log (id, at, actor_kind, actor, key_id, remote, request_id, action, account, target, outcome, status, started, chain, seq, prev, mac, heads)
		SELECT substr(id, 1, 35) || part, ms + part, 'key', 'front desk', 'x', '10.0.0.7', id, CASE part WHEN 0 THEN 'operation.submit' ELSE 'message.replay' END,
			CASE part WHEN 0 THEN '' ELSE '{account}' END, '{identity}', 'done', 202, '', 0, (n - 1) * 3 + part + 1, CAST('' AS BLOB), CAST('' AS BLOB), '' FROM rows, (SELECT 0 AS part UNION SELECT 1 UNION SELECT 2) AS parts`},
	{10, `INSERT INTO connections (account, status, created_at, connected_at, scopes)
		SELECT 'more' || n, CASE WHEN n % 10 = 0 THEN 'reauthorize' ELSE 'disconnected' END, ms, ms, 'account.person' FROM rows WHERE n <= 10000`},
	{100, `INSERT INTO api_keys (id, hash, name, scopes, created_at) SELECT id, CAST(id AS BLOB), 'key ' || n, '["messages:read"]', ms FROM rows WHERE n <= 900`},
	{100, `INSERT INTO endpoints (id, url, description, subjects, enabled, ordered, concurrency, made_by, secret, began, disabled_reason, created_at, changed_at)
		SELECT id, 'https://bms.example.com/' || n, 'Building ' || n, '["gatehouse.event.>"]', 0, 0, 8, 'front desk', CAST('x' AS BLOB), '{}', 'failing', ms, ms FROM rows WHERE n < 1000`},
	{100, `INSERT INTO identities (name, status, subject, email, email_verified, telephone, telephone_verified, display_name, due_at, created_at)
		SELECT 'more-' || n, 'failed', 'subject-' || n, 'admin' || n || '@example.test', 1, '', 0, 'Admin ' || n, 9000000000000, ms FROM rows WHERE n < 1000`},
}
