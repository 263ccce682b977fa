package audit

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// FaultKind says what has been done to a chain.
type FaultKind string

const (
	// Changed: the entry is not as it was written, or was never written by the gateway.
	Changed FaultKind = "changed"
	// Missing: the entry, and maybe more after it, is not there, but later ones are.
	Missing FaultKind = "missing"
	// Inserted: the entry stands between two that follow on each other.
	Inserted FaultKind = "inserted"
	// Reordered: the entry is genuine, and not in its place.
	Reordered FaultKind = "reordered"
	// CutOff: the chain ends too early.
	CutOff FaultKind = "cut_off"
	// Replaced: the entry is genuine, but another stood there once: the chain was cut off and written on.
	Replaced FaultKind = "replaced"
)

// Fault is where a chain is first not what it was.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Chain and Seq are the place; Seq is the entry's number in the chain.
	Chain int64 `json:"chain"`
	Seq   int64 `json:"seq"`
	// ID is the entry that stands there, "" where none does.
	ID     string `json:"id,omitempty"`
	Detail string `json:"detail"`
}

func (f Fault) String() string {
	s := fmt.Sprintf("chain %d, entry %d: %s", f.Chain, f.Seq, strings.ReplaceAll(string(f.Kind), "_", " "))
	if f.ID != "" {
		s += " (" + f.ID + ")"
	}
	return s + ": " + f.Detail
}

// found keeps the first fault of each chain; of two at one place that which the chain itself shows.
func (v *verifier) found(f Fault) {
	old, ok := v.faults[f.Chain]
	if !ok || f.Seq < old.Seq || (f.Seq == old.Seq && old.Kind == Replaced) {
		v.faults[f.Chain] = f
	}
}

// diagnose says what is wrong with a row that is not genuine, or does not follow on the one before it.
func (v *verifier) diagnose(ctx context.Context, w *walk, r *row, genuine bool) (Fault, error) {
	f := Fault{Chain: w.chain, Seq: r.Seq, ID: r.ID}
	if known, ok := v.faults[w.chain]; ok && known.Seq <= w.seq {
		return f, nil // it is not the first
	}
	switch {
	case r.Seq > w.seq+1:
		f.Kind, f.Seq, f.ID = Missing, w.seq+1, ""
		f.Detail = fmt.Sprintf("after entry %d comes entry %d", w.seq, r.Seq)
		return f, nil
	case r.Seq < 1:
		f.Kind, f.Detail = Inserted, "entries are numbered from 1 on"
		return f, nil
	case !genuine:
		followed, err := v.followed(ctx, w, r)
		f.Kind, f.Detail = Changed, "it is not as it was written, or was never written by the gateway"
		if followed {
			f.Kind, f.Detail = Inserted, "the entry after it follows on the one before it"
		}
		return f, err
	}
	var n int
	if err := v.db.Get(ctx, &n, `SELECT COUNT(*) FROM audit_log WHERE chain = ? AND mac = ?`, w.chain, r.Prev); err != nil {
		return f, err
	}
	first, err := v.db.Sign(begin(w.chain))
	if err != nil {
		return f, err
	}
	if n > 0 || bytes.Equal(first, r.Prev) {
		f.Kind, f.Detail = Reordered, "it is genuine, but follows on another entry than the one before it"
	} else {
		f.Kind, f.ID, f.Detail = Missing, "", "the entry here now follows on one that is gone; later ones were numbered anew"
	}
	return f, nil
}

// followed tells whether the row after r is genuine and follows on the one before r.
func (v *verifier) followed(ctx context.Context, w *walk, r *row) (bool, error) {
	var next row
	err := v.db.Get(ctx, &next, `SELECT `+rowColumns+` FROM audit_log WHERE chain = ? AND seq > ? ORDER BY seq LIMIT 1`, w.chain, r.Seq)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil || !bytes.Equal(next.Prev, w.mac) {
		return false, err
	}
	return v.genuine(&next)
}

// placeholders are n question marks.
func placeholders(n int) string { return strings.TrimPrefix(strings.Repeat(", ?", n), ", ") }
