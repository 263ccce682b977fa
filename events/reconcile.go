package events

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// JetStream acknowledges before it syncs, forgets message ids after two minutes, and may be put back to
// an older copy. So the relay never assumes what the stream holds: at start, after a reconnect, after an
// error and every minute it looks for the newest checkpoint that still stands in the stream, reads which
// rows stand after it, and publishes exactly the others.

// checkpoint says: when message ID stands at StreamSeq of the stream created at StreamCreated, then every
// row up to Seq is in the stream. The newest of a writer is the relay's cursor.
type checkpoint struct {
	Seq           int64  `db:"seq"`
	MessageID     string `db:"message_id"`
	StreamSeq     int64  `db:"stream_seq"`
	StreamCreated int64  `db:"stream_created"`
}

// answerWait is how long NATS may take to answer while the log is compared with the stream. An answer that
// was lost with its connection never comes, and looking again costs little.
const answerWait = 10 * time.Second

func (r *Relay) doubt(reason string) {
	r.metrics.reconciles.WithLabelValues(reason).Inc()
	clear(r.flights)
	for _, l := range r.lanes {
		l.ready, l.flights = false, nil
	}
	r.owned = time.Time{}
}

func (r *Relay) doubtful() bool {
	if r.owned.IsZero() {
		return true
	}
	for _, l := range r.lanes {
		if !l.ready {
			return true
		}
	}
	return false
}

// reconcile brings every doubtful lane to what the stream really holds.
func (r *Relay) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	stream, err := r.stream(ctx)
	if err != nil {
		return err
	}
	view := streamView{stream: stream, info: stream.CachedInfo()}
	view.created = view.info.Created.UnixNano()
	from := int64(math.MaxInt64)
	starts := map[int64]checkpoint{}
	for _, l := range r.lanes {
		if l.ready {
			continue
		}
		start, err := r.lastHolding(ctx, view, l)
		if err != nil {
			return err
		}
		starts[l.writer] = start
		if start.Seq < l.head {
			from = min(from, start.StreamSeq+1)
		}
	}
	found, tops, err := view.scan(ctx, from, starts)
	if err != nil {
		return err
	}
	for writer, start := range starts {
		l := r.lanes[writer]
		top := position{start.StreamSeq, start.MessageID}
		if tops[writer].seq > top.seq {
			top = tops[writer]
		}
		present := found[writer]
		if present == nil {
			present = &seqSet{base: start.Seq}
		}
		if int64(view.info.State.FirstSeq) > start.StreamSeq+1 {
			// Limits have removed part of what followed the checkpoint. Rows are published in order,
			// so those before the first that is still there had been published.
			for seq, low := start.Seq+1, present.low; seq < low; seq++ {
				present.add(seq)
			}
		}
		l.rewind(start.Seq, top, *present)
	}
	r.created = view.created
	if len(r.flights) == 0 {
		r.floor = int64(view.info.State.LastSeq)
	}
	return nil
}

// stream looks the stream up, and declares it again where it is gone.
func (r *Relay) stream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stream, err := r.bus.JS.Stream(ctx, StreamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		r.logger.Warn("the stream is gone; declaring it again", "stream", StreamName)
		if err := r.bus.Declare(ctx); err != nil {
			return nil, err
		}
		stream, err = r.bus.JS.Stream(ctx, StreamName)
	}
	if err != nil {
		return nil, fmt.Errorf("looking up stream %s: %w", StreamName, err)
	}
	return stream, nil
}

// lastHolding returns the newest checkpoint of a lane that still holds, and removes those after it.
func (r *Relay) lastHolding(ctx context.Context, view streamView, l *lane) (checkpoint, error) {
	var all []checkpoint
	const query = `SELECT seq, message_id, stream_seq, stream_created FROM relay_checkpoints WHERE writer = ? ORDER BY seq DESC`
	if err := r.db.Select(ctx, &all, query, l.writer); err != nil {
		return checkpoint{}, err
	}
	if len(all) == 0 && (l.head == 0 || l.unheard) {
		return r.anchor(ctx, view, l)
	}
	// What is lost from a stream is lost from its end, so if a checkpoint holds, all older ones do.
	var failed error
	i := sort.Search(len(all), func(i int) bool {
		if failed != nil {
			return true // nothing is to be learned now
		}
		var holds bool
		holds, failed = view.holds(ctx, all[i])
		return holds
	})
	if failed != nil {
		return checkpoint{}, failed
	}
	if i == 0 && len(all) > 0 {
		return all[0], nil
	}
	start := checkpoint{StreamCreated: view.created}
	if i < len(all) {
		start = all[i]
	}
	if len(all) > 0 {
		r.logger.Warn("the stream lacks messages that it had acknowledged; publishing them again",
			"writer", l.writer, "from", start.Seq+1, "to", all[0].Seq)
	}
	return start, r.log.DoUrgent(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM relay_checkpoints WHERE writer = ? AND seq > ?`, l.writer, start.Seq)
		return err
	})
}

// anchor is the first checkpoint of a writer that has published nothing yet: whatever stands in the
// stream now is not of this writer, and need not be read if the process dies soon.
func (r *Relay) anchor(ctx context.Context, view streamView, l *lane) (checkpoint, error) {
	last := checkpoint{StreamSeq: int64(view.info.State.LastSeq), StreamCreated: view.created}
	if last.StreamSeq > 0 {
		id, err := view.idAt(ctx, last.StreamSeq)
		if err != nil {
			return last, err
		}
		last.MessageID = id
	}
	return last, r.log.DoUrgent(ctx, func(ctx context.Context, tx *Tx) error { return insertCheckpoint(ctx, tx, l.writer, last) })
}

// streamView is the stream as it was when reconciling began.
type streamView struct {
	stream  jetstream.Stream
	info    *jetstream.StreamInfo
	created int64
}

func (v streamView) holds(ctx context.Context, c checkpoint) (bool, error) {
	switch {
	case c.StreamCreated != v.created || c.StreamSeq > int64(v.info.State.LastSeq):
		return false, nil
	case c.StreamSeq < int64(v.info.State.FirstSeq):
		return true, nil // limits removed it, or nothing had been published yet
	}
	id, err := v.idAt(ctx, c.StreamSeq)
	return err == nil && id == c.MessageID, err
}

// idAt returns the id of the message at a place in the stream, "" where there is none.
func (v streamView) idAt(ctx context.Context, seq int64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	m, err := v.stream.GetMsg(ctx, uint64(seq))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the stream at %d: %w", seq, err)
	}
	return m.Header.Get(jetstream.MsgIDHeader), nil
}

// scan reads the headers of the stream from a place on, and returns which rows of the writers stand there
// beyond their checkpoints.
func (v streamView) scan(ctx context.Context, from int64, starts map[int64]checkpoint) (map[int64]*seqSet, map[int64]position, error) {
	found, tops := map[int64]*seqSet{}, map[int64]position{}
	last := int64(v.info.State.LastSeq)
	from = max(from, int64(v.info.State.FirstSeq), 1)
	if from > last {
		return found, tops, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stalled := time.AfterFunc(answerWait, cancel)
	defer stalled.Stop()
	consumer, err := v.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: uint64(from), HeadersOnly: true,
		InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the stream: %w", err)
	}
	defer func() { _ = v.stream.DeleteConsumer(ctx, consumer.CachedInfo().Name) }()
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1000))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the stream: %w", err)
	}
	defer messages.Stop()
	for at := int64(0); at < last; {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, nil, fmt.Errorf("reading the stream: %w", err)
		}
		stalled.Reset(answerWait)
		meta, err := m.Metadata()
		if err != nil {
			return nil, nil, fmt.Errorf("reading the stream: %w", err)
		}
		at = int64(meta.Sequence.Stream)
		writer, seq := parseLogHeader(m.Headers().Get(logHeader))
		if start, ours := starts[writer]; ours && seq > start.Seq {
			if found[writer] == nil {
				found[writer] = &seqSet{base: start.Seq}
			}
			found[writer].add(seq)
			tops[writer] = position{at, m.Headers().Get(jetstream.MsgIDHeader)}
		}
		if meta.NumPending == 0 {
			break
		}
	}
	return found, tops, nil
}

func parseLogHeader(h string) (writer, seq int64) {
	w, s, _ := strings.Cut(h, ".")
	writer, err := strconv.ParseInt(w, 10, 64)
	if err != nil {
		return 0, 0
	}
	seq, err = strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, 0
	}
	return writer, seq
}

// verifyStream compares the newest checkpoint with the stream. If it fails, every lane is in doubt.
func (r *Relay) verifyStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var top position
	for _, l := range r.lanes {
		if l.top.seq > top.seq {
			top = l.top
		}
	}
	stream, err := r.stream(ctx)
	if err != nil {
		return err
	}
	view := streamView{stream: stream, info: stream.CachedInfo()}
	view.created = view.info.Created.UnixNano()
	if top.seq == 0 {
		return nil
	}
	holds, err := view.holds(ctx, checkpoint{StreamSeq: top.seq, MessageID: top.id, StreamCreated: r.created})
	if err == nil && !holds {
		err = errRanBackwards
	}
	return err
}
