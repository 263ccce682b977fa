package main_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"gatehouse/internal/sqldb"
	"gatehouse/migrations"
)

// pageWithin is how long a page may take, however long the history is.
const pageWithin = 50 * time.Millisecond

// Every page answers at once with a long history: of 100,000 messages, or as many as PAGE_MESSAGES says.
func TestPagesAreFastWithALongHistory(t *testing.T) {
	n := 100_000
	if s := os.Getenv("PAGE_MESSAGES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1000 {
			t.Fatalf("PAGE_MESSAGES=%q: want a number from 1000", s)
		}
	}
	env := map[string]string{}
	g := newGateway(t, env)
	newCloud(t, g)
	if err := os.MkdirAll(g.data, 0o700); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	fillHistory(t, g.data, n)
	t.Logf("%d messages were written in %v", n, time.Since(started).Round(time.Millisecond))
	g.start()
	session := g.session(adminToken)
	var page struct {
		Items []struct{ ID string }
		Next  string
	}
	g.call(http.MethodGet, "/v1/messages?limit=500", "").json(t, &page)
	hour := time.Now().UTC().Add(-time.Duration(n/2) * time.Millisecond).Format(time.RFC3339)
	for _, path := range []string{
		"/", "/overview/live", "/connections", "/connect", "/messages", "/messages/" + page.Items[7].ID,
		"/messages/more?after=" + page.Next,
		"/messages?until=" + hour, "/messages?since=" + hour + "&until=" + hour,
		"/messages?account=aX1", "/messages?account=nobody", "/messages?person=Person+7&door=Door+3", "/messages?person=nobody",
		"/messages?subject=" + url.QueryEscape("gatehouse.operation.>"), "/messages?subject=" + url.QueryEscape("gatehouse.event.*.access.>"),
	} {
		best := time.Hour
		for range 5 {
			started := time.Now()
			if a := g.paged(session, http.MethodGet, path, ""); a.status != http.StatusOK {
				t.Fatalf("%s: %d %s", path, a.status, a.body)
			}
			best = min(best, time.Since(started))
		}
		t.Logf("%6.1f ms  %s", float64(best.Microseconds())/1000, path)
		if best > pageWithin {
			t.Errorf("%s took %v", path, best)
		}
	}
}

// fillHistory writes messages, one a millisecond, into a database that no gateway has open. They are of a writer that
// the relay does not know, so that it leaves them alone.
func fillHistory(t *testing.T, dir string, n int) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), "", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := migrations.Up(t.Context(), db.Writer().DB, false); err != nil {
		t.Fatal(err)
	}
	const body = `'{"specversion":"1.0","id":"' || id || '","source":"/doorflow/accounts/aX1","type":"gatehouse.event.access.granted","subject":"events/' || n ||
		'","time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","account":"aX1","origin":"webhook","data":{"channel_id":' || (n % 40) ||
		',"channel_name":"Door ' || (n % 40) || '","created_at":"2026-01-01T00:00:00Z","credentials_number":"****","event_code":11,"event_id":' || n ||
		',"event_label":"Admitted somebody using PIN","id":' || n || ',"person_id":' || (n % 3000) || ',"person_name":"Person ' || (n % 3000) ||
		'","updated_at":"2026-01-01T00:00:00Z"}}'`
	_, err = db.Writer().ExecContext(t.Context(), `INSERT INTO messages (writer, seq, id, account, subject, at, body)
		WITH RECURSIVE r (n, ms) AS (SELECT 1, ? UNION ALL SELECT n + 1, ms + 1 FROM r WHERE n < ?)
		SELECT 1, n, id, 'aX1',
			CASE n % 3 WHEN 0 THEN 'gatehouse.notification.aX1.event.create' ELSE 'gatehouse.event.aX1.access.granted' END, ms, CAST(`+body+` AS BLOB)
		FROM (SELECT n, ms, printf('%08x-%04x-7000-8000-%012x', ms >> 16, ms & 65535, n) AS id FROM r)`,
		time.Now().Add(-time.Duration(n)*time.Millisecond).UnixMilli(), n)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "gatehouse.db")); err == nil {
		t.Logf("the database has %d MB", info.Size()>>20)
	}
}
