// Package sqldb opens the gateway's database, SQLite in the data directory or PostgreSQL, and gives both
// one face: a pool to write, a pool to read, transactions whose queries are written with `?`, leases.
//
// SQLite runs in WAL mode with synchronous=FULL: a commit that returned has been synced to disk and
// survives kill -9 and power loss. It has one writing connection, so writers queue in this process
// instead of failing with "database is locked". PostgreSQL keeps what its synchronous_commit promises.
//
// Table: leases.
package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	write, read *sqlx.DB
	postgres    bool
	sign        func([]byte) []byte
}

// ErrNoSigner says that a database was opened without anything to sign rows with.
var ErrNoSigner = errors.New("sqldb: this database was opened without a key to sign with")

// SignWith sets what signs rows: a MAC under a key that somebody who can only write to the database does not
// have. It must be set before the database is used.
func (db *DB) SignWith(mac func(data []byte) []byte) { db.sign = mac }

// Sign signs data. Without SignWith it is ErrNoSigner.
func (db *DB) Sign(data []byte) ([]byte, error) { return signed(db.sign, data) }

func signed(sign func([]byte) []byte, data []byte) ([]byte, error) {
	if sign == nil {
		return nil, ErrNoSigner
	}
	return sign(data), nil
}

// Open connects to url (postgres://…), or opens gatehouse.db in dataDir when url is empty. It fails
// within five seconds when the server does not answer. The error never holds the URL's password.
func Open(ctx context.Context, url, dataDir string) (*DB, error) {
	if url == "" {
		return openSQLite(ctx, filepath.Join(dataDir, "gatehouse.db"))
	}
	return openPostgres(ctx, url)
}

func openSQLite(ctx context.Context, path string) (*DB, error) {
	// secure_delete overwrites what is deleted in its page; SQLite would leave it there until the room is used again.
	// busy_timeout comes into play only with other processes reading the file, such as a backup.
	const pragmas = "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_foreign_keys=on&_secure_delete=FAST"
	if err := lost(path); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	file := "file:" + (&url.URL{Path: path}).EscapedPath()
	write := sqlitePool(file+pragmas+"&_txlock=immediate&_cache_size=-32000",
		// A burst of commits appends without copying pages back in between.
		"PRAGMA wal_autocheckpoint = 8000",
		// What a savepoint needs to take back is kept in memory instead of a temporary file.
		"PRAGMA temp_store = MEMORY")
	write.SetMaxOpenConns(1)
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, damaged(err)), write.Close())
	}
	read := sqlitePool(file + pragmas + "&mode=ro&_query_only=1")
	read.SetMaxOpenConns(4)
	return &DB{write: write, read: read}, nil
}

// sqlitePool opens connections that begin with the given statements.
func sqlitePool(dsn string, begin ...string) *sqlx.DB {
	return sqlx.NewDb(sql.OpenDB(sqliteConnector{dsn, &sqlite3.SQLiteDriver{
		ConnectHook: func(c *sqlite3.SQLiteConn) error {
			for _, statement := range begin {
				if _, err := c.Exec(statement, nil); err != nil {
					return err
				}
			}
			return nil
		},
	}}), "sqlite3")
}

type sqliteConnector struct {
	dsn    string
	driver *sqlite3.SQLiteDriver
}

func (c sqliteConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c sqliteConnector) Driver() driver.Driver                        { return c.driver }

func openPostgres(ctx context.Context, url string) (*DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("GATEHOUSE_DATABASE_URL is not a PostgreSQL URL (postgres://user@host:5432/name)")
	}
	pool := sqlx.NewDb(stdlib.OpenDB(*config, stdlib.OptionAfterConnect(limitIdle)), "pgx")
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(16)
	pool.SetConnMaxLifetime(30 * time.Minute)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("reaching PostgreSQL: %s", describeConnect(err)), pool.Close())
	}
	return &DB{write: pool, read: pool, postgres: true}, nil
}

// limitIdle ends a transaction whose client has fallen silent. A replica that loses its power in the middle
// of one would otherwise keep its rows locked until TCP notices, and nobody could take its log over.
func limitIdle(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET idle_in_transaction_session_timeout = '30s'`)
	return err
}

// describeConnect keeps to one line what pgx spreads over several.
func describeConnect(err error) string {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Message
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// Close closes both pools.
func (db *DB) Close() error {
	if db.read == db.write {
		return db.write.Close()
	}
	return errors.Join(db.read.Close(), db.write.Close())
}

// Postgres tells which dialect this is.
func (db *DB) Postgres() bool { return db.postgres }

// Writer is the pool that may write, for the packages that bring the schema and the key set in place.
func (db *DB) Writer() *sqlx.DB { return db.write }

// Get reads one row outside of any transaction.
func (db *DB) Get(ctx context.Context, dest any, query string, args ...any) error {
	return db.read.GetContext(ctx, dest, db.read.Rebind(query), args...)
}

// Select reads rows outside of any transaction.
func (db *DB) Select(ctx context.Context, dest any, query string, args ...any) error {
	return db.read.SelectContext(ctx, dest, db.read.Rebind(query), args...)
}

// Tx is a transaction on the writing pool whose queries are written with `?`.
type Tx struct {
	*sqlx.Tx
	// Postgres tells the dialect, for the few queries that cannot be the same on both.
	Postgres bool

	sign func([]byte) []byte
}

// Sign signs data as DB.Sign does.
func (tx *Tx) Sign(data []byte) ([]byte, error) { return signed(tx.sign, data) }

// Begin starts a transaction. On SQLite it holds the write lock from its first moment.
func (db *DB) Begin(ctx context.Context) (*Tx, error) {
	tx, err := db.write.BeginTxx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &Tx{Tx: tx, Postgres: db.postgres, sign: db.sign}, nil
}

// Exec runs a statement and returns how many rows it touched.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return rowsAffected(tx.ExecContext(ctx, tx.Rebind(query), args...))
}

// Get reads one row.
func (tx *Tx) Get(ctx context.Context, dest any, query string, args ...any) error {
	return tx.GetContext(ctx, dest, tx.Rebind(query), args...)
}

// Select reads rows.
func (tx *Tx) Select(ctx context.Context, dest any, query string, args ...any) error {
	return tx.SelectContext(ctx, dest, tx.Rebind(query), args...)
}

// Retryable tells whether the same transaction may succeed if it is simply run again: PostgreSQL gave it
// up for a deadlock or a serialization failure.
func Retryable(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refused.Code == "40001" || refused.Code == "40P01")
}

// OfRow tells whether the error was about the values of one statement, so that others in the same
// transaction may go on without it; anything else (disk, connection) concerns the whole transaction.
func OfRow(err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		class := refused.Code[:2]
		return class == "22" || class == "23" // data exception, integrity constraint violation
	}
	if refused, ok := errors.AsType[sqlite3.Error](err); ok {
		switch refused.Code {
		case sqlite3.ErrConstraint, sqlite3.ErrTooBig, sqlite3.ErrMismatch, sqlite3.ErrRange:
			return true
		}
	}
	return false
}

// Broken tells whether the error came from the database at all, and not from the code that used it.
func Broken(err error) bool {
	if errors.Is(err, sql.ErrNoRows) {
		return false
	}
	_, postgres := errors.AsType[*pgconn.PgError](err)
	_, sqlite := errors.AsType[sqlite3.Error](err)
	_, network := errors.AsType[net.Error](err)
	return postgres || sqlite || network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrTxDone) ||
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded)
}
