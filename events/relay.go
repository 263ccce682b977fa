package events

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/internal/sqldb"
)

const (
	// logHeader tells which row of which writer a message in the stream is; reconciling reads it.
	logHeader = "Gatehouse-Log"
	// window bounds how many rows may be on their way at once.
	window = 2048
	// ackWait is how long an acknowledgement may take before the stream is asked what it has.
	ackWait     = 10 * time.Second
	saveEvery   = time.Second
	pollEvery   = time.Second
	adoptEvery  = 5 * time.Second
	verifyEvery = time.Minute
)

// RelayConfig is what a Relay needs.
type RelayConfig struct {
	DB         *sqldb.DB
	Log        *Log
	Bus        *Bus
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	// VerifyEvery is how often the stream is compared with the newest checkpoints; 0 means a minute.
	VerifyEvery time.Duration
}

// Relay publishes the log in the stream, every message once by id. It holds one lane for each writer whose
// log belongs to this process: its own, and those of processes that died.
type Relay struct {
	db      *sqldb.DB
	log     *Log
	bus     *Bus
	feed    *Feed
	logger  *slog.Logger
	metrics *relayMetrics
	verify  time.Duration

	lanes   map[int64]*lane
	flights map[uint64]*flight
	token   uint64
	epoch   int64
	created int64 // when the stream was made, Unix nanoseconds
	floor   int64 // no new message may get a place in the stream at or below this
	owned   time.Time
	inbox   string
	acks    chan *nats.Msg
	pause   time.Duration
}

// NewRelay prepares a relay. It takes the log's feed, so it must be made before the log runs.
func NewRelay(c RelayConfig) *Relay {
	if c.VerifyEvery == 0 {
		c.VerifyEvery = verifyEvery
	}
	return &Relay{
		db: c.DB, log: c.Log, bus: c.Bus, feed: c.Log.Feed(), logger: c.Logger, verify: c.VerifyEvery,
		metrics: newRelayMetrics(c.Registerer),
		lanes:   map[int64]*lane{}, flights: map[uint64]*flight{},
		inbox: nats.NewInbox(), acks: make(chan *nats.Msg, 4*window),
	}
}

// Run relays until ctx ends; then it waits a moment for what is on its way and saves its cursors.
func (r *Relay) Run(ctx context.Context) error {
	sub, err := r.bus.Conn.ChanSubscribe(r.inbox+".*", r.acks)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	ticks := newRelayTicks(r.verify)
	defer ticks.stop()
	r.doubt("start")
	for ctx.Err() == nil {
		if err := r.step(ctx, ticks); err != nil && ctx.Err() == nil {
			r.stumble(ctx, err)
		}
	}
	r.finish()
	return nil
}

type relayTicks struct{ save, poll, adopt, verify *time.Ticker }

func newRelayTicks(verify time.Duration) relayTicks {
	return relayTicks{time.NewTicker(saveEvery / 4), time.NewTicker(pollEvery), time.NewTicker(adoptEvery), time.NewTicker(verify)}
}

func (t relayTicks) stop() {
	for _, ticker := range []*time.Ticker{t.save, t.poll, t.adopt, t.verify} {
		ticker.Stop()
	}
}

// step does what can be done now, then waits for something to happen. An error puts every lane in doubt.
func (r *Relay) step(ctx context.Context, ticks relayTicks) error {
	if epoch := r.bus.epoch.Load(); epoch != r.epoch {
		r.epoch = epoch
		r.doubt("reconnect")
	}
	if !r.bus.Conn.IsConnected() {
		return r.wait(ctx, ticks)
	}
	if r.doubtful() {
		if err := r.adopt(ctx); err != nil {
			return err
		}
		if err := r.reconcile(ctx); err != nil {
			return err
		}
		r.pause = 0
	}
	if err := r.publish(ctx); err != nil {
		return err
	}
	return r.wait(ctx, ticks)
}

func (r *Relay) wait(ctx context.Context, ticks relayTicks) error {
	select {
	case <-ctx.Done():
		return nil
	case <-r.bus.signal:
		return nil
	case <-r.feed.Wake():
		r.take()
		return nil
	case ack := <-r.acks:
		return r.acknowledged(ctx, ack)
	case <-ticks.save.C:
		r.later(r.saveCursors(ctx, false))
		return nil
	case <-ticks.poll.C:
		r.later(r.poll(ctx))
		return r.overdue()
	case <-ticks.adopt.C:
		if r.db.Postgres() {
			r.later(r.adopt(ctx))
		}
		return nil
	case <-ticks.verify.C:
		if !r.bus.Conn.IsConnected() {
			return nil
		}
		return r.verifyStream(ctx)
	}
}

// take moves fresh rows from memory into their lanes.
func (r *Relay) take() {
	rows := r.feed.Take()
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Writer == rows[0].Writer {
			n++
		}
		if l := r.lanes[rows[0].Writer]; l != nil {
			l.offer(rows[:n])
		}
		rows = rows[n:]
	}
}

// publish sends rows while the window has room.
func (r *Relay) publish(ctx context.Context) error {
	if !r.stillOwner() {
		return r.poll(ctx)
	}
	for _, l := range r.lanes {
		for len(r.flights) < window {
			if len(l.buffer) == 0 {
				l.settle() // rows that are in the stream already take no flight, and no room
				if err := r.fetch(ctx, l); err != nil {
					return err
				}
				if len(l.buffer) == 0 {
					break
				}
			}
			row := l.buffer[0]
			l.buffer = l.buffer[1:]
			if err := r.send(ctx, l, row); err != nil {
				return err
			}
		}
		l.settle()
	}
	return nil
}

// fetch reads the lane's next rows from the database when memory has not brought them.
func (r *Relay) fetch(ctx context.Context, l *lane) error {
	if l.next > l.head {
		return nil
	}
	const query = `SELECT writer, seq, id, account, subject, at, body FROM messages
		WHERE writer = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT 512`
	if err := r.db.Select(ctx, &l.buffer, query, l.writer, l.next, l.head); err != nil {
		return err
	}
	if n := len(l.buffer); n > 0 {
		l.next = l.buffer[n-1].Seq + 1
	} else {
		l.next = l.head + 1 // pruned long ago
	}
	return nil
}

func (r *Relay) send(ctx context.Context, l *lane, row Row) error {
	f := &flight{row: row, lane: l, sent: time.Now()}
	l.flights = append(l.flights, f)
	if l.present.has(row.Seq) {
		f.done = true
		return nil
	}
	r.token++
	f.token, l.unheard = r.token, false
	r.flights[f.token] = f
	err := r.bus.Conn.PublishMsg(&nats.Msg{
		Subject: row.Subject,
		Reply:   r.inbox + "." + strconv.FormatUint(f.token, 36),
		Header: nats.Header{
			"Nats-Msg-Id":  {row.ID},
			"Content-Type": {ContentType},
			logHeader:      {strconv.FormatInt(row.Writer, 10) + "." + strconv.FormatInt(row.Seq, 10)},
		},
		Data: row.Body,
	})
	if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
		return r.park(ctx, f, err)
	}
	return err
}

// acknowledged takes an acknowledgement, and all others that are there.
func (r *Relay) acknowledged(ctx context.Context, first *nats.Msg) error {
	touched := map[*lane]bool{}
	for ack := first; ack != nil; {
		if err := r.land(ctx, ack, touched); err != nil {
			return err
		}
		select {
		case ack = <-r.acks:
		default:
			ack = nil
		}
	}
	for l := range touched {
		l.settle()
	}
	return nil
}

// pubAck is JetStream's answer to a publish (ADR-22 of nats-architecture-and-design).
type pubAck struct {
	Seq       int64 `json:"seq"`
	Duplicate bool  `json:"duplicate"`
	Error     *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// messageTooLarge is JetStream's code for a message over the stream's own limit.
const messageTooLarge = 10054

func (r *Relay) land(ctx context.Context, m *nats.Msg, touched map[*lane]bool) error {
	token, err := strconv.ParseUint(m.Subject[len(r.inbox)+1:], 36, 64)
	f := r.flights[token]
	if err != nil || f == nil {
		return nil // of an earlier attempt; what it did has been looked up since
	}
	if len(m.Data) == 0 {
		return errors.New("no stream takes the messages")
	}
	var ack pubAck
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return errors.New("JetStream's acknowledgement cannot be read")
	}
	if e := ack.Error; e != nil {
		if e.ErrCode == messageTooLarge {
			return r.park(ctx, f, errors.New(e.Description))
		}
		return errors.New("JetStream refuses messages: " + e.Description)
	}
	if !ack.Duplicate && ack.Seq <= r.floor {
		return errRanBackwards
	}
	delete(r.flights, token)
	f.done, f.at = true, position{ack.Seq, f.row.ID}
	r.metrics.published.Inc()
	touched[f.lane] = true
	return nil
}

var errRanBackwards = errors.New("the stream's sequence ran backwards: it was put back to an older copy")

// park takes a message that NATS will never accept out of the way, and says so.
func (r *Relay) park(ctx context.Context, f *flight, why error) error {
	delete(r.flights, f.token)
	r.logger.Error("NATS refuses a message for good; it is parked", "message", f.row.ID, "subject", f.row.Subject, "error", why)
	r.metrics.parked.Inc()
	f.done = true
	return r.log.DoUrgent(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.Exec(ctx, `UPDATE messages SET parked = ? WHERE writer = ? AND seq = ?`, why.Error(), f.row.Writer, f.row.Seq)
		return err
	})
}

// later notes an error of the database. It says nothing about the stream, and the next tick tries again.
func (r *Relay) later(err error) {
	if err != nil {
		r.logger.Debug("the relay could not reach the database", "error", err)
	}
}

// overdue notices an acknowledgement that does not come.
func (r *Relay) overdue() error {
	for _, l := range r.lanes {
		if len(l.flights) > 0 && !l.flights[0].done && time.Since(l.flights[0].sent) > ackWait {
			return errors.New("JetStream does not acknowledge")
		}
	}
	return nil
}

// stumble notes an error, and lets some time pass before the stream is looked at again.
func (r *Relay) stumble(ctx context.Context, err error) {
	r.pause = min(max(2*r.pause, 100*time.Millisecond), 5*time.Second)
	if r.pause < time.Second {
		r.logger.Info("relay starts over", "error", err)
	} else {
		r.logger.Warn("relay cannot go on", "error", err, "retry_in", r.pause.String())
	}
	r.doubt("error")
	timer := time.NewTimer(r.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.bus.signal:
	case <-ctx.Done():
	}
}

// finish waits for what is on its way, at most two seconds, and saves how far the relay came.
func (r *Relay) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for len(r.flights) > 0 && r.bus.Conn.IsConnected() && ctx.Err() == nil {
		select {
		case ack := <-r.acks:
			if r.acknowledged(ctx, ack) != nil {
				return
			}
		case <-ctx.Done():
		}
	}
	if err := r.saveCursors(ctx, true); err != nil {
		r.logger.Info("the relay's cursors were not saved; the next start looks at the stream instead", "error", err)
	}
}
