package webhooks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/events"
)

// tally counts attempts until they are stored, which a crash may prevent: they are for people to look at.
type tally struct {
	mu     sync.Mutex
	counts map[hourOf]counted
}

type hourOf struct {
	endpoint string
	hour     int64
}

type counted struct{ delivered, failed int64 }

func newTally() *tally { return &tally{counts: map[hourOf]counted{}} }

func (t *tally) count(r result) {
	if r.verdict == putBack || r.attempt.Outcome == OutcomeMissing {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	of := hourOf{r.endpoint.ID, r.at.Unix() / 3600}
	c := t.counts[of]
	if r.verdict == arrived {
		c.delivered++
	} else {
		c.failed++
	}
	t.counts[of] = c
}

// saveTally adds what was counted to the database, also when the process is stopping meanwhile.
func (d *Deliveries) saveTally(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tallyTimeout)
	defer cancel()
	d.tally.mu.Lock()
	counts := d.tally.counts
	d.tally.counts = map[hourOf]counted{}
	d.tally.mu.Unlock()
	if len(counts) == 0 {
		return
	}
	order := slices.SortedFunc(maps.Keys(counts), func(a, b hourOf) int { return strings.Compare(a.endpoint, b.endpoint) })
	err := d.Log.Do(ctx, func(ctx context.Context, tx *events.Tx) error {
		for _, of := range order {
			_, err := tx.Exec(ctx, `INSERT INTO delivery_hours (endpoint_id, hour, delivered, failed) VALUES (?, ?, ?, ?)
				ON CONFLICT (endpoint_id, hour) DO UPDATE SET delivered = delivery_hours.delivered + excluded.delivered,
				failed = delivery_hours.failed + excluded.failed`, of.endpoint, of.hour, counts[of].delivered, counts[of].failed)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		d.Logger.Debug("how many attempts there were was not stored", "error", err)
	}
}

// countUpTo is written out and what is counted is put in the order of an index: PostgreSQL would otherwise look for so many
// along the whole table, and that for each endpoint that has fewer.
var countUpTo = strconv.Itoa(CountUpTo)

// Health tells how deliveries to endpoints fare. Endpoints without any are not in the answer.
func (d *Deliveries) Health(ctx context.Context, ids ...string) (map[string]Health, error) {
	all := map[string]Health{}
	since := d.Now().Add(-24*time.Hour).Unix() / 3600
	for chunk := range slices.Chunk(ids, 200) {
		var rows []struct {
			ID                string
			Waiting, Parked   int64
			Oldest            int64
			Delivered, Failed int64
		}
		args := []any{since, since}
		for _, id := range chunk {
			args = append(args, id)
		}
		err := d.DB.Select(ctx, &rows, `SELECT e.id AS id,
			(SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d WHERE d.endpoint_id = e.id AND d.state = 'waiting' ORDER BY d.due_at LIMIT `+countUpTo+`) AS w) AS waiting,
			(SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d WHERE d.endpoint_id = e.id AND d.state = 'parked' AND d.state <> 'delivered' ORDER BY d.message_id LIMIT `+countUpTo+`) AS p) AS parked,
			COALESCE((SELECT MIN(d.place) FROM deliveries d WHERE d.endpoint_id = e.id AND d.state = 'waiting'), 0) AS oldest,
			COALESCE((SELECT SUM(h.delivered) FROM delivery_hours h WHERE h.endpoint_id = e.id AND h.hour >= ?), 0) AS delivered,
			COALESCE((SELECT SUM(h.failed) FROM delivery_hours h WHERE h.endpoint_id = e.id AND h.hour >= ?), 0) AS failed
			FROM endpoints e WHERE e.id IN (''`+strings.Repeat(`, ?`, len(chunk))+`)`, args...)
		if err != nil {
			return nil, fmt.Errorf("reading how endpoints fare: %w", err)
		}
		for _, r := range rows {
			h := Health{Waiting: r.Waiting, Parked: r.Parked, Delivered: r.Delivered, Failed: r.Failed}
			if r.Oldest > 0 {
				h.OldestWaiting = time.UnixMicro(r.Oldest).UTC()
			}
			all[r.ID] = h
		}
	}
	return all, nil
}
