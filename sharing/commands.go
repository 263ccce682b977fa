package sharing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
)

// CommandsConsumer is the durable consumer that all replicas take commands from.
const CommandsConsumer = "gatehouse"

const (
	// commandAckWait is when a command that a replica has taken and not acknowledged comes again. Behind one that
	// died everything waits for so long; storing and acknowledging together take less.
	commandAckWait    = 6 * time.Second
	commandStoreFor   = 3 * time.Second
	commandAckFor     = 2 * time.Second
	commandAgainFirst = 250 * time.Millisecond
	commandAgainLast  = 5 * time.Second
	// commandHeartbeat is how often the server says that a request still waits; two that are missed start anew.
	commandHeartbeat = 2 * time.Second
	// commandTries is how often a command is tried whose failure nobody expected.
	commandTries = 6
	// clocksApart is how far the NATS server's clock may be ahead of ours.
	clocksApart = 5 * time.Second
)

// CommandsConfig is what Commands need. All must be set.
type CommandsConfig struct {
	JetStream  jetstream.JetStream
	Operations *Operations
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Commands takes what is published on gatehouse.command.{identity}.{operation}.{caller} out of its stream.
//
// A command is acknowledged when it is stored, or when it is stored that it cannot be done. It is taken again
// otherwise, which changes nothing: its id, or its place in the stream where it has none, stands for one
// operation. The replicas take one at a time between them, in the order of the stream, so that a revoke is never
// stored before the share that was published before it.
type Commands struct {
	js         jetstream.JetStream
	operations *Operations
	log        *slog.Logger
	metrics    *commandMetrics
}

// NewCommands makes one. It takes commands while Run runs.
func NewCommands(c CommandsConfig) *Commands {
	return &Commands{js: c.JetStream, operations: c.Operations, log: c.Log, metrics: newCommandMetrics(c.Registerer)}
}

// Run takes commands until ctx ends, and finishes the one in hand.
func (c *Commands) Run(ctx context.Context) error {
	said := ""
	for ctx.Err() == nil {
		err := c.consume(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if err.Error() != said {
			said = err.Error()
			c.log.Warn("commands wait on NATS; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// commandConsumer gives out one command at a time, and the next when that is acknowledged.
func commandConsumer() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: CommandsConsumer, Description: "Commands to Gatehouse, one at a time and in order",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: commandAckWait, MaxAckPending: 1, MaxDeliver: -1,
	}
}

// commandPulls keeps a second request waiting at the server while a command is in hand. With one alone the next
// command depends on a request that the client leaves out when the goroutine that sent the last one has not been
// given a processor since; nothing came then until the heartbeats were missed, and an unlock is too old by that time.
func commandPulls() []jetstream.PullMessagesOpt {
	return []jetstream.PullMessagesOpt{
		jetstream.PullMaxMessages(2), jetstream.PullThresholdMessages(2),
		jetstream.PullExpiry(10 * time.Second), jetstream.PullHeartbeat(commandHeartbeat),
	}
}

// consume takes commands until the consumer fails or ctx ends.
func (c *Commands) consume(ctx context.Context) error {
	making, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	consumer, err := c.js.CreateOrUpdateConsumer(making, events.CommandsName, commandConsumer())
	if err != nil {
		return fmt.Errorf("making consumer %s: %w", CommandsConsumer, err)
	}
	messages, err := consumer.Messages(commandPulls()...)
	if err != nil {
		return fmt.Errorf("pulling commands: %w", err)
	}
	defer messages.Stop()
	// What has arrived by then is still taken: nobody else gets it before it is acknowledged.
	defer context.AfterFunc(ctx, messages.Drain)()
	for {
		m, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("pulling commands: %w", err)
		}
		c.take(context.WithoutCancel(ctx), m)
	}
}

// take has one command stored, or refused, and settles it with the stream.
func (c *Commands) take(ctx context.Context, m jetstream.Msg) {
	outcome, err := c.store(ctx, m)
	c.metrics.count(outcome)
	if outcome == commandRetried {
		c.log.Warn("a command could not be stored; it comes again", "subject", m.Subject(), "error", err)
		var again time.Duration
		if meta, err := m.Metadata(); err == nil {
			again = min(commandAgainFirst<<min(meta.NumDelivered, 10), commandAgainLast)
		}
		err = m.NakWithDelay(again)
	} else {
		acking, cancel := context.WithTimeout(ctx, commandAckFor)
		defer cancel()
		err = m.DoubleAck(acking)
	}
	if err != nil { // it comes again, which changes nothing
		c.log.Debug("a command was not acknowledged", "error", err)
	}
}

// store hands a command on. Whatever is wrong with it for good is said, not tried again.
func (c *Commands) store(ctx context.Context, m jetstream.Msg) (outcome string, err error) {
	a, ok := OfSubject(commandKind, m.Subject())
	if !ok {
		c.log.Warn("a command on a subject that names no identity, operation and caller was dropped", "subject", m.Subject())
		return commandDropped, nil
	}
	meta, err := m.Metadata()
	if err != nil {
		return commandDropped, err
	}
	ctx, cancel := context.WithTimeout(audit.WithActor(ctx, audit.Actor{Kind: audit.KindNATS, Name: a.By.Caller}), commandStoreFor)
	defer cancel()
	// What was refused stays refused, although it might be right by now. After a crash the stream may have forgotten that
	// it was ever delivered.
	switch refused, err := c.operations.refused(ctx, place(meta)); {
	case err != nil:
		return commandRetried, err
	case refused:
		return commandRefused, nil
	}
	if err = c.submit(ctx, a, m, meta); err == nil {
		return commandStored, nil
	}
	if lasting(err) || meta.NumDelivered >= commandTries && !away(err) {
		f := faultOf(err)
		if f.Code == codeInternal {
			c.log.Error("a command failed", "subject", m.Subject(), "error", err)
		}
		id, _ := ownID(m.Data())
		if err = c.operations.refuse(ctx, place(meta), Answer{
			ID: id, Type: a.Operation, Identity: a.Identity, Caller: a.By.Caller,
			Status: Failed, Error: f.Word, Detail: f.said(), ReceivedAt: when(meta.Timestamp.UnixMilli()),
		}); err == nil {
			return commandRefused, nil
		}
	}
	return commandRetried, err
}

func (c *Commands) submit(ctx context.Context, a Asked, m jetstream.Msg, meta *jetstream.MsgMetadata) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("a command panicked", "subject", m.Subject(), "panic", p, "stack", string(debug.Stack()))
			err = errPanicked
		}
	}()
	if meta.Timestamp.After(c.operations.now().Add(clocksApart)) {
		return errAgeUnknown
	}
	r := Request{Identity: a.Identity, Type: a.Operation, Body: m.Data(), Received: meta.Timestamp}
	if _, has := ownID(m.Data()); !has {
		r.ID = m.Headers().Get(jetstream.MsgIDHeader)
		if r.ID == "" || len(r.ID) > maxID || !plainID(r.ID) {
			r.ID = place(meta)
		}
	}
	op, err := c.operations.read(a.By, r)
	if err == nil {
		_, err = c.operations.keep(ctx, op)
	}
	return err
}

// place stands for one command. The time tells it from one that had the number before its stream was made anew.
func place(meta *jetstream.MsgMetadata) string {
	return fmt.Sprintf("command-%d-%d", meta.Sequence.Stream, meta.Timestamp.UnixNano())
}

// ownID tells whether a command bears an id, and which, "" for one that cannot be one.
func ownID(body []byte) (id string, has bool) {
	var c struct {
		ID any `json:"id"`
	}
	if json.Unmarshal(body, &c) != nil || c.ID == nil || c.ID == "" {
		return "", false
	}
	if id, _ = c.ID.(string); len(id) > maxID || !plainID(id) {
		id = ""
	}
	return id, true
}

// lasting tells whether an error is the command's own, and would be the same again.
func lasting(err error) bool { f := faultOf(err); return f.Code < codeInternal && !away(err) }

// away tells whether the store is not to be had at the moment.
func away(err error) bool {
	for _, e := range []error{events.ErrStorage, events.ErrOverloaded, events.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return sqldb.Broken(err)
}
