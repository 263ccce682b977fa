package webhooks_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// insert writes a notification as it would stand after a while.
func (g *gateway) insert(t *testing.T, key, account, state string, age time.Duration) {
	t.Helper()
	at := time.Now().Add(-age).UnixMilli()
	const query = `INSERT INTO notifications (key, account, resource_type, resource_id, action, path, ack_token, callback, flag, state, due_at, message_id, received_at)
		VALUES (?, ?, 'Event', '1', 'CREATE', '', '', '', '', ?, ?, '', ?)`
	if _, err := g.db.Writer().ExecContext(t.Context(), g.db.Writer().Rebind(query), []byte(key), account, state, at, at); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) connect(t *testing.T, account, status string) {
	t.Helper()
	const query = `INSERT INTO connections (account, status, created_at) VALUES (?, ?, 0)`
	if _, err := g.db.Writer().ExecContext(t.Context(), g.db.Writer().Rebind(query), account, status); err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) sweep(t *testing.T) {
	t.Helper()
	f := newFetcher(t, g, newCloud(t, eventAnswer))
	if err := events.NewRetention(g.log, quiet, f.Pruners(24*time.Hour)...).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPruneKeepsWhatIsNeeded(t *testing.T) {
	const young, old = 6 * 24 * time.Hour, 8 * 24 * time.Hour
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		g.connect(t, "on", "active")
		g.connect(t, "again", "reauthorize")
		g.connect(t, "off", "disconnected")
		for _, tt := range []struct {
			account, state string
			age            time.Duration
			kept           bool
		}{
			{"on", "done", young, true},
			{"on", "done", old, false},
			{"on", "gone", old, false},
			{"on", "flagged", old, false},
			{"on", "open", old, true},
			{"on", "parked", old, true},
			{"again", "open", old, true},
			{"again", "parked", old, true},
			{"off", "open", young, true},
			{"off", "open", old, false},
			{"off", "parked", young, true},
			{"off", "parked", old, false},
			{"stranger", "open", young, true},
			{"stranger", "open", old, false},
			{"stranger", "flagged", old, false},
		} {
			key := fmt.Sprintf("%s/%s/%s/%v", tt.account, tt.state, tt.age, tt.kept)
			g.insert(t, key, tt.account, tt.state, tt.age)
		}
		g.sweep(t)
		var keys []string
		if err := db.Select(t.Context(), &keys, `SELECT key FROM notifications`); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if strings.HasSuffix(key, "false") {
				t.Errorf("%s is still there", key)
			}
		}
		if len(keys) != 8 {
			t.Errorf("%d rows left, want 8: %s", len(keys), keys)
		}
	})
}

func TestPruneRemovesOldEventKeys(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		const query = `INSERT INTO events (account, event_id, message_id, at) VALUES ('a', ?, '', ?)`
		for i := range 1200 {
			at := time.Now().Add(-8 * 24 * time.Hour).UnixMilli()
			if i >= 1100 {
				at = time.Now().UnixMilli()
			}
			if _, err := db.Writer().ExecContext(t.Context(), db.Writer().Rebind(query), fmt.Sprint(i), at); err != nil {
				t.Fatal(err)
			}
		}
		g.sweep(t)
		if n := g.count(t, `SELECT COUNT(*) FROM events`); n != 100 {
			t.Errorf("%d keys left, want the 100 new ones", n)
		}
	})
}

// What catching up has said is not said again when its webhook can be fetched at last.
func TestPruneKeepsTheKeysOfWhatWaits(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		g.connect(t, "open", "active")
		g.connect(t, "parked", "active")
		g.connect(t, "done", "active")
		for _, state := range []string{"open", "parked", "done"} {
			g.insert(t, state, state, state, 9*24*time.Hour)
			g.set(t, `INSERT INTO events (account, event_id, message_id, at) VALUES (?, '1', '', ?)`, state, time.Now().Add(-8*24*time.Hour).UnixMilli())
		}
		g.sweep(t)
		if all, needed := g.count(t, `SELECT COUNT(*) FROM events`), g.count(t, `SELECT COUNT(*) FROM events WHERE account <> 'done'`); all != 2 || needed != 2 {
			t.Errorf("%d keys are left, %d of those that are needed; want those 2", all, needed)
		}
	})
}

// However long an account has not been compared: the keys of what a look begins with are there.
func TestPruneKeepsTheKeysThatCatchingUpNeeds(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		stood := time.Now().Add(-30 * 24 * time.Hour)
		g.set(t, `INSERT INTO catchup (account, since_at, watermark) VALUES ('a', 0, ?)`, stood.UnixMilli())
		for kind, at := range map[string]time.Time{
			"a":     stood.Add(-webhooks.Overlap - 20*time.Hour), // stays: our clock may have been so far behind
			"gone":  stood,
			"a-old": stood.Add(-48 * time.Hour),
		} {
			const some = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
				INSERT INTO events (account, event_id, message_id, at) SELECT '%s', '%s' || i, '', %d + i FROM n`
			g.set(t, fmt.Sprintf(some, strings.TrimSuffix(kind, "-old"), kind, at.UnixMilli())) // more than one step removes
		}
		g.sweep(t)
		if all, a := g.count(t, `SELECT COUNT(*) FROM events`), g.count(t, `SELECT COUNT(*) FROM events WHERE event_id NOT LIKE '%old%' AND account = 'a'`); all != 1200 || a != 1200 {
			t.Errorf("%d keys are left, %d of those that are needed; want those 1200", all, a)
		}
	})
}

func TestPruneBoundsWhatWaitsForStrangers(t *testing.T) {
	db := sqldbtest.SQLite(t)
	g := open(t, db)
	g.connect(t, "on", "active")
	for account, n := range map[string]int{"on": 10_100, "stranger": 10_700} {
		const query = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO notifications (key, account, resource_type, resource_id, action, path, ack_token, callback, flag, state, due_at, message_id, received_at)
			SELECT CAST(? || i AS BLOB), ?, 'Event', i, 'CREATE', '', '', '', '', 'open', ? + i, '', ? + i FROM n`
		now := time.Now().UnixMilli()
		if _, err := db.Writer().ExecContext(t.Context(), query, n, account, account, now, now); err != nil {
			t.Fatal(err)
		}
	}
	g.sweep(t)
	if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE account = 'on'`); n != 10_100 {
		t.Errorf("%d of a connected account's 10100 are left", n)
	}
	if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE account = 'stranger'`); n != 10_000 {
		t.Errorf("%d of a stranger's are left, want 10000", n)
	}
	if n := g.count(t, `SELECT MIN(CAST(resource_id AS INTEGER)) FROM notifications WHERE account = 'stranger'`); n != 701 {
		t.Errorf("the oldest left is number %d, want 701", n)
	}
}

// What runs every few seconds, or inside the committer, reads few rows however many there are.
func TestPlansUseIndexes(t *testing.T) {
	db := sqldbtest.SQLite(t)
	g := open(t, db)
	for i := range 500 {
		g.insert(t, fmt.Sprint(i), fmt.Sprint("a", i%7), []string{"open", "done", "parked", "gone", "flagged"}[i%5], time.Duration(i)*time.Minute)
	}
	if _, err := db.Writer().ExecContext(t.Context(), `ANALYZE`); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, query, index string }{
		{"what is due", `SELECT key FROM notifications WHERE account = ? AND state = 'open' AND due_at <= ? ORDER BY due_at LIMIT 32`, "notifications_open"},
		{"what was parked", `SELECT key FROM notifications WHERE account = ? AND state = 'parked'`, "notifications_parked"},
		{"what is settled", `SELECT key FROM notifications WHERE received_at < ? AND state IN ('done', 'gone', 'flagged') ORDER BY received_at LIMIT ?`, "notifications_settled"},
		{"whose is open", `SELECT MIN(account) FROM notifications WHERE state = 'open' AND account > ?`, "notifications_open"},
		{"whose is parked", `SELECT MIN(account) FROM notifications WHERE state = 'parked' AND account > ?`, "notifications_parked"},
		{"old event keys", `SELECT e.account, e.event_id FROM events e WHERE e.at < ? ORDER BY e.at LIMIT ?`, "events_at"},
		{"whether a key is needed", `SELECT 1 FROM catchup k WHERE k.account = ? AND ? >= k.watermark - ?`, "PRIMARY KEY"},
		{"which events are known", `SELECT event_id FROM events WHERE account = ? AND event_id IN (?, ?)`, "PRIMARY KEY"},
		{"whether it is silent", `SELECT silent_since FROM catchup WHERE account = ? AND silent_since <> 0`, "PRIMARY KEY"},
		{"old messages", `SELECT seq, at FROM messages WHERE writer = ? ORDER BY seq LIMIT ?`, "PRIMARY KEY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var plan []struct {
				ID, Parent, Notused int
				Detail              string
			}
			if err := db.Select(t.Context(), &plan, "EXPLAIN QUERY PLAN "+tt.query, make([]any, strings.Count(tt.query, "?"))...); err != nil {
				t.Fatal(err)
			}
			for _, step := range plan {
				if !strings.HasPrefix(step.Detail, "SEARCH") || !strings.Contains(step.Detail, tt.index) {
					t.Errorf("%s", step.Detail)
				}
			}
			if len(plan) == 0 {
				t.Error("no plan")
			}
		})
	}
}
