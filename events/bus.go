package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The two streams. Both deny deleting and purging through the API.
const (
	StreamName   = "GATEHOUSE"
	CommandsName = "GATEHOUSE_COMMANDS"
)

// duplicateWindow is JetStream's own memory of message ids. It catches what is sent twice within
// moments; what happens over longer times is reconcile.go's.
const duplicateWindow = 2 * time.Minute

// commandWindow is the least that JetStream takes. Its memory of message ids is one for all callers: with a longer
// one, a caller who guesses an id that another is going to use could have the other's command left out.
// What is commanded twice is done once for the id in the command.
const commandWindow = 100 * time.Millisecond

// BusConfig says how NATS is reached. Either Embedded or URL is set.
type BusConfig struct {
	Embedded  *Embedded
	User      nats.Option // who the gateway is to the embedded server, where that asks
	URL       string      // one server, or several with commas
	CredsFile string
	CAFile    string
	Replicas  int           // of the streams; 0: 1 when embedded, else 3 where the cluster has as many
	Retention time.Duration // how long the stream keeps a message
	Log       *slog.Logger
}

// Bus is the gateway's connection to NATS.
type Bus struct {
	Conn *nats.Conn
	JS   jetstream.JetStream

	config BusConfig
	log    *slog.Logger
	// epoch rises with every reconnect: what was true of the stream before must be looked at again.
	epoch  atomic.Int64
	signal chan struct{}
}

// Connect reaches NATS and declares the streams. It fails within about ten seconds where it cannot.
func Connect(ctx context.Context, c BusConfig) (*Bus, error) {
	b := &Bus{config: c, log: c.Log, signal: make(chan struct{}, 1)}
	var err error
	if b.Conn, err = nats.Connect(c.URL, b.options()...); err != nil {
		return nil, fmt.Errorf("reaching NATS: %w", err)
	}
	if b.JS, err = jetstream.New(b.Conn); err == nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		err = b.Declare(ctx)
	}
	if err != nil {
		b.Conn.Close()
		return nil, err
	}
	return b, nil
}

func (b *Bus) options() []nats.Option {
	options := []nats.Option{
		nats.Name("gatehouse"),
		nats.Timeout(5 * time.Second),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(200*time.Millisecond, 500*time.Millisecond),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		// Nothing is kept back to be sent after a reconnect: by then the stream may tell a different
		// story, and the relay decides anew what it lacks.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil when we close it ourselves
				b.log.Warn("NATS connection lost", "error", err)
			}
			b.changed()
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			b.log.Info("NATS connection is back")
			b.changed()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("NATS reports an error", "error", err)
		}),
	}
	if b.config.Embedded != nil {
		options = append(options, nats.InProcessServer(b.config.Embedded))
	}
	if b.config.User != nil {
		options = append(options, b.config.User)
	}
	if b.config.CredsFile != "" {
		options = append(options, credentials(b.config.CredsFile))
	}
	if b.config.CAFile != "" {
		options = append(options, nats.RootCAs(b.config.CAFile))
	}
	return options
}

// credentials reads a .creds file, or one with nothing but the seed of an nkey that the server knows.
func credentials(file string) nats.Option {
	return func(o *nats.Options) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		option := nats.UserCredentials(file)
		if !bytes.Contains(data, []byte("BEGIN NATS USER JWT")) {
			if option, err = nats.NkeyOptionFromSeed(file); err != nil {
				return fmt.Errorf("%s holds neither NATS credentials nor the seed of a user's nkey", file)
			}
		}
		return option(o)
	}
}

func (b *Bus) changed() {
	b.epoch.Add(1)
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// Close ends the connection.
func (b *Bus) Close() { b.Conn.Close() }

// Say publishes a message that is in no stream: whoever does not listen at the moment misses it.
func (b *Bus) Say(m Message) error {
	encoded, err := m.Encode()
	if err != nil {
		return err
	}
	return b.Conn.PublishMsg(&nats.Msg{
		Subject: encoded.Subject, Data: encoded.Body, Header: nats.Header{"Content-Type": {ContentType}},
	})
}

// Healthy tells whether JetStream answers.
func (b *Bus) Healthy(ctx context.Context) error {
	if !b.Conn.IsConnected() {
		return errors.New("not connected")
	}
	if _, err := b.JS.AccountInfo(ctx); err != nil {
		return fmt.Errorf("JetStream does not answer: %w", err)
	}
	return nil
}

// spoken are the subjects of the stream: everything the gateway says but the audit head.
func spoken() []string {
	kinds := SpokenKinds()
	for i, k := range kinds {
		kinds[i] = prefix + "." + k + ".>"
	}
	return kinds
}

// streams are the two, as the gateway needs them.
func (b *Bus) streams() []jetstream.StreamConfig {
	log := jetstream.StreamConfig{
		Name:        StreamName,
		Description: "What Gatehouse says: notifications, events, connections, operations, identities, endpoints",
		Subjects:    spoken(),
		MaxAge:      b.config.Retention,
		MaxBytes:    16 << 30,
		Duplicates:  min(duplicateWindow, b.config.Retention),
	}
	commands := jetstream.StreamConfig{
		Name:        CommandsName,
		Description: "Commands to Gatehouse, until it has stored them",
		Subjects:    []string{prefix + ".command.>"},
		Retention:   jetstream.WorkQueuePolicy,
		Discard:     jetstream.DiscardNew,
		MaxAge:      24 * time.Hour,
		MaxBytes:    1 << 30,
		MaxMsgs:     100_000,
		MaxMsgSize:  256 << 10,
		Duplicates:  commandWindow,
		// A subject is one caller's: who floods the stream fills a quarter of it and is refused, not the others.
		MaxMsgsPerSubject:    1000,
		DiscardNewPerSubject: true,
	}
	streams := []jetstream.StreamConfig{log, commands}
	for i := range streams {
		c := &streams[i]
		c.Storage, c.DenyDelete, c.DenyPurge = jetstream.FileStorage, true, true
	}
	return streams
}

// What a server or an account may store is not enough for a stream: nats-server's errors.json.
const (
	noStorageLeft        jetstream.ErrorCode = 10047
	noAccountStorageLeft jetstream.ErrorCode = 10002
)

// Declare makes the streams, or brings those that exist to what the gateway needs. A stream that cannot
// be changed so is an error that says what differs, because publishing into it would break a promise.
func (b *Bus) Declare(ctx context.Context) error {
	for _, c := range b.streams() {
		err := b.declare(ctx, c)
		if api, ok := errors.AsType[*jetstream.APIError](err); ok && (api.ErrorCode == noStorageLeft || api.ErrorCode == noAccountStorageLeft) {
			return fmt.Errorf("declaring stream %s: %w: it may grow to %d GiB, which JetStream keeps free for it; allow the server more by max_file_store, or the account by its limits", c.Name, err, c.MaxBytes>>30)
		}
		if err != nil {
			return fmt.Errorf("declaring stream %s: %w", c.Name, err)
		}
	}
	return nil
}

func (b *Bus) declare(ctx context.Context, want jetstream.StreamConfig) error {
	stream, err := b.JS.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return b.create(ctx, want)
	}
	if err != nil {
		return err
	}
	have := stream.CachedInfo().Config
	if err := usable(have, want); err != nil {
		return err
	}
	want.Replicas = have.Replicas
	if b.config.Replicas > 0 {
		want.Replicas = b.config.Replicas
	}
	if sameStream(have, want) {
		return nil
	}
	_, err = b.JS.UpdateStream(ctx, want)
	return err
}

// usable tells what about a stream cannot be changed to what the gateway needs.
func usable(have, want jetstream.StreamConfig) error {
	if have.Storage != want.Storage || have.Retention != want.Retention || have.Mirror != nil || !have.DenyDelete || !have.DenyPurge {
		return errors.New("it exists with other storage, retention or permissions than file storage with delete and purge denied; rename or remove it")
	}
	return nil
}

// create makes the stream with three replicas where the cluster has them, or with one.
func (b *Bus) create(ctx context.Context, want jetstream.StreamConfig) error {
	want.Replicas = b.config.Replicas
	if want.Replicas == 0 {
		want.Replicas = 1
		if b.config.Embedded == nil && b.Conn.ConnectedClusterName() != "" {
			want.Replicas = 3
		}
	}
	_, err := b.JS.CreateStream(ctx, want)
	if err != nil && b.config.Replicas == 0 && want.Replicas == 3 && strings.Contains(err.Error(), "no suitable peers") {
		b.log.Warn("the NATS cluster has no three servers for a stream: it gets one replica, until somebody gives it more or GATEHOUSE_NATS_REPLICAS asks for them",
			"stream", want.Name)
		want.Replicas = 1
		_, err = b.JS.CreateStream(ctx, want)
	}
	if err != nil || b.config.Embedded == nil {
		return err
	}
	// Where a crash left half a stream's directory, nats-server (2.15) makes the stream in it without
	// completing it, and would not find it at the next start. A change completes it.
	changed := want
	changed.Description = ""
	if _, err := b.JS.UpdateStream(ctx, changed); err != nil {
		return err
	}
	_, err = b.JS.UpdateStream(ctx, want)
	return err
}

func sameStream(have, want jetstream.StreamConfig) bool {
	return slices.Equal(have.Subjects, want.Subjects) && have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes &&
		have.Duplicates == want.Duplicates && have.Replicas == want.Replicas &&
		max(have.MaxMsgsPerSubject, 0) == want.MaxMsgsPerSubject && have.DiscardNewPerSubject == want.DiscardNewPerSubject &&
		have.Discard == want.Discard && have.Description == want.Description
}
