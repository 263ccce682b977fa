package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/internal/sqldb"
)

var (
	// ErrOverloaded is returned at once when too many changes wait already. Nothing was stored.
	ErrOverloaded = errors.New("events: too many changes are waiting to be stored")
	// ErrStorage is returned when the database could not take the change. Nothing was stored; only if the
	// connection broke at the very commit, and did not come back, nobody can tell.
	ErrStorage = errors.New("events: the database did not take the change")
	// ErrClosed is returned once the log has been closed.
	ErrClosed = errors.New("events: the log is closed")
)

// LogConfig is what a Log needs.
type LogConfig struct {
	DB *sqldb.DB
	// MaxQueued and MaxQueuedBytes bound what may wait for a commit; 0 means 4096 changes and 64 MiB.
	MaxQueued      int
	MaxQueuedBytes int64
	Registerer     prometheus.Registerer
	Log            *slog.Logger
}

const (
	batchChanges = 512
	batchBytes   = 8 << 20
	// writerLease is how long a replica's log belongs to it without a sign of life.
	writerLease = 15 * time.Second
)

// Log is the outbox. Callers hand it changes; one committer runs all that wait in one transaction and
// wakes their callers after the commit. A commit starts as soon as one change waits, and takes along
// what has gathered while the last one was syncing; no timer is involved.
type Log struct {
	db      *sqldb.DB
	log     *slog.Logger
	holder  string
	queue   chan *change
	urgent  chan *change
	queued  atomic.Int64
	maxSize int64
	metrics *logMetrics
	insert  *sqldb.Inserter
	move    *sqldb.Stmt // of the head; see advance
	feeds   []*Feed
	news    notice
	closed  chan struct{}
	done    chan struct{}

	// Of the committer alone.
	writer    int64
	head      int64
	commits   int64
	headKnown bool

	failing atomic.Pointer[string]
}

// OpenLog registers this process as a new writer. Nothing is committed until Run.
func OpenLog(ctx context.Context, c LogConfig) (*Log, error) {
	if c.MaxQueued == 0 {
		c.MaxQueued = 4096
	}
	if c.MaxQueuedBytes == 0 {
		c.MaxQueuedBytes = 64 << 20
	}
	l := &Log{
		db: c.DB, log: c.Log, holder: uuid.NewString(), maxSize: c.MaxQueuedBytes,
		queue: make(chan *change, c.MaxQueued), urgent: make(chan *change, 64),
		closed: make(chan struct{}), done: make(chan struct{}),
		metrics: newLogMetrics(c.Registerer),
	}
	var err error
	if l.insert, err = c.DB.NewInserter(ctx, "messages",
		[]string{"writer", "seq", "id", "account", "subject", "at", "body"}, ""); err != nil {
		return nil, err
	}
	if l.move, err = c.DB.Prepare(ctx, `UPDATE writers SET head = ?, commits = commits + 1, expires_at = `+c.DB.Millis()+` + ?
		WHERE id = ? AND holder = ? AND fenced = 0`); err != nil {
		return nil, err
	}
	return l, l.register(ctx)
}

// Holder is this process's name in leases and in the writers table.
func (l *Log) Holder() string { return l.holder }

// register makes a new writer row. Ids rise, so that a reader's cursor can tell a writer that came later
// from one it had read to the end; they follow the clock, so that a database brought back from a backup
// does not give out again a number that stands in the stream already.
func (l *Log) register(ctx context.Context) error {
	tx, err := l.db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("registering the log's writer: %w", err)
	}
	defer tx.Rollback()
	if tx.Postgres {
		// Registrations wait for each other, but for nobody's commit, nor does any commit wait for them.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('gatehouse writers'))`); err != nil {
			return fmt.Errorf("registering the log's writer: %w", err)
		}
	}
	var newest int64
	if err := tx.Get(ctx, &newest, `SELECT COALESCE(MAX(id), 0) FROM writers`); err != nil {
		return fmt.Errorf("registering the log's writer: %w", err)
	}
	id := max(newest+1, time.Now().UnixMilli())
	_, err = tx.Exec(ctx, `INSERT INTO writers (id, holder, expires_at) VALUES (?, ?, `+l.db.Millis()+` + ?)`,
		id, l.holder, writerLease.Milliseconds())
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("registering the log's writer: %w", err)
	}
	l.writer, l.head, l.commits, l.headKnown = id, 0, 0, true
	return nil
}

// Do runs a change in the next commit and returns when it is on disk. The function does no I/O but
// through tx, and may be run more than once; an error from it undoes its own change alone and comes back
// as it is. When ctx ends first the change may or may not be made.
func (l *Log) Do(ctx context.Context, change func(context.Context, *Tx) error) error {
	return l.submit(ctx, l.queue, newChange(single(change), 1<<10))
}

// DoUrgent is Do for what must not be turned away, such as a token that DoorFlow has just rotated: it
// waits for its turn however full the queue is, and goes ahead of it.
func (l *Log) DoUrgent(ctx context.Context, change func(context.Context, *Tx) error) error {
	return l.submit(ctx, l.urgent, newChange(single(change), 0))
}

func (l *Log) submit(ctx context.Context, queue chan *change, c *change) error {
	if c.size > 0 && l.queued.Add(c.size) > l.maxSize {
		l.queued.Add(-c.size)
		return ErrOverloaded
	}
	if err := l.enqueue(ctx, queue, c); err != nil {
		l.queued.Add(-c.size)
		return err
	}
	select {
	case err := <-c.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		// The committer has left; a change it took has its result already.
		select {
		case err := <-c.result:
			return err
		default:
			return ErrClosed
		}
	}
}

func (l *Log) enqueue(ctx context.Context, queue chan *change, c *change) error {
	select {
	case <-l.closed:
		return ErrClosed
	default:
	}
	select {
	case queue <- c:
		return nil
	default:
	}
	if queue == l.queue {
		return ErrOverloaded
	}
	select {
	case queue <- c:
		return nil
	case <-l.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run commits until ctx ends; then it refuses new changes, commits those that wait, and returns.
func (l *Log) Run(ctx context.Context) error {
	defer close(l.done)
	heartbeat := time.NewTicker(writerLease / 3)
	defer heartbeat.Stop()
	for {
		select {
		case c := <-l.urgent:
			l.commit(l.gather(c))
		case c := <-l.queue:
			l.commit(l.gather(c))
		case <-heartbeat.C:
			l.beat()
		case <-ctx.Done():
			close(l.closed)
			l.drain()
			return nil
		}
	}
}

func (l *Log) drain() {
	for {
		select {
		case c := <-l.urgent:
			l.commit(l.gather(c))
		case c := <-l.queue:
			l.commit(l.gather(c))
		default:
			return
		}
	}
}

// gather takes along what waits already, urgent changes first. Before that it lets those run who are about
// to hand something in: a sync costs the same for one change as for a hundred, and when the processors are
// busy, starting at once would mean many syncs with little in them. When nobody else is ready to run,
// yielding takes no time.
func (l *Log) gather(first *change) []*change {
	for waiting := -1; waiting < len(l.queue) && len(l.queue) < batchChanges; {
		waiting = len(l.queue)
		runtime.Gosched()
	}
	batch, size := []*change{first}, first.size
	for len(batch) < batchChanges && size < batchBytes {
		var next *change
		select {
		case next = <-l.urgent:
		default:
			select {
			case next = <-l.urgent:
			case next = <-l.queue:
			default:
				return batch
			}
		}
		batch, size = append(batch, next), size+next.size
	}
	return batch
}

// beat tells other replicas that this one lives. Alone on its directory a process need not.
func (l *Log) beat() {
	if !l.db.Postgres() {
		return
	}
	l.commit([]*change{newChange(single(func(ctx context.Context, tx *Tx) error {
		_, err := tx.Exec(ctx, `UPDATE writers SET expires_at = `+l.db.Millis()+` + ? WHERE holder = ?`,
			writerLease.Milliseconds(), l.holder)
		return err
	}), 0)})
}

// Healthy returns why the last commit failed, nil when it did not.
func (l *Log) Healthy() error {
	if why := l.failing.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}
