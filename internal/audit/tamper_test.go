package audit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

var tableColumns = []string{
	"id", "at", "actor_kind", "actor", "key_id", "remote", "request_id", "action", "account", "target", "outcome", "status", "started",
	"chain", "seq", "prev", "mac", "heads",
}

var (
	chainColumn = slices.Index(tableColumns, "chain")
	seqColumn   = slices.Index(tableColumns, "seq")
	idColumn    = slices.Index(tableColumns, "id")
)

// table is the whole table, as somebody sees it who can do anything with the database.
type table [][]any

func (rows table) clone() table {
	c := make(table, len(rows))
	for i := range rows {
		c[i] = slices.Clone(rows[i])
	}
	return c
}

// renumber gives the rows of chain 1 the numbers 1 to n in the order in which they stand here.
func (rows table) renumber() table {
	for i := range rows {
		rows[i][seqColumn] = int64(i + 1)
	}
	return rows
}

func readTable(t *testing.T, db *sqldb.DB) table {
	t.Helper()
	rows, err := db.Writer().QueryxContext(t.Context(), `SELECT `+strings.Join(tableColumns, ", ")+` FROM audit_log ORDER BY chain, seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all table
	for rows.Next() {
		r, err := rows.SliceScan()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// writeTable puts other rows in the place of all that are there.
func writeTable(t *testing.T, db *sqldb.DB, rows table) {
	t.Helper()
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	if db.Postgres() {
		exec(`ALTER TABLE audit_log DISABLE TRIGGER ALL`)
	} else {
		exec(`DROP TRIGGER IF EXISTS audit_log_no_update`)
		exec(`DROP TRIGGER IF EXISTS audit_log_no_delete`)
	}
	exec(`DELETE FROM audit_log`)
	for _, r := range rows {
		exec(`INSERT INTO audit_log (`+strings.Join(tableColumns, ", ")+`) VALUES (?`+strings.Repeat(", ?", len(r)-1)+`)`, r...)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func verify(t *testing.T, l *audit.Log, kept audit.Heads) audit.Report {
	t.Helper()
	report, err := l.Verify(t.Context(), kept, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func heads(t *testing.T, l *audit.Log) audit.Heads {
	t.Helper()
	h, err := l.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// anyEntry is an entry with foreign text of all kinds in it.
func anyEntry(r *rand.Rand) audit.Entry {
	word := func() string {
		const letters = "ab:,\x00\n \u202eäé0"
		runes := []rune(letters)
		s := make([]rune, r.IntN(12))
		for i := range s {
			s[i] = runes[r.IntN(len(runes))]
		}
		return string(s)
	}
	return audit.Entry{
		Actor:  audit.Actor{Kind: audit.KindKey, Name: word(), KeyID: word(), Remote: word(), RequestID: word()},
		Action: "a." + fmt.Sprint(r.IntN(9)), Account: word(), Target: word(), Outcome: audit.Done, Status: r.IntN(600),
	}
}

// want is a fault at a place; "" wants none.
func want(t *testing.T, what string, report audit.Report, kind audit.FaultKind, chain int64, seq int) {
	t.Helper()
	if kind == "" {
		if len(report.Faults) != 0 {
			t.Errorf("%s: %v", what, report.Faults)
		}
		return
	}
	i := slices.IndexFunc(report.Faults, func(f audit.Fault) bool { return f.Chain == chain })
	if i < 0 {
		t.Errorf("%s: nothing was found in chain %d, want %s at %d: %v", what, chain, kind, seq, report.Faults)
		return
	}
	if f := report.Faults[i]; f.Kind != kind || f.Seq != int64(seq) {
		t.Errorf("%s: found %v; want %s at %d", what, f, kind, seq)
	}
}

// changed is another value of the same type.
func changed(v any) any {
	switch v := v.(type) {
	case int64:
		return v + 100
	case string:
		return v + "x"
	case []byte:
		c := slices.Clone(v)
		c[len(c)-1] ^= 1
		return c
	}
	panic(fmt.Sprintf("%T", v))
}

// Whatever is done to a single row of a chain is found, and called what it is.
func TestTamperingIsFound(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, 1))
			writeTable(t, db, nil)
			n := []int{1, 2, 5, 9}[seed]
			for range n {
				write(t, l, anyEntry(r))
			}
			tamper(t, db, l, n, r)
		}
	})
}

func tamper(t *testing.T, db *sqldb.DB, l *audit.Log, n int, r *rand.Rand) {
	t.Helper()
	whole, kept := readTable(t, db), heads(t, l)
	if len(whole) != n || len(kept) != 1 || kept[0].Seq != int64(n) {
		t.Fatalf("%d rows, heads %s", len(whole), kept)
	}
	if report := verify(t, l, kept); len(report.Faults) != 0 || report.Entries != int64(n) || report.Chains != 1 || report.Head != kept.String() {
		t.Fatalf("untouched: %+v", report)
	}
	try := func(what string, rows table, kept audit.Heads, kind audit.FaultKind, seq int) {
		t.Helper()
		writeTable(t, db, rows)
		want(t, fmt.Sprintf("%d rows, %s", n, what), verify(t, l, kept), kind, 1, seq)
	}
	for i := range n {
		seq := i + 1
		for c, name := range tableColumns {
			rows, kind := whole.clone(), audit.Changed
			rows[i][c] = changed(rows[i][c])
			if c == chainColumn && seq == n {
				kind = audit.CutOff
			} else if c == chainColumn || c == seqColumn {
				kind = audit.Missing
			}
			try(fmt.Sprintf("%s of row %d changed", name, seq), rows, kept, kind, seq)
		}
		without := slices.Delete(whole.clone(), i, i+1)
		if seq < n {
			try(fmt.Sprintf("row %d deleted", seq), without.clone(), nil, audit.Missing, seq)
			try(fmt.Sprintf("row %d deleted, the others renumbered", seq), without.renumber(), nil, audit.Missing, seq)
		}
		for j := i + 1; j < n; j++ {
			rows := whole.clone()
			rows[i], rows[j] = rows[j], rows[i]
			try(fmt.Sprintf("rows %d and %d swapped", seq, j+1), rows.renumber(), nil, audit.Reordered, seq)
		}
		forged := slices.Clone(whole[r.IntN(n)])
		forged[idColumn] = "00000000-0000-7000-8000-00000000000" + fmt.Sprint(i)
		try(fmt.Sprintf("a row inserted before %d", seq), slices.Insert(whole.clone(), i, forged).renumber(), nil, audit.Inserted, seq)
		// Without anything from outside nobody could tell that there was more.
		try(fmt.Sprintf("cut off from %d on, nothing kept", seq), whole[:i].clone(), nil, "", 0)
		try(fmt.Sprintf("cut off from %d on", seq), whole[:i].clone(), kept, audit.CutOff, seq)
		for range n - i + 1 {
			write(t, l, anyEntry(r))
		}
		want(t, fmt.Sprintf("cut off from %d on and written on", seq), verify(t, l, kept), audit.Replaced, 1, n)
		want(t, "the same, nothing kept", verify(t, l, nil), "", 0, 0)
	}
	forged := slices.Clone(whole[0])
	forged[idColumn] = "00000000-0000-7000-8000-0000000000ff"
	try("a row added at the end", append(whole.clone(), forged).renumber(), kept, audit.Changed, n+1)
	try("nothing at all", whole, kept, "", 0)
}

// The walk goes by pages. A row that has the number of a page's last is found as well, once nothing keeps two rows
// from having one number.
func TestARowAtTheEndOfAPageIsFound(t *testing.T) {
	const page = 1000
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		err := l.Commit(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			r := rand.New(rand.NewPCG(1, 2))
			for range page + 5 {
				if _, err := audit.Record(ctx, tx, anyEntry(r)); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, `DROP INDEX audit_log_chain`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		whole := readTable(t, db)
		for _, seq := range []int{1, page - 1, page, page + 1, page + 5} {
			forged := slices.Clone(whole[seq-1])
			for _, id := range []string{"00000000", "ffffffff"} {
				forged[idColumn] = id + whole[seq-1][idColumn].(string)[8:]
				writeTable(t, db, append(whole.clone(), forged))
				if f := verify(t, l, nil).Faults; len(f) != 1 || f[0].Seq > int64(seq)+1 || f[0].Seq < int64(seq) {
					t.Errorf("a second row %d: %v", seq, f)
				}
			}
		}
	})
}

// Chains vouch for each other: what one is cut off, an entry of another shows that was written later.
func TestChainsVouchForEachOther(t *testing.T) {
	db := sqldbtest.Postgres(t)
	l := newLog(db)
	r := rand.New(rand.NewPCG(7, 7))
	write(t, l, anyEntry(r))
	record := func(tx *sqldb.Tx) {
		t.Helper()
		if _, err := audit.Record(t.Context(), tx, anyEntry(r)); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() *sqldb.Tx {
		t.Helper()
		tx, err := db.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback() })
		return tx
	}
	commit := func(tx *sqldb.Tx) {
		t.Helper()
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	// Two write at once: the second takes another chain, and waits for nobody.
	one, two := begin(), begin()
	record(one)
	record(two)
	record(two)
	commit(two) // 2:2
	commit(one) // 1:2, which saw nothing of chain 2
	three, four := begin(), begin()
	record(three) // 1:3 saw 2:2
	record(four)  // 2:3 saw 1:2
	commit(four)
	commit(three)
	write(t, l, anyEntry(r)) // 1:4 saw 2:3
	whole, kept := readTable(t, db), heads(t, l)
	if got := verify(t, l, kept); len(got.Faults) != 0 || got.Chains != 2 || got.Entries != 7 {
		t.Fatalf("%+v", got)
	}
	cut := func(from map[int64]int64) audit.Report {
		t.Helper()
		writeTable(t, db, slices.DeleteFunc(whole.clone(), func(r []any) bool {
			return r[seqColumn].(int64) >= from[r[chainColumn].(int64)]
		}))
		return verify(t, l, nil)
	}
	want(t, "the end of chain 2 cut off", cut(map[int64]int64{1: 9, 2: 3}), audit.CutOff, 2, 3)
	want(t, "chain 2 cut off", cut(map[int64]int64{1: 9, 2: 1}), audit.CutOff, 2, 1)
	want(t, "chain 1 cut off from 2 on", cut(map[int64]int64{1: 2, 2: 9}), audit.CutOff, 1, 2)
	want(t, "both cut off to the same moment", cut(map[int64]int64{1: 4, 2: 3}), "", 0, 0)
	// Cut off and written on: the numbers are all there again, the entries are others.
	cut(map[int64]int64{1: 9, 2: 2})
	five, six := begin(), begin()
	record(five)
	record(six)
	record(six)
	commit(six)
	commit(five)
	want(t, "chain 2 cut off and written on", verify(t, l, nil), audit.Replaced, 2, 2)
}
