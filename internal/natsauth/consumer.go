package natsauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
)

// ownerKey marks the consumers made here, and says by its account which credential one belongs to.
const ownerKey = "gatehouse.credential"

// How a durable consumer behaves. A message that the app does not acknowledge comes again after these
// times, the last one repeated, for about three days; then it is left out.
var redelivery = []time.Duration{30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute}

const (
	maxDeliver    = 440
	maxAckPending = 1000
	maxBatch      = 1000
	maxWaiting    = 128
	// The answers to a pull find their way back across accounts for two minutes.
	maxPullWait = 100 * time.Second
)

func consumerOf(c Credential) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:           c.Name,
		Description:       "NATS credential " + c.Name,
		FilterSubjects:    c.Hears(),
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           redelivery[0],
		BackOff:           redelivery,
		MaxDeliver:        maxDeliver,
		MaxAckPending:     maxAckPending,
		MaxWaiting:        maxWaiting,
		MaxRequestBatch:   maxBatch,
		MaxRequestExpires: maxPullWait,
		InactiveThreshold: 0, // it stays however long the app is away
		Metadata:          map[string]string{ownerKey: c.Account},
	}
}

// makeConsumer makes the credential's consumer, in place of one that an earlier credential left.
func (c *Credentials) makeConsumer(ctx context.Context, owner Credential) error {
	if err := c.dropConsumer(ctx, owner.Name); err != nil {
		return err
	}
	if _, err := c.JetStream.CreateConsumer(ctx, events.StreamName, consumerOf(owner)); err != nil {
		return fmt.Errorf("making consumer %s: %w", owner.Name, err)
	}
	return nil
}

func (c *Credentials) dropConsumer(ctx context.Context, name string) error {
	err := c.JetStream.DeleteConsumer(ctx, events.StreamName, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("deleting consumer %s: %w", name, err)
	}
	return nil
}

// Settle brings the consumers in line with the credentials: what a crash left in between, what was changed
// while no gateway ran, and what has expired.
func (c *Credentials) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleEvery)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	err := commit(ctx, c.DB, "forgetting expired NATS credentials", func(tx *sqldb.Tx) error { return forget(ctx, tx, c.Now()) })
	if err != nil {
		return err
	}
	active, err := Load(ctx, c.DB, c.Now())
	if err != nil {
		return err
	}
	missing := map[string]Credential{}
	for _, a := range active {
		if a.Durable {
			missing[a.Name] = a
		}
	}
	stream, err := c.JetStream.Stream(ctx, events.StreamName)
	if err != nil {
		return fmt.Errorf("reading stream %s: %w", events.StreamName, err)
	}
	consumers := stream.ListConsumers(ctx)
	var orphans []string
	for info := range consumers.Info() {
		owner, ours := info.Config.Metadata[ownerKey]
		switch {
		case !ours:
		case missing[info.Name].Account == owner:
			delete(missing, info.Name)
		default:
			orphans = append(orphans, info.Name)
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("listing the consumers of stream %s: %w", events.StreamName, err)
	}
	for _, name := range orphans {
		if err := c.dropConsumer(ctx, name); err != nil {
			return err
		}
	}
	for _, owner := range missing {
		// Where a crash left half a consumer's directory, nats-server (2.15) makes the consumer in it without
		// completing it, and would not find it at the next start. Deleting the first removes the directory.
		for range 2 {
			if err := c.makeConsumer(ctx, owner); err != nil {
				return err
			}
		}
	}
	return nil
}
