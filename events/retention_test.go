package events_test

import (
	"context"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func exec(t *testing.T, db *sqldb.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Writer().ExecContext(t.Context(), db.Writer().Rebind(query), args...); err != nil {
		t.Fatal(err)
	}
}

func sweep(t *testing.T, l *events.Log) {
	t.Helper()
	if err := events.NewRetention(l, quiet, events.PruneMessages(l, time.Hour)).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPruneMessages(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		say(t, l, 1300)
		exec(t, db, `UPDATE messages SET at = ? WHERE seq <= 1200`, time.Now().Add(-2*time.Hour).UnixMilli())
		for _, seq := range []int{0, 400, 1100} {
			exec(t, db, `INSERT INTO relay_checkpoints (writer, seq, message_id, stream_seq, stream_created, at)
				SELECT id, CAST(? AS INTEGER), '', 0, 0, 0 FROM writers`, seq)
		}
		sweep(t, l)
		if first, n := count(t, db, `SELECT MIN(seq) FROM messages`), count(t, db, `SELECT COUNT(*) FROM messages`); first != 1101 || n != 200 {
			t.Errorf("%d messages from %d on are left, want 200 from 1101: what is not relayed stays", n, first)
		}
		if n := count(t, db, `SELECT COUNT(*) FROM relay_checkpoints`); n != 1 {
			t.Errorf("%d checkpoints left, want the cursor alone", n)
		}
		exec(t, db, `INSERT INTO relay_checkpoints (writer, seq, message_id, stream_seq, stream_created, at) SELECT id, 1300, '', 0, 0, 0 FROM writers`)
		sweep(t, l)
		if n := count(t, db, `SELECT COUNT(*) FROM messages`); n != 100 {
			t.Errorf("%d messages left, want the 100 young ones", n)
		}
		if n := count(t, db, `SELECT MAX(seq) FROM relay_checkpoints`); n != 1300 {
			t.Errorf("the cursor is %d, want 1300", n)
		}
	})
}

func TestPruneStepsAreSmall(t *testing.T) {
	l := runLog(t, sqldbtest.SQLite(t))
	var steps []int64
	left := int64(3*events.PruneStep - 1)
	prune := func(context.Context, *events.Tx) (int64, error) {
		n := min(left, events.PruneStep)
		left -= n
		steps = append(steps, n)
		return n, nil
	}
	if err := events.NewRetention(l, quiet, prune).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left != 0 || len(steps) != 4 {
		t.Errorf("%d left after the steps %v", left, steps)
	}
}

func TestPruneRemovesEmptyFencedWriters(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		say(t, l, 1)
		for id, w := range map[int]struct {
			holder string
			fenced int
		}{1: {l.Holder(), 1}, 2: {"another", 1}, 3: {l.Holder(), 1}} {
			exec(t, db, `INSERT INTO writers (id, holder, fenced, expires_at) VALUES (?, ?, ?, 0)`, id, w.holder, w.fenced)
			exec(t, db, `INSERT INTO relay_checkpoints (writer, seq, message_id, stream_seq, stream_created, at) VALUES (?, 0, '', 0, 0, 0)`, id)
		}
		exec(t, db, `INSERT INTO messages (writer, seq, id, account, subject, at, body) VALUES (3, 1, 'x', '', '', 0, ?)`, []byte("{}"))
		sweep(t, l)
		if n := count(t, db, `SELECT COUNT(*) FROM writers`); n != 3 {
			t.Errorf("%d writers left, want our own, another's, and one with a message", n)
		}
		if n := count(t, db, `SELECT COUNT(*) FROM writers WHERE id = 1`); n != 0 {
			t.Error("the empty one is still there")
		}
		if n := count(t, db, `SELECT COUNT(*) FROM relay_checkpoints WHERE writer = 1`); n != 0 {
			t.Error("its checkpoint is still there")
		}
	})
}

func TestRetentionEndsWithItsContext(t *testing.T) {
	l := runLog(t, sqldbtest.SQLite(t))
	swept := make(chan struct{}, 1)
	stop := run(t, events.NewRetention(l, quiet, func(context.Context, *events.Tx) (int64, error) {
		select {
		case swept <- struct{}{}:
		default:
		}
		return 0, nil
	}).Run)
	<-swept
	stop()
}
