package webhooks

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
)

// listedAttempts is how many of a delivery's attempts a list shows.
const listedAttempts = 5

// lookAt is how many deliveries one page looks at for those that have arrived.
const lookAt = 10_000

// List returns an endpoint's deliveries, those of the newest messages first, and the cursor of the next page, "" at the
// end. status narrows them down, "" does not. Where many wait, a page of those that have arrived may hold few, or none, and
// yet have a next one.
func (d *Deliveries) List(ctx context.Context, endpoint, status, after string, limit int, of Limits) ([]Delivery, string, error) {
	e, err := d.Endpoints.Get(ctx, endpoint, of)
	if err != nil {
		return nil, "", err
	}
	below, err := parseMessageCursor(after)
	if err != nil {
		return nil, "", err
	}
	list := sqldb.Newest{
		Columns: listedColumns, Table: "deliveries", Place: []string{"message_id"}, Below: []any{below},
		Besides: sqldb.Cond{SQL: `endpoint_id = ?`, Args: []any{endpoint}}, Look: lookAt, Show: shownColumns, As: "d",
	}
	switch status {
	case "":
	case stateDelivered: // no index holds just these: there may be many, and of the others few
		list.Further = []sqldb.Cond{{SQL: `state = ?`, Args: []any{status}}}
	case stateWaiting, stateParked: // an index holds just these
		list.Besides.SQL, list.Besides.Args = list.Besides.SQL+` AND state <> 'delivered' AND state = ?`, append(list.Besides.Args, status)
	default:
		return nil, "", invalid.Field("status", "must be waiting, delivered or parked")
	}
	var rows []deliveryRow
	if err := list.Read(ctx, d.DB, &rows, limit+1); err != nil {
		return nil, "", fmt.Errorf("listing deliveries: %w", err)
	}
	next := ""
	if len(rows) > limit {
		rows, next = rows[:limit], messageCursor(rows[limit-1].MessageID)
	} else if list.Looks() {
		var last string
		switch err := list.Behind(ctx, d.DB, &last); {
		case err == nil:
			next = messageCursor(last)
		case !errors.Is(err, sql.ErrNoRows):
			return nil, "", fmt.Errorf("listing deliveries: %w", err)
		}
	}
	page, err := d.shown(ctx, e, rows, listedAttempts)
	return page, next, err
}

// DeliveryTo is a delivery with what its endpoint is called.
type DeliveryTo struct {
	Delivery
	// Name is what the endpoint is called.
	Name string
}

// listedOfMessage is how many deliveries of one message are listed.
const listedOfMessage = 100

// OfMessage returns a message's deliveries, as far as the caller may know of their endpoints.
func (d *Deliveries) OfMessage(ctx context.Context, message string, of Limits) ([]DeliveryTo, error) {
	var rows []deliveryRow
	if err := d.DB.Select(ctx, &rows, selectDelivery+` WHERE d.message_id = ? ORDER BY d.endpoint_id LIMIT ?`, message, maxEndpoints); err != nil {
		return nil, fmt.Errorf("listing the deliveries of message %s: %w", message, err)
	}
	var all []DeliveryTo
	for _, row := range rows {
		e, err := d.Endpoints.Get(ctx, row.EndpointID, of)
		if errors.Is(err, ErrNoEndpoint) {
			continue
		}
		if err != nil {
			return nil, err
		}
		one, err := d.shown(ctx, e, []deliveryRow{row}, 1)
		if err != nil {
			return nil, err
		}
		if all = append(all, DeliveryTo{one[0], e.Name()}); len(all) == listedOfMessage {
			break
		}
	}
	return all, nil
}

// Get returns one delivery with all attempts that are kept, or ErrNoDelivery.
func (d *Deliveries) Get(ctx context.Context, id string, of Limits) (Delivery, error) {
	message, endpoint, err := parseDeliveryID(id)
	if err != nil {
		return Delivery{}, err
	}
	e, err := d.endpointOf(ctx, endpoint, of)
	if err != nil {
		return Delivery{}, err
	}
	var row deliveryRow
	err = d.DB.Get(ctx, &row, selectDelivery+` WHERE d.message_id = ? AND d.endpoint_id = ?`, message, endpoint)
	if errors.Is(err, sql.ErrNoRows) {
		return Delivery{}, ErrNoDelivery
	}
	if err != nil {
		return Delivery{}, fmt.Errorf("reading a delivery: %w", err)
	}
	one, err := d.shown(ctx, e, []deliveryRow{row}, keepAttempts)
	if err != nil {
		return Delivery{}, err
	}
	return one[0], nil
}

// Parked returns the ids of an endpoint's deliveries that were given up, those of the oldest messages first: whoever
// retries them in that order keeps the order of what was said. next is the cursor of the next page, "" at the end.
func (d *Deliveries) Parked(ctx context.Context, endpoint, after string, limit int, of Limits) (ids []string, next string, err error) {
	if _, err := d.Endpoints.Get(ctx, endpoint, of); err != nil {
		return nil, "", err
	}
	above := ""
	if after != "" {
		if above, err = parseMessageCursor(after); err != nil {
			return nil, "", err
		}
	}
	var messages []string
	const query = `SELECT message_id FROM deliveries WHERE endpoint_id = ? AND state <> 'delivered' AND state = 'parked' AND message_id > ? ORDER BY message_id LIMIT ?`
	if err := d.DB.Select(ctx, &messages, query, endpoint, above, limit); err != nil {
		return nil, "", fmt.Errorf("listing what is parked: %w", err)
	}
	for _, message := range messages {
		ids = append(ids, deliveryID(message, endpoint))
	}
	if len(messages) == limit {
		next = messageCursor(messages[limit-1])
	}
	return ids, next, nil
}

// endpointOf returns a delivery's endpoint. To those who may not know of it, there is no delivery either.
func (d *Deliveries) endpointOf(ctx context.Context, id string, of Limits) (*Endpoint, error) {
	e, err := d.Endpoints.Get(ctx, id, of)
	if errors.Is(err, ErrNoEndpoint) {
		return nil, ErrNoDelivery
	}
	return e, err
}

// Retry has a delivery sent again, whatever became of it, at once and by a new schedule. One that is just being sent is
// left alone. To an ordered endpoint one that waits goes in its old place, and another after all that wait. Errors: ErrNoDelivery, ErrEndpointDisabled, ErrMessageGone.
func (d *Deliveries) Retry(ctx context.Context, id string, of Limits) (Delivery, error) {
	message, endpoint, err := parseDeliveryID(id)
	if err != nil {
		return Delivery{}, err
	}
	e, err := d.endpointOf(ctx, endpoint, of)
	if err == nil && !e.Enabled {
		err = ErrEndpointDisabled
	}
	if err != nil {
		return Delivery{}, err
	}
	entry := audit.Entry{Actor: audit.ActorFrom(ctx), Action: "delivery.retry", Target: id, Outcome: audit.Done}
	now, place := d.Now().UnixMilli(), d.place()
	err = d.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		there, err := heldDelivery(ctx, tx, message, endpoint)
		switch {
		case err != nil:
			return err
		case !there:
			return ErrMessageGone
		}
		// One that waits keeps its place: others of an ordered endpoint wait behind it.
		_, err = tx.Exec(ctx, `UPDATE deliveries SET place = CASE WHEN state = 'waiting' THEN place ELSE ? END, state = 'waiting', holder = '', due_at = ?,
			round_from = attempts, round_at = ?, settled_at = 0 WHERE message_id = ? AND endpoint_id = ? AND (holder = '' OR due_at <= ?)`,
			place, now, now, message, endpoint, now)
		if err == nil {
			_, err = audit.Record(ctx, tx.Tx, entry)
		}
		return err
	})
	if err != nil {
		return Delivery{}, err
	}
	d.lanes.stir(endpoint)
	return d.Get(ctx, id, of)
}

// heldDelivery has a delivery and its message stay until the change is committed, and tells whether the message is there.
// Error: ErrNoDelivery.
func heldDelivery(ctx context.Context, tx *events.Tx, message, endpoint string) (bool, error) {
	inLog, err := held(ctx, tx, []string{message})
	there := inLog[message]
	if err == nil && !there {
		there, err = heldBody(ctx, tx, message)
	}
	if err != nil {
		return false, err
	}
	query := `SELECT message_id FROM deliveries WHERE message_id = ? AND endpoint_id = ?`
	if tx.Postgres {
		query += ` FOR UPDATE`
	}
	var id string
	err = tx.Get(ctx, &id, query, message, endpoint)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoDelivery
	}
	return there, err
}

// lastMessage is above every id.
const lastMessage = "ffffffff-ffff-ffff-ffff-ffffffffffff"

func messageCursor(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

func parseMessageCursor(s string) (string, error) {
	if s == "" {
		return lastMessage, nil
	}
	if len(s) <= base64.RawURLEncoding.EncodedLen(len(lastMessage)) {
		if id, err := base64.RawURLEncoding.DecodeString(s); err == nil && isEndpointID(string(id)) {
			return string(id), nil
		}
	}
	return "", invalid.Field("after", "is not a cursor that this list gave out")
}

// firstMessage is the smallest id of a moment, "" before there were any.
func firstMessage(t time.Time) string {
	ms := t.UnixMilli()
	if ms <= 0 || ms >= 1<<48 {
		return ""
	}
	return fmt.Sprintf("%08x-%04x-0000-0000-000000000000", ms>>16, ms&0xffff)
}
