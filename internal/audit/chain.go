package audit

import (
	"context"
	"encoding/binary"
	"fmt"

	"gatehouse/internal/sqldb"
)

// row is an entry as it is stored, with its place in its chain.
type row struct {
	Stored
	Millis int64
	// Prev is the MAC of the row before, or where the chain begins, and MAC is over everything else in the row
	// but its number. That follows from the place, for there is one row for each number from 1 on.
	Prev, MAC []byte
	// Heads is where the other chains stood, as this transaction saw them.
	Heads string
}

const rowColumns = `id, at AS millis, actor_kind, actor, key_id, remote, request_id, action, account, target, outcome, status, started,
	chain, seq, prev, mac, heads`

// What begins the bytes that are signed, so that no signature serves for something else.
const (
	signsBegin = "gatehouse audit chain 1"
	signsRow   = "gatehouse audit row 1"
)

// begin is what the first row of a chain follows on.
func begin(chain int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(signsBegin), uint64(chain))
}

// canonical is what of a row is signed: every text with its length, so that no two rows read alike.
func (r *row) canonical() []byte {
	b := append(make([]byte, 0, 512), signsRow...)
	b = text(b, string(r.Prev))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Chain))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Millis))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Status))
	for _, s := range []string{
		r.ID, r.ActorKind, r.Actor, r.KeyID, r.Remote, r.RequestID, r.Action, r.Account, r.Target, r.Outcome, r.Started, r.Heads,
	} {
		b = text(b, s)
	}
	return b
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// link gives a row its place at the end of a chain that nobody else is writing to, and signs it.
func link(ctx context.Context, tx *sqldb.Tx, r *row) (err error) {
	if r.Chain, err = free(ctx, tx); err != nil {
		return err
	}
	// A statement of its own: it must see what the chain's last writer has just committed.
	heads, err := readHeads(ctx, tx)
	if err != nil {
		return err
	}
	var others Heads
	for _, h := range heads {
		if h.Chain == r.Chain {
			r.Seq, r.Prev = h.Seq, h.MAC
		} else {
			others = append(others, h)
		}
	}
	r.Seq++
	if r.Seq == 1 {
		if r.Prev, err = tx.Sign(begin(r.Chain)); err != nil {
			return err
		}
	}
	if r.Seq == 1 && r.Chain == 1 {
		before, err := unsigned(ctx, tx, tx)
		if err != nil {
			return err
		}
		others = append(before, others...)
	}
	r.Heads = others.String()
	r.MAC, err = tx.Sign(r.canonical())
	return err
}

const (
	// lockSpace sets these advisory locks apart from others.
	lockSpace = 0x61756474
	// maxChains is more than there are ever transactions at once that write entries.
	maxChains = 64
)

// free finds a chain that no other transaction is writing to and keeps the others out until this one ends.
// On SQLite there is but one transaction at a time, and so one chain.
func free(ctx context.Context, tx *sqldb.Tx) (int64, error) {
	if !tx.Postgres {
		return 1, nil
	}
	for chain := range int64(maxChains) {
		var got bool
		if err := tx.Get(ctx, &got, `SELECT pg_try_advisory_xact_lock(?::int, ?::int)`, lockSpace, chain+1); err != nil || got {
			return chain + 1, err
		}
	}
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(?::int, 1)`, lockSpace)
	return 1, err
}

// reader is a database, or a transaction on it.
type reader interface {
	Select(ctx context.Context, dest any, query string, args ...any) error
}

// lastRows finds the last row of every chain above one, by the index on (chain, seq): each part is written so that
// no planner would rather read the table, which grows for ever.
const lastRows = `WITH RECURSIVE chains (chain) AS (
		SELECT (SELECT a.chain FROM audit_log a WHERE a.chain > ? ORDER BY a.chain LIMIT 1)
		UNION ALL
		SELECT (SELECT a.chain FROM audit_log a WHERE a.chain > chains.chain ORDER BY a.chain LIMIT 1) FROM chains WHERE chains.chain IS NOT NULL)
	SELECT chain, (SELECT a.seq FROM audit_log a WHERE a.chain = chains.chain ORDER BY a.seq DESC LIMIT 1) AS seq,
		(SELECT a.mac FROM audit_log a WHERE a.chain = chains.chain ORDER BY a.seq DESC LIMIT 1) AS mac
	FROM chains WHERE chain IS NOT NULL ORDER BY chain`

// readHeads returns where the chains stand.
func readHeads(ctx context.Context, db reader) (heads Heads, err error) {
	if err := db.Select(ctx, &heads, lastRows, 0); err != nil {
		return nil, fmt.Errorf("reading the heads of the audit log: %w", err)
	}
	return heads, nil
}

// signer is a database, or a transaction on it.
type signer interface {
	Sign(data []byte) ([]byte, error)
}

const pageSize = 1000

// unsigned is where chain 0 stands: the rows from before there were chains, signed one after the other as they
// are now. There are none in a database that was made since.
func unsigned(ctx context.Context, db reader, s signer) (Heads, error) {
	h := Head{Chain: 0}
	var err error
	if h.MAC, err = s.Sign(begin(0)); err != nil {
		return nil, err
	}
	for {
		var page []row
		if err := db.Select(ctx, &page, `SELECT `+rowColumns+` FROM audit_log WHERE chain = 0 AND seq > ? ORDER BY seq LIMIT ?`, h.Seq, pageSize); err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		for i := range page {
			page[i].Prev = h.MAC
			if h.MAC, err = s.Sign(page[i].canonical()); err != nil {
				return nil, err
			}
			h.Seq = page[i].Seq
		}
		if len(page) < pageSize {
			break
		}
	}
	if h.Seq == 0 {
		return nil, nil
	}
	return Heads{h}, nil
}
