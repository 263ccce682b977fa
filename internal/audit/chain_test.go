package audit_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

// Two replicas record at once, and some of what they do is undone.
func TestReplicasWriteAtOnce(t *testing.T) {
	url := sqldbtest.PostgresURL(t)
	var replicas [2]*sqldb.DB
	for i := range replicas {
		replicas[i] = sqldbtest.Open(t, url)
	}
	const each, workers = 40, 4
	var wg sync.WaitGroup
	for i := range len(replicas) * workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for n := range each {
				if err := recordOnce(t, replicas[i%2], anyEntry(r), n%5 == 4); err != nil {
					t.Errorf("worker %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	report := verify(t, newLog(replicas[0]), nil)
	if len(report.Faults) != 0 || report.Entries != len64(replicas[:])*workers*each*4/5 || report.Chains < 2 || report.Chains > 2*workers {
		t.Fatalf("%+v", report)
	}
	t.Logf("%d entries in %d chains", report.Entries, report.Chains)
}

func len64[T any](s []T) int64 { return int64(len(s)) }

// recordOnce records an entry in a transaction of its own, after one that was undone at a savepoint, and may undo
// the whole.
func recordOnce(t *testing.T, db *sqldb.DB, e audit.Entry, undo bool) error {
	tx, err := db.Begin(t.Context())
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec(t.Context(), `SAVEPOINT one`); err != nil {
		return err
	}
	if _, err := audit.Record(t.Context(), tx, e); err != nil {
		return err
	}
	if _, err := tx.Exec(t.Context(), `ROLLBACK TO SAVEPOINT one`); err != nil {
		return err
	}
	if _, err := audit.Record(t.Context(), tx, e); err != nil || undo {
		return err
	}
	return tx.Commit()
}

// Entries from before there were chains are vouched for by the first one after.
func TestEntriesFromBefore(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		for range 3 {
			write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done})
		}
		old := readTable(t, db)
		for _, r := range old { // as the migration leaves them
			r[chainColumn], r[seqColumn+1], r[seqColumn+2], r[seqColumn+3] = int64(0), []byte{}, []byte{}, ""
		}
		writeTable(t, db, old)
		if report := verify(t, l, nil); report.Unsigned != 3 || report.Entries != 3 || report.Head != "" || len(report.Faults) != 0 {
			t.Fatalf("%+v", report)
		}
		write(t, l, audit.Entry{Action: "a.c", Outcome: audit.Done})
		write(t, l, audit.Entry{Action: "a.c", Outcome: audit.Done})
		whole := readTable(t, db)
		if report := verify(t, l, heads(t, l)); report.Unsigned != 3 || report.Entries != 5 || report.Chains != 1 || len(report.Faults) != 0 {
			t.Fatalf("%+v", report)
		}
		for i := range 3 {
			for c := range tableColumns[:seqColumn+1] {
				rows := whole.clone()
				rows[i][c] = changed(rows[i][c])
				writeTable(t, db, rows)
				want(t, fmt.Sprintf("%s of entry %d", tableColumns[c], i), verify(t, l, nil), audit.Changed, 0, 1)
			}
			writeTable(t, db, append(whole.clone()[:i], whole.clone()[i+1:]...))
			want(t, fmt.Sprintf("without entry %d", i), verify(t, l, nil), audit.Changed, 0, 1)
		}
		more := whole.clone()[2]
		more[idColumn], more[seqColumn] = "x", int64(4)
		writeTable(t, db, append(whole.clone(), more))
		want(t, "one more", verify(t, l, nil), audit.Changed, 0, 1)
		none := whole.clone()[3:]
		writeTable(t, db, none)
		want(t, "none of them", verify(t, l, nil), audit.Changed, 0, 1)
	})
}

func TestWithoutAKeyNothingIsRecorded(t *testing.T) {
	db := sqldbtest.SQLite(t)
	db.SignWith(nil)
	l := newLog(db)
	if _, err := l.Write(t.Context(), audit.Entry{Action: "a.b", Outcome: audit.Done}); !errors.Is(err, sqldb.ErrNoSigner) {
		t.Fatal(err)
	}
	if _, err := l.Verify(t.Context(), nil, nil); !errors.Is(err, sqldb.ErrNoSigner) {
		t.Fatal(err)
	}
}

// With another key nothing verifies, as with a database that somebody made up.
func TestAnotherKey(t *testing.T) {
	db := sqldbtest.SQLite(t)
	l := newLog(db)
	write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done})
	db.SignWith(func(data []byte) []byte { return sqldbtest.Sign(append(data, 1)) })
	want(t, "another key", verify(t, l, nil), audit.Changed, 1, 1)
}

func TestHeadsAreReadAsWritten(t *testing.T) {
	mac := strings.Repeat("0f", 32)
	for _, good := range []string{"1:42:" + mac, "1:42:" + mac + ",12:1:" + mac} {
		if heads, err := audit.ParseHeads(good); err != nil || heads.String() != good {
			t.Errorf("%s: %v, %v", good, heads, err)
		}
	}
	for _, bad := range []string{
		"", ",", "1:42", "1:42:", "1:0:" + mac, "-1:42:" + mac, "1:-2:" + mac, "01:42:" + mac, "1:+2:" + mac, "1:42:" + strings.ToUpper(mac), "1:42:" + mac[2:],
		"1:42:" + mac + ",", " 1:42:" + mac, "1:42:" + mac + ":", "9223372036854775808:1:" + mac, strings.Repeat("1:42:"+mac+",", 2000) + "1:42:" + mac,
	} {
		if heads, err := audit.ParseHeads(bad); err == nil {
			t.Errorf("%.80q was read as %v", bad, heads)
		} else if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "head" {
			t.Errorf("%.80q: %v", bad, err)
		}
	}
}

// A long chain is walked in pages, and progress rises to the end.
func TestALongChain(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		const n = 2500
		tx, err := db.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		for range n {
			if _, err := audit.Record(t.Context(), tx, audit.Entry{Action: "a.b", Outcome: audit.Done}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		var seen []int64
		report, err := l.Verify(t.Context(), heads(t, l), func(done, of int64) {
			if seen = append(seen, done); of != n {
				t.Errorf("of %d", of)
			}
		})
		if err != nil || len(report.Faults) != 0 || report.Entries != n {
			t.Fatal(report, err)
		}
		if len(seen) != 3 || seen[0] != 1000 || seen[2] != n {
			t.Errorf("progress %v", seen)
		}
		rows := readTable(t, db)
		writeTable(t, db, append(rows[:1999:1999], rows[2000:]...))
		want(t, "one is missing at the end of a page", verify(t, l, nil), audit.Missing, 1, 2000)
	})
}
