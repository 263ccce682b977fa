package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Inspect reaches NATS as Connect does and says in a few words how the streams stand, but makes and changes
// nothing.
func Inspect(ctx context.Context, c BusConfig) (string, error) {
	b := &Bus{config: c, log: c.Log, signal: make(chan struct{}, 1)}
	var err error
	if b.Conn, err = nats.Connect(c.URL, b.options()...); err != nil {
		return "", fmt.Errorf("reaching NATS: %w", err)
	}
	defer b.Close()
	if b.JS, err = jetstream.New(b.Conn); err != nil {
		return "", err
	}
	if err := b.Healthy(ctx); err != nil {
		return "", err
	}
	detail := "both streams are as they should be"
	for _, want := range b.streams() {
		stream, err := b.JS.Stream(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			detail = "JetStream is on; the first start makes the streams"
			continue
		case err != nil:
			return "", fmt.Errorf("looking at stream %s: %w", want.Name, err)
		}
		have := stream.CachedInfo().Config
		if err := usable(have, want); err != nil {
			return "", fmt.Errorf("stream %s: %w", want.Name, err)
		}
		if want.Replicas = have.Replicas; c.Replicas > 0 {
			want.Replicas = c.Replicas
		}
		if !sameStream(have, want) {
			detail = "JetStream is on; the next start brings the streams up to date"
		}
	}
	return detail, nil
}
