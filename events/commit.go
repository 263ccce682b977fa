package events

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"gatehouse/internal/sqldb"
)

// Tx is the transaction a change runs in.
type Tx struct {
	*sqldb.Tx
	said []Encoded
}

// Append says a message in the same commit as the change it reports.
func (tx *Tx) Append(m Encoded) { tx.said = append(tx.said, m) }

// change is one caller's wish.
type change struct {
	unit   unit
	rows   any // of a Bulk: this caller's rows
	size   int64
	result chan error
}

func newChange(u unit, size int64) *change {
	return &change{unit: u, size: size, result: make(chan error, 1)}
}

// unit is what runs under one savepoint: a single change, or the rows of many callers of one Bulk.
type unit interface {
	run(ctx context.Context, tx *Tx, changes []*change) error
}

// single runs once for each change.
type single func(context.Context, *Tx) error

func (s single) run(ctx context.Context, tx *Tx, _ []*change) error { return s(ctx, tx) }

// Bulk writes the rows of many callers with few statements. Its rows are made before, so that the
// committer does nothing but store them.
type Bulk[T any] struct {
	log   *Log
	write func(context.Context, *Tx, []T) error
	size  func(T) int
}

// NewBulk makes a Bulk whose rows are written by write and take about size bytes each in memory.
func NewBulk[T any](l *Log, write func(context.Context, *Tx, []T) error, size func(T) int) *Bulk[T] {
	return &Bulk[T]{l, write, size}
}

// Do stores the rows in the next commit, all or none, and returns when they are on disk.
func (b *Bulk[T]) Do(ctx context.Context, rows []T) error {
	size := int64(256)
	for _, r := range rows {
		size += int64(b.size(r))
	}
	c := newChange(b, size)
	c.rows = rows
	return b.log.submit(ctx, b.log.queue, c)
}

func (b *Bulk[T]) run(ctx context.Context, tx *Tx, changes []*change) error {
	var all []T
	for _, c := range changes {
		all = append(all, c.rows.([]T)...)
	}
	return b.write(ctx, tx, all)
}

var errFenced = errors.New("events: another process has taken this writer's log over")

// commitTimeout bounds one attempt. It is generous: a slow disk is no reason to forget a webhook.
const commitTimeout = 20 * time.Second

// commit stores a batch and tells every caller how it went.
func (l *Log) commit(batch []*change) {
	started := time.Now()
	results, rows, err := l.store(batch)
	if len(batch) > 1 && sqldb.OfRow(err) {
		// A message that the database refuses shows only when all are written. Whoever's it is, it is
		// refused alone.
		for i := range batch {
			l.commit(batch[i : i+1])
		}
		return
	}
	for _, c := range batch {
		l.queued.Add(-c.size)
	}
	l.metrics.committed(len(batch), len(rows), time.Since(started), err)
	if err != nil {
		why := err.Error()
		if l.failing.Swap(&why) == nil {
			l.log.Error("storing failed; senders are told to try again", "error", err)
		}
		for _, c := range batch {
			c.result <- fmt.Errorf("%w: %w", ErrStorage, err)
		}
		return
	}
	if l.failing.Swap(nil) != nil {
		l.log.Info("storing works again")
	}
	for _, f := range l.feeds {
		f.offer(rows)
	}
	if len(rows) > 0 {
		l.news.fire()
	}
	for i, c := range batch {
		c.result <- results[i]
	}
}

// store tries until the batch is in or there is no use in trying.
func (l *Log) store(batch []*change) ([]error, []Row, error) {
	for attempt := 1; ; attempt++ {
		// The work belongs to all callers, so none of their contexts may end it.
		ctx, cancel := context.Background(), func() {}
		if l.db.Postgres() { // a write to a local disk cannot be called back anyway
			ctx, cancel = context.WithTimeout(ctx, commitTimeout)
		}
		results, rows, err := l.attempt(ctx, batch)
		cancel()
		again := sqldb.Retryable(err) || errors.Is(err, errFenced)
		if err == nil || !again || attempt == 10 {
			return results, rows, err
		}
		l.log.Warn("storing again", "attempt", attempt, "error", err)
	}
}

func (l *Log) attempt(ctx context.Context, batch []*change) ([]error, []Row, error) {
	if err := l.recoverHead(ctx); err != nil {
		return nil, nil, err
	}
	inner, err := l.db.Begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer inner.Rollback()
	tx := &Tx{Tx: inner}
	results, err := runUnits(ctx, tx, batch)
	if err != nil {
		return nil, nil, err
	}
	// Numbers are given now, when no savepoint can take a message back any more.
	rows := l.number(tx.said)
	if err := l.write(ctx, tx, rows); err != nil {
		return nil, nil, err
	}
	head := l.head + int64(len(rows))
	if err := l.advance(ctx, tx, head); err != nil {
		return nil, nil, err
	}
	if err := tx.Commit(); err != nil {
		l.headKnown = false
		expected := l.commits + 1
		// Perhaps it was the time that ran out; to learn what became of the commit gets a time of its own.
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		defer cancel()
		if unsettled := l.recoverHead(ctx); unsettled != nil {
			return nil, nil, errors.Join(err, unsettled)
		}
		if l.commits != expected {
			return nil, nil, err
		}
		return results, rows, nil // the answer was lost, the commit was not
	}
	l.head = head
	l.commits++
	return results, rows, nil
}

// runUnits runs each change under a savepoint of its own, and the changes of one Bulk together. If those
// fail for a row's sake, they are run one by one, so that one caller's row costs the others nothing.
func runUnits(ctx context.Context, tx *Tx, batch []*change) ([]error, error) {
	results := make([]error, len(batch))
	bulks := map[unit][]int{}
	for i, c := range batch {
		if c.rows != nil {
			bulks[c.unit] = append(bulks[c.unit], i)
			continue
		}
		var err error
		if results[i], err = tx.guarded(ctx, c.unit, []*change{c}); err != nil {
			return nil, err
		}
	}
	for u, members := range bulks {
		changes := make([]*change, len(members))
		for j, i := range members {
			changes[j] = batch[i]
		}
		refused, err := tx.guarded(ctx, u, changes)
		if err != nil {
			return nil, err
		}
		for j, i := range members {
			if results[i] = refused; refused == nil || len(members) == 1 {
				continue
			}
			if results[i], err = tx.guarded(ctx, u, changes[j:j+1]); err != nil {
				return nil, err
			}
		}
	}
	return results, nil
}

// guarded runs a unit under a savepoint. The first error is the unit's own, the second the transaction's.
func (tx *Tx) guarded(ctx context.Context, u unit, changes []*change) (refused, err error) {
	if _, err := tx.ExecContext(ctx, `SAVEPOINT unit`); err != nil {
		return nil, err
	}
	said := len(tx.said)
	refused = contained(func() error { return u.run(ctx, tx, changes) })
	if refused == nil {
		_, err = tx.ExecContext(ctx, `RELEASE SAVEPOINT unit`)
		return nil, err
	}
	if sqldb.Retryable(refused) || (sqldb.Broken(refused) && !sqldb.OfRow(refused)) {
		return nil, refused
	}
	tx.said = tx.said[:said]
	if _, err = tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT unit`); err != nil {
		return nil, errors.Join(refused, err)
	}
	_, err = tx.ExecContext(ctx, `RELEASE SAVEPOINT unit`)
	return refused, err
}

// contained makes a panic an error: a fault in one caller's change must not take the others' committer.
func contained(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("events: the change panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return run()
}

// Row is a message with its place in the log.
type Row struct {
	Writer, Seq int64
	ID          string
	Account     string
	Subject     string
	At          int64 // Unix milliseconds
	Body        []byte
}

func (l *Log) number(said []Encoded) []Row {
	rows := make([]Row, len(said))
	now := time.Now().UnixMilli()
	for i, m := range said {
		rows[i] = Row{
			Writer: l.writer, Seq: l.head + int64(i) + 1,
			ID: m.ID, Account: m.Account, Subject: m.Subject, At: now, Body: m.Body,
		}
	}
	return rows
}

func (l *Log) write(ctx context.Context, tx *Tx, rows []Row) error {
	args := make([]any, 0, 7*len(rows))
	for i := range rows {
		r := &rows[i]
		args = append(args, r.Writer, r.Seq, r.ID, r.Account, r.Subject, r.At, r.Body)
	}
	_, err := l.insert.Exec(ctx, tx.Tx, args)
	return err
}

// advance moves the writer's head, which also checks and locks the writer's lease: whoever takes the log
// over fences this row first, so a process that was thought dead cannot write behind its back.
func (l *Log) advance(ctx context.Context, tx *Tx, head int64) error {
	n, err := l.move.Exec(ctx, tx.Tx, head, writerLease.Milliseconds(), l.writer, l.holder)
	if err == nil && n == 0 {
		l.headKnown = false
		return errFenced
	}
	return err
}

// recoverHead reads the head again after a commit whose outcome is not known, and starts a new writer if
// this one has been fenced meanwhile.
func (l *Log) recoverHead(ctx context.Context) error {
	if l.headKnown {
		return nil
	}
	tx, err := l.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var row struct{ Head, Commits, Fenced int64 }
	query := `SELECT head, commits, fenced FROM writers WHERE id = ? AND holder = ?`
	if tx.Postgres {
		// The server may still be at the commit whose answer was lost; the row's lock waits for its end.
		query += ` FOR UPDATE`
	}
	err = tx.Get(ctx, &row, query, l.writer, l.holder)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && row.Fenced != 0) {
		l.log.Warn("another process took this log over; starting a new one", "writer", l.writer)
		_ = tx.Rollback()
		return l.register(ctx)
	}
	if err != nil {
		return err
	}
	l.head, l.commits, l.headKnown = row.Head, row.Commits, true
	return nil
}
