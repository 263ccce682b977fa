package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"gatehouse/internal/sqldb"
)

// Report is what a verification found.
type Report struct {
	// Entries and Chains are how many were looked at.
	Entries int64 `json:"entries"`
	Chains  int   `json:"chains"`
	// Unsigned are the entries from before there were chains, which are proven only from the first entry after
	// them on.
	Unsigned int64 `json:"unsigned,omitempty"`
	// Head is where the chains stood, "" when there are none.
	Head string `json:"head"`
	// Faults holds the first one of each chain; none means that all is as it was written.
	Faults []Fault `json:"faults"`
}

// Verify walks through all chains to where they stand now, and compares them with heads that were kept
// elsewhere. It holds about a thousand rows in memory, and calls progress, which may be nil, after each page
// with how many rows it has seen, of about how many.
func (l *Log) Verify(ctx context.Context, kept Heads, progress func(done, of int64)) (Report, error) {
	v := &verifier{db: l.DB, ends: map[int64]int64{}, faults: map[int64]Fault{}, progress: progress}
	if err := v.run(ctx, kept); err != nil {
		return Report{}, fmt.Errorf("verifying the audit log: %w", err)
	}
	v.report.Faults = []Fault{}
	for _, chain := range slices.Sorted(maps.Keys(v.faults)) {
		v.report.Faults = append(v.report.Faults, v.faults[chain])
	}
	return v.report, nil
}

type verifier struct {
	db       *sqldb.DB
	ends     map[int64]int64 // the last row of each chain
	total    int64
	before   Heads // where chain 0 stands
	faults   map[int64]Fault
	report   Report
	progress func(done, of int64)
}

func (v *verifier) run(ctx context.Context, kept Heads) (err error) {
	var heads Heads
	if err := v.db.Select(ctx, &heads, lastRows, int64(math.MinInt64)); err != nil {
		return err
	}
	for _, h := range heads {
		v.ends[h.Chain] = h.Seq
		v.total += max(h.Seq, 0)
	}
	heads = slices.DeleteFunc(heads, func(h Head) bool { return h.Chain <= 0 })
	v.report.Head, v.report.Chains = heads.String(), len(heads)
	if v.before, err = unsigned(ctx, v.db, v.db); err != nil {
		return err
	}
	for _, chain := range slices.Sorted(maps.Keys(v.ends)) {
		if chain == 0 {
			err = v.unsigned(ctx)
		} else {
			err = errors.Join(v.chain(ctx, chain), v.twice(ctx, chain))
		}
		if err != nil {
			return err
		}
	}
	return v.compare(ctx, kept, "a head that was kept")
}

// unsigned looks whether the rows of chain 0 are numbered without gaps. Whether they are what they were, the
// first row of chain 1 knows.
func (v *verifier) unsigned(ctx context.Context) error {
	var count struct{ N, Low int64 }
	if err := v.db.Get(ctx, &count, `SELECT COUNT(*) AS n, MIN(seq) AS low FROM audit_log WHERE chain = 0`); err != nil {
		return err
	}
	v.report.Unsigned = count.N
	v.report.Entries += count.N
	if count.N != v.ends[0] || count.Low != 1 {
		v.found(Fault{Kind: Changed, Seq: 1, Detail: "an entry from before there were chains is missing or not in its place"})
	}
	return nil
}

// walk is how far a chain has been looked at.
type walk struct {
	chain, seq int64
	mac        []byte
	said       map[int64]Head // what the chain's last rows say of others
}

func (v *verifier) chain(ctx context.Context, chain int64) error {
	w := &walk{chain: chain, said: map[int64]Head{}}
	var err error
	if w.mac, err = v.db.Sign(begin(chain)); err != nil {
		return err
	}
	for below := int64(math.MinInt64); ; {
		var page []row
		if err := v.db.Select(ctx, &page, `SELECT `+rowColumns+` FROM audit_log WHERE chain = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
			chain, below, v.ends[chain], pageSize); err != nil {
			return err
		}
		var said Heads
		for i := range page {
			of, err := v.row(ctx, w, &page[i])
			if err != nil {
				return err
			}
			said = append(said, of...)
		}
		if err := v.compare(ctx, said, fmt.Sprintf("chain %d", chain)); err != nil {
			return err
		}
		v.report.Entries += int64(len(page))
		if v.progress != nil {
			v.progress(v.report.Entries, v.total)
		}
		if len(page) < pageSize {
			return nil
		}
		below = page[pageSize-1].Seq
	}
}

// twice looks for two rows with one number, of which the walk sees one where a page ends. The database refuses
// them, until somebody takes its index away.
func (v *verifier) twice(ctx context.Context, chain int64) error {
	var seq int64
	err := v.db.Get(ctx, &seq, `SELECT seq FROM audit_log WHERE chain = ? AND seq <= ? GROUP BY seq HAVING COUNT(*) > 1 ORDER BY seq LIMIT 1`,
		chain, v.ends[chain])
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	v.found(Fault{Kind: Inserted, Chain: chain, Seq: seq, Detail: "two entries have this number"})
	return nil
}

// row looks at the next row of a chain and returns what it says of others that was not said before.
func (v *verifier) row(ctx context.Context, w *walk, r *row) (said Heads, err error) {
	genuine, err := v.genuine(r)
	if err != nil {
		return nil, err
	}
	if follows := r.Seq == w.seq+1 && bytes.Equal(r.Prev, w.mac); !genuine || !follows {
		f, err := v.diagnose(ctx, w, r, genuine)
		if err != nil {
			return nil, err
		}
		v.found(f)
	}
	if w.seq, w.mac = r.Seq, r.MAC; !genuine {
		return nil, nil // what it says of others counts for nothing
	}
	if r.Chain == 1 && r.Seq == 1 {
		v.compareUnsigned(r.Heads)
	}
	if r.Heads == "" {
		return nil, nil
	}
	heads, err := ParseHeads(r.Heads)
	if err != nil {
		return nil, errors.New("an entry was signed by a newer program: verify with that one")
	}
	for _, h := range heads {
		if old, ok := w.said[h.Chain]; h.Chain == 0 || (ok && old.Seq == h.Seq && bytes.Equal(old.MAC, h.MAC)) {
			continue
		}
		w.said[h.Chain] = h
		said = append(said, h)
	}
	return said, nil
}

func (v *verifier) genuine(r *row) (bool, error) {
	mac, err := v.db.Sign(r.canonical())
	return hmac.Equal(mac, r.MAC), err
}

// compareUnsigned compares chain 0 with what the first signed row said of it.
func (v *verifier) compareUnsigned(said string) {
	vouched := ""
	for part := range bytes.SplitSeq([]byte(said), []byte(",")) {
		if bytes.HasPrefix(part, []byte("0:")) {
			vouched = string(part)
		}
	}
	if vouched != v.before.String() {
		v.found(Fault{Kind: Changed, Seq: 1, Detail: "the entries from before there were chains are not what they were when the first one after them was written"})
	}
}

// compare looks whether rows are as somebody says that they were.
func (v *verifier) compare(ctx context.Context, said Heads, who string) error {
	byChain := map[int64]Heads{}
	for _, h := range said {
		byChain[h.Chain] = append(byChain[h.Chain], h)
	}
	for chain, heads := range byChain {
		for some := range slices.Chunk(heads, pageSize) {
			macs, err := readMACs(ctx, v.db, chain, some)
			if err != nil {
				return err
			}
			for _, h := range some {
				mac, there := macs[h.Seq]
				v.judge(h, mac, there, who)
			}
		}
	}
	return nil
}

// judge compares a row with what is said of it. A row that is missing from the middle of a chain is not its
// business.
func (v *verifier) judge(said Head, mac []byte, there bool, who string) {
	switch end := max(v.ends[said.Chain], 0); {
	case !there && said.Seq > end:
		v.found(Fault{
			Kind: CutOff, Chain: said.Chain, Seq: end + 1,
			Detail: fmt.Sprintf("the chain ends with entry %d, but %s knows entry %d", end, who, said.Seq),
		})
	case there && !hmac.Equal(mac, said.MAC):
		v.found(Fault{
			Kind: Replaced, Chain: said.Chain, Seq: said.Seq,
			Detail: "this is not the entry that " + who + " knows: the chain was cut off before or here, and has been written on since",
		})
	}
}

// readMACs returns the MACs of rows by their numbers.
func readMACs(ctx context.Context, db reader, chain int64, heads Heads) (map[int64][]byte, error) {
	args := []any{chain}
	for _, h := range heads {
		args = append(args, h.Seq)
	}
	var rows Heads
	if err := db.Select(ctx, &rows, `SELECT chain, seq, mac FROM audit_log WHERE chain = ? AND seq IN (`+placeholders(len(heads))+`)`, args...); err != nil {
		return nil, err
	}
	macs := make(map[int64][]byte, len(rows))
	for _, r := range rows {
		macs[r.Seq] = r.MAC
	}
	return macs, nil
}
