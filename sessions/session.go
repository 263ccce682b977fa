package sessions

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/apikeys"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

const (
	// Lasts is how long a session lives, however much it is used.
	Lasts = 12 * time.Hour
	// idleFor is how long it lives unused, and seenEvery how exactly that is kept.
	idleFor   = 2 * time.Hour
	seenEvery = time.Minute
	// seeWithin is how long a page waits for that to be stored.
	seeWithin = 500 * time.Millisecond
	// perKey bounds the sessions of a key: with one more, the oldest ends.
	perKey = 50
	// maxBrowser is how many bytes are kept of what a browser says of itself.
	maxBrowser = 200
)

// Config is what Sessions need.
type Config struct {
	DB     *sqldb.DB
	Events *events.Log
	Keys   *apikeys.Keys
	Now    func() time.Time // nil means time.Now
}

// Sessions are those of the gateway.
type Sessions struct {
	db     *sqldb.DB
	events *events.Log
	keys   *apikeys.Keys
	now    func() time.Time
}

// New makes them.
func New(c Config) *Sessions {
	s := &Sessions{db: c.DB, events: c.Events, keys: c.Keys, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Browser is where a session is opened.
type Browser struct {
	// Says is what it says of itself, of which 200 bytes are kept.
	Says string
	// Had is the session that it had before, which ends; zero for none.
	Had vault.Secret
}

// opening is a session that is about to be stored.
type opening struct {
	Browser
	token      vault.Secret
	key, stamp string
	way        string
	now        int64
	by         audit.Actor
}

// How somebody signed in.
const (
	withKey  = "key"
	withLink = "link"
)

// Open begins a session for a key that was authenticated just now, and returns what the cookie is to hold.
func (s *Sessions) Open(ctx context.Context, key string, in Browser) (vault.Secret, error) {
	stamp, err := s.keys.Stamp(key)
	if err != nil {
		return vault.Secret{}, fmt.Errorf("opening a session: %w", err)
	}
	o := opening{in, random(), key, stamp, withKey, s.now().UnixMilli(), audit.ActorFrom(ctx)}
	if err := s.events.Do(ctx, o.store); err != nil {
		return vault.Secret{}, fmt.Errorf("opening a session: %w", err)
	}
	return o.token, nil
}

// store stores a session, and ends those that are over, too many, or this browser's own from before.
func (o opening) store(ctx context.Context, tx *events.Tx) error {
	if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE expires_at <= ? OR seen_at <= ?`, o.now, o.now-idleFor.Milliseconds()); err != nil {
		return err
	}
	if err := o.replace(ctx, tx); err != nil {
		return err
	}
	evicted, err := tx.Exec(ctx, `DELETE FROM sessions WHERE token_hash IN
		(SELECT token_hash FROM sessions WHERE key_id = ? ORDER BY created_at DESC LIMIT 1000 OFFSET ?)`, o.key, perKey-1)
	if err != nil {
		return err
	}
	for range evicted {
		if err := record(ctx, tx, o.by, "session.evict", o.key+": it had 50 others"); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO sessions (token_hash, key_id, stamp, created_at, seen_at, expires_at, way, remote, browser)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		digest(o.token), o.key, o.stamp, o.now, o.now, o.now+Lasts.Milliseconds(), o.way, o.by.Remote, printable(o.Says)); err != nil {
		return err
	}
	return record(ctx, tx, o.by, "session.open", o.key+": with the "+o.way)
}

// replace ends the session that the browser had, whose ever it was: nobody can come back to it.
func (o opening) replace(ctx context.Context, tx *events.Tx) error {
	if !plausible(o.Had) {
		return nil
	}
	var key string
	err := tx.Get(ctx, &key, `SELECT key_id FROM sessions WHERE token_hash = ?`, digest(o.Had))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE token_hash = ?`, digest(o.Had)); err != nil {
		return err
	}
	return record(ctx, tx, o.by, "session.close", key+": its browser signed in again")
}

// printable keeps what a browser says of itself storable, and short.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
	for len(s) > maxBrowser {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

func record(ctx context.Context, tx *events.Tx, by audit.Actor, action, target string) error {
	_, err := audit.Record(ctx, tx.Tx, audit.Entry{Actor: by, Action: action, Target: target, Outcome: audit.Done})
	return err
}

// Find returns the key that a session stands for; ok is false when there is no such session, or no longer. With used
// the session is kept from ending for being idle.
func (s *Sessions) Find(ctx context.Context, token vault.Secret, used bool) (key apikeys.Key, ok bool, err error) {
	if !plausible(token) {
		return apikeys.Key{}, false, nil
	}
	var r struct {
		Key     string `db:"key_id"`
		Stamp   string
		Seen    int64 `db:"seen_at"`
		Expires int64 `db:"expires_at"`
	}
	hash, now := digest(token), s.now().UnixMilli()
	err = s.db.Get(ctx, &r, `SELECT key_id, stamp, seen_at, expires_at FROM sessions WHERE token_hash = ?`, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return apikeys.Key{}, false, nil
	}
	if err != nil {
		return apikeys.Key{}, false, fmt.Errorf("looking a session up: %w", err)
	}
	if now >= r.Expires || now >= r.Seen+idleFor.Milliseconds() {
		return apikeys.Key{}, false, nil
	}
	if key, ok, err = s.keys.Again(ctx, r.Key, r.Stamp); !ok || err != nil {
		return apikeys.Key{}, false, err
	}
	if used && now >= r.Seen+seenEvery.Milliseconds() {
		err = s.see(ctx, hash, now)
	}
	return key, err == nil, err
}

// see notes that a session was used. Who reads is not kept out where that cannot be stored: the next minute tries again.
func (s *Sessions) see(ctx context.Context, hash []byte, now int64) error {
	brief, cancel := context.WithTimeout(ctx, seeWithin)
	defer cancel()
	err := s.events.Do(brief, func(ctx context.Context, tx *events.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE sessions SET seen_at = ? WHERE token_hash = ? AND seen_at < ?`, now, hash, now)
		return err
	})
	if errors.Is(err, events.ErrOverloaded) || errors.Is(err, events.ErrStorage) || brief.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// random returns 256 bits as base64url.
func random() vault.Secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return vault.NewSecret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// plausible tells whether a text can be a token at all. What cannot need not be looked up.
func plausible(token vault.Secret) bool { return len(token.Reveal()) == 43 }

// digest is how tokens are stored: they are too long to be guessed, so they need no salt.
func digest(token vault.Secret) []byte {
	sum := sha256.Sum256([]byte(token.Reveal()))
	return sum[:]
}
