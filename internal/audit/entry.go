package audit

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"gatehouse/internal/sqldb"
)

// Outcome says how something ended.
type Outcome string

const (
	// Started entries say what is about to be done; another entry names them and says how it ended.
	Started Outcome = "started"
	// Done: it happened.
	Done Outcome = "done"
	// Refused: somebody said no, and it did not happen.
	Refused Outcome = "refused"
	// Failed: it did not happen, or not as it was asked for.
	Failed Outcome = "failed"
	// Partial: it happened for some of those whom it was asked for, and for others not.
	Partial Outcome = "partial"
	// Unknown: it was sent, and whether it happened was not learned.
	Unknown Outcome = "unknown"
)

// Entry is one row of the audit log.
type Entry struct {
	// Actor is who did it, usually ActorFrom(ctx) of the request.
	Actor Actor
	// Action is a bounded word such as `api_key.create`: a noun, a full stop, a verb.
	Action string
	// Account is the DoorFlow account that it concerns, "" when it concerns none. Callers who are held to
	// accounts see the entries of those alone.
	Account string
	// Target is what it was done to: a name, an id, a method and path. At most 512 characters are kept.
	Target  string
	Outcome Outcome
	// Status is the HTTP status that said so, 0 where there is none.
	Status int
	// Started is the id of the entry that announced it, "" where none did.
	Started string
}

const (
	maxTarget = 512
	maxField  = 256
)

// Record adds an entry in the caller's transaction, at the end of a chain, and returns its id. When it fails, the
// caller's change must fail too. It waits for no other transaction.
func Record(ctx context.Context, tx *sqldb.Tx, e Entry) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("recording %s: %w", e.Action, err)
	}
	if e.Actor.Kind == "" {
		e.Actor.Kind = KindUnknown
	}
	r := &row{Millis: madeAt(id).UnixMilli(), Stored: Stored{
		ID: id.String(), ActorKind: string(e.Actor.Kind), Actor: plain(e.Actor.Name, maxField), KeyID: plain(e.Actor.KeyID, maxField),
		Remote: plain(e.Actor.Remote, maxField), RequestID: plain(e.Actor.RequestID, maxField), Action: e.Action,
		Account: plain(e.Account, maxField), Target: plain(e.Target, maxTarget), Outcome: string(e.Outcome), Status: e.Status, Started: e.Started,
	}}
	if err := link(ctx, tx, r); err != nil {
		return "", fmt.Errorf("recording %s: %w", e.Action, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO audit_log (id, at, actor_kind, actor, key_id, remote, request_id, action, account, target, outcome, status, started,
		chain, seq, prev, mac, heads) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Millis, r.ActorKind, r.Actor, r.KeyID, r.Remote, r.RequestID, r.Action, r.Account, r.Target, r.Outcome, r.Status, r.Started,
		r.Chain, r.Seq, r.Prev, r.MAC, r.Heads)
	if err != nil {
		return "", fmt.Errorf("recording %s: %w", e.Action, err)
	}
	return id.String(), nil
}

// madeAt is the moment in an id, so that the order of the ids is that of the times.
func madeAt(id uuid.UUID) time.Time {
	sec, nsec := id.Time().UnixTime()
	return time.Unix(sec, nsec)
}

// plain keeps foreign text storable, on one line and within bounds.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
