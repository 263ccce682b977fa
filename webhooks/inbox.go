package webhooks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
)

// States of a notification.
const (
	stateOpen    = "open"    // to be fetched
	stateDone    = "done"    // fetched, and what it told has been said
	stateGone    = "gone"    // DoorFlow has it no more
	stateParked  = "parked"  // refused; fetched again when the account reconnects
	stateFlagged = "flagged" // never to be fetched
)

// seenEvery is how often an account's last webhook is noted.
const seenEvery = 10 * time.Second

// item is a notification on its way into the database.
type item struct {
	key     []byte
	note    doorflow.Notification
	target  doorflow.Target
	flag    doorflow.Flag
	at      int64
	message events.Encoded
	double  bool // set by the commit
}

// newItem prepares an item: its key, what it points at, and the message that reports it.
func newItem(n doorflow.Notification, target doorflow.Target, flag doorflow.Flag, connected bool, at time.Time) (*item, error) {
	topic := events.NotificationTopic(n.AccountID, n.ResourceType, n.Action)
	m := events.NewMessage(topic, at, n.Public())
	m.Subject = resourceName(n.ResourceType, n.ResourceID)
	m.Origin = events.OriginWebhook
	if m.Flag = string(flag); flag == "" && !connected {
		m.Flag = flagNotConnected
	}
	encoded, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return &item{
		key: notificationKey(n, target, flag), note: n, target: target, flag: flag,
		at: at.UnixMilli(), message: encoded,
	}, nil
}

// flagNotConnected marks the notification of an account that has no active connection.
const flagNotConnected = "not_connected"

// resourceName is a resource as the subject of a CloudEvent: events/700000001.
func resourceName(resourceType, id string) string {
	switch resourceType {
	case doorflow.TypeEvent, doorflow.TypePerimeterEvent:
		return "events/" + events.Token(id)
	case doorflow.TypeCredential:
		return "credentials/" + events.Token(id)
	case "":
		return ""
	default:
		return events.Token(strings.ToLower(resourceType)) + "/" + events.Token(id)
	}
}

// notificationKey is what makes a notification the same as another: the account, the ack token and what
// it speaks of, or where those are incomplete the whole item. It begins with what rises in time, the id of
// an event, so that the newest keys lie together in the index and a commit touches few of its pages.
func notificationKey(n doorflow.Notification, t doorflow.Target, flag doorflow.Flag) []byte {
	if flag != "" {
		sum := sha256.Sum256(n.Raw)
		return append([]byte("?"), sum[:16]...)
	}
	fields := make([]byte, 0, 256)
	for _, p := range [...]string{n.AccountID, t.AckToken, n.ResourceType, n.ResourceID, n.Action} {
		fields = binary.BigEndian.AppendUint32(fields, uint32(len(p)))
		fields = append(fields, p...)
	}
	sum := sha256.Sum256(fields)
	key := make([]byte, 0, len(n.AccountID)+len(n.ResourceID)+2+16)
	key = append(append(key, n.AccountID...), '/')
	key = append(append(key, n.ResourceID...), '/')
	return append(key, sum[:16]...)
}

// inbox writes items, many callers' at a time.
type inbox struct {
	insert *sqldb.Inserter

	mu   sync.Mutex
	seen map[string]int64 // when webhook_seen was last written, by account
}

var notificationColumns = []string{
	"key", "account", "resource_type", "resource_id", "action", "path", "ack_token", "callback",
	"flag", "state", "due_at", "message_id", "received_at",
}

func newInbox(ctx context.Context, db *sqldb.DB) (*inbox, error) {
	insert, err := db.NewInserter(ctx, "notifications", notificationColumns, "ON CONFLICT (key) DO NOTHING")
	return &inbox{insert: insert, seen: map[string]int64{}}, err
}

// write stores the items that are new and says their messages; of the others it notes that they came
// again. Items are inserted in the order of their keys: two replicas may hold the same one.
func (in *inbox) write(ctx context.Context, tx *events.Tx, items []*item) error {
	sorted := slices.Clone(items)
	slices.SortStableFunc(sorted, func(a, b *item) int { return bytes.Compare(a.key, b.key) })
	args := make([]any, 0, len(items)*len(notificationColumns))
	distinct := 0
	for i, it := range sorted {
		if it.double = i > 0 && bytes.Equal(it.key, sorted[i-1].key); it.double {
			continue
		}
		distinct++
		state := stateOpen
		if it.flag != "" {
			state = stateFlagged
		}
		n := &it.note
		args = append(args, it.key, storable(n.AccountID), storable(n.ResourceType), storable(n.ResourceID), storable(n.Action),
			it.target.Path, it.target.AckToken, it.target.Callback, string(it.flag), state, it.at, it.message.ID, it.at)
	}
	inserted, err := in.insert.Exec(ctx, tx.Tx, args)
	if err != nil {
		return err
	}
	if int(inserted) != distinct {
		if err := markDoubles(ctx, tx, sorted); err != nil {
			return err
		}
	}
	if int(inserted) != len(items) {
		if err := countDoubles(ctx, tx, sorted); err != nil {
			return err
		}
	}
	for _, it := range items {
		if !it.double {
			tx.Append(it.message)
		}
	}
	return in.noteSeen(ctx, tx, items)
}

// storable is a string from outside as a column takes it: PostgreSQL refuses NUL, and what is too long
// belongs to an item that is flagged anyway.
func storable(s string) string {
	if len(s) > 256 {
		s = strings.ToValidUTF8(s[:256], "")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}

// markDoubles finds out which items were there before: those whose row carries another message id.
func markDoubles(ctx context.Context, tx *events.Tx, items []*item) error {
	for chunk := range slices.Chunk(items, 256) {
		keys := make([][]byte, len(chunk))
		for i, it := range chunk {
			keys[i] = it.key
		}
		query, args, err := sqlx.In(`SELECT message_id FROM notifications WHERE key IN (?)`, keys)
		if err != nil {
			return err
		}
		var ids []string
		if err := tx.Select(ctx, &ids, query, args...); err != nil {
			return err
		}
		ours := make(map[string]bool, len(ids))
		for _, id := range ids {
			ours[id] = true
		}
		for _, it := range chunk {
			it.double = !ours[it.message.ID]
		}
	}
	return nil
}

// countDoubles notes that items came again. One that had been fetched is fetched once more: DoorFlow
// sends it again because it does not count it as acknowledged. Items come sorted by their keys; however
// often one key is among them, it takes one statement at most.
func countDoubles(ctx context.Context, tx *events.Tx, items []*item) error {
	const again = `UPDATE notifications SET deliveries = deliveries + ?, due_at = ?, attempts = 0,
		state = CASE WHEN state IN ('done', 'gone') THEN 'open' ELSE state END WHERE key IN (?)`
	var once [][]byte
	var latest int64
	for len(items) > 0 {
		key, times := items[0].key, 0
		for ; len(items) > 0 && bytes.Equal(items[0].key, key); items = items[1:] {
			if items[0].double {
				times, latest = times+1, max(latest, items[0].at)
			}
		}
		if times == 1 {
			once = append(once, key)
		} else if times > 1 {
			if _, err := tx.Exec(ctx, again, times, latest, key); err != nil {
				return err
			}
		}
	}
	for keys := range slices.Chunk(once, 256) {
		query, args, err := sqlx.In(again, 1, latest, keys)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// noteSeen stores when an account's webhooks last came, about every ten seconds, and ends a silence.
func (in *inbox) noteSeen(ctx context.Context, tx *events.Tx, items []*item) error {
	due := map[string]int64{}
	in.mu.Lock()
	for _, it := range items {
		if a := it.note.AccountID; it.flag == "" && it.at-in.seen[a] > seenEvery.Milliseconds() {
			due[a] = max(due[a], it.at)
		}
	}
	in.mu.Unlock()
	for _, account := range slices.Sorted(maps.Keys(due)) {
		const upsert = `INSERT INTO webhook_seen (account, at) VALUES (?, ?)
			ON CONFLICT (account) DO UPDATE SET at = excluded.at WHERE webhook_seen.at < excluded.at`
		if _, err := tx.Exec(ctx, upsert, storable(account), due[account]); err != nil {
			return err
		}
		if err := sayResumed(ctx, tx, storable(account), time.UnixMilli(due[account])); err != nil {
			return err
		}
	}
	return nil
}

// noted remembers, after the commit, what noteSeen need not store again for a while. Before it nobody can
// tell whether the change is run again.
func (in *inbox) noted(items []*item) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, it := range items {
		if a := it.note.AccountID; it.flag == "" && it.at-in.seen[a] > seenEvery.Milliseconds() {
			in.seen[a] = it.at
		}
	}
}
