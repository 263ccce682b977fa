package sharing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/audit"
)

// What may be asked on NATS besides operations.
const (
	askLookup = "lookup"
	askDoors  = "doors"
	askDoor   = "door"
)

// ServiceName is the NATS micro service's name, and its queue group.
const ServiceName = "gatehouse"

// serviceVersion is that of what the service's endpoints take and answer.
const serviceVersion = "1.0.0"

const (
	// maxAsk is how large a request may be, as a command may.
	maxAsk = 256 << 10
	// What is not read yet of one endpoint; beyond that the client library drops requests.
	pendingAsks, pendingAskBytes = 4096, 32 << 20
	// submitFor bounds storing an operation.
	submitFor = 10 * time.Second
	// endFor is how long what is being answered may take when the gateway stops.
	endFor = 2 * time.Second
)

// ServiceConfig is what a Service needs. All must be set.
type ServiceConfig struct {
	Conn       *nats.Conn
	Operations *Operations
	Identities *Identities
	Registerer prometheus.Registerer
	Log        *slog.Logger
}

// Service answers what is asked on gatehouse.ask.{identity}.{operation}.{caller}, as a NATS micro service. All
// replicas are of one queue group: each request is answered by one of them.
//
// Nothing that a request waits for holds up another. What is stored, read and waited for has slots of its own,
// each with a bound for one caller; who finds none is told at once.
type Service struct {
	conn       *nats.Conn
	operations *Operations
	identities *Identities
	log        *slog.Logger
	metrics    *askMetrics

	storing, reading, waiting *slots

	answering atomic.Bool

	mu      sync.Mutex
	stopped bool
	open    sync.WaitGroup
}

// NewService makes one. It answers while Run runs.
func NewService(c ServiceConfig) *Service {
	return &Service{
		conn: c.Conn, operations: c.Operations, identities: c.Identities, log: c.Log, metrics: newAskMetrics(c.Registerer),
		storing: newSlots(256, 64), reading: newSlots(64, 16), waiting: newSlots(512, 64),
	}
}

// Run answers until ctx ends. Then it takes no more requests, answers those that wait for an outcome with how it
// stands, and lets the others end, for a moment.
func (s *Service) Run(ctx context.Context) error {
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	service, err := s.add(ctx, working)
	if err != nil {
		return fmt.Errorf("answering on NATS: %w", err)
	}
	if s.conn.IsConnected() {
		// The server knows the endpoints once it has answered this. Without it, they are made known on connecting.
		_ = s.conn.FlushTimeout(submitFor)
	}
	s.answering.Store(true)
	<-ctx.Done()
	if err := service.Stop(); err != nil {
		s.log.Debug("leaving NATS", "error", err)
	}
	// What was routed here has arrived when this is answered; what comes now goes to another replica.
	_ = s.conn.FlushTimeout(endFor / 4)
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() { s.open.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(endFor):
		end()
		<-ended
	}
	return nil
}

// Healthy tells whether requests are taken: from a moment after Run began.
func (s *Service) Healthy(context.Context) error {
	if !s.answering.Load() {
		return errors.New("requests over NATS are not taken yet")
	}
	return nil
}

// add registers the service's endpoints, one for each operation, so that each is described.
func (s *Service) add(stopping, working context.Context) (micro.Service, error) {
	service, err := micro.AddService(s.conn, micro.Config{
		Name: ServiceName, Version: serviceVersion, QueueGroup: ServiceName,
		Description: "Door operations: ask on gatehouse.ask.{identity}.{operation}.{caller}",
	})
	if err != nil {
		return nil, err
	}
	for _, operation := range []string{Share, Revoke, Unlock, askLookup, askDoors, askDoor} {
		schema, err := schemaOf(operation)
		if err != nil {
			return nil, errors.Join(err, service.Stop())
		}
		err = service.AddEndpoint(operation,
			micro.HandlerFunc(func(r micro.Request) { s.take(stopping, working, operation, r) }),
			micro.WithEndpointSubject(events.Subject(askKind)+".*."+operation+".*"),
			micro.WithEndpointMetadata(schema),
			micro.WithEndpointPendingLimits(pendingAsks, pendingAskBytes))
		if err != nil {
			return nil, errors.Join(err, service.Stop())
		}
	}
	return service, nil
}

// take begins to answer a request. It does not wait for anything: what comes behind it must not wait either.
func (s *Service) take(stopping, working context.Context, operation string, r micro.Request) {
	if !answerable(r.Reply()) {
		s.metrics.answered(operation, "unanswerable")
		return
	}
	a, ok := OfSubject(askKind, r.Subject())
	switch {
	case !ok:
		s.respond(operation, r.Reply(), nil, errSubject)
		return
	case len(r.Data()) > maxAsk:
		s.respond(operation, r.Reply(), nil, errTooLarge)
		return
	}
	of := s.reading
	if a.By.Permissions != nil {
		of = s.storing
	}
	if err := s.begin(of, a.By.Caller); err != nil {
		s.respond(operation, r.Reply(), nil, err)
		return
	}
	go func() {
		defer s.open.Done()
		free := sync.OnceFunc(func() { of.free(a.By.Caller) })
		defer free()
		ctx := audit.WithActor(working, audit.Actor{Kind: audit.KindNATS, Name: a.By.Caller})
		answer, err := s.answer(stopping, ctx, a, r.Data(), free)
		s.respond(operation, r.Reply(), answer, err)
	}()
}

// begin takes a slot, unless the service stops.
func (s *Service) begin(of *slots, caller string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return context.Canceled
	}
	if !of.take(caller) {
		return errBusy
	}
	s.open.Add(1)
	return nil
}

// answerable tells whether an answer may be sent to a reply subject. Where a program shares the gateway's account
// on a server, it could otherwise have the answer taken for something that the gateway says, or for a command.
func answerable(reply string) bool {
	return reply != "" && !strings.HasPrefix(reply, "$") && !strings.HasPrefix(reply, events.Subject(""))
}

// answer does what is asked. free gives the slot back before the answer is waited for.
func (s *Service) answer(stopping, ctx context.Context, a Asked, body []byte, free func()) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("answering a request panicked", "operation", a.Operation, "panic", p, "stack", string(debug.Stack()))
			err = errPanicked
		}
	}()
	switch a.Operation {
	case askLookup:
		found, err := s.operations.Lookup(ctx, a.Identity, body)
		return list[Found]{Items: found}, err
	case askDoors:
		return s.doors(ctx, a.Identity, body)
	case askDoor:
		return s.door(ctx, a.Identity, body)
	}
	return s.submit(stopping, ctx, a, body, free)
}

// respond sends an answer or an error. It does not go through the request, whose statistics the library reads
// when the handler has returned.
func (s *Service) respond(operation, reply string, answer any, err error) {
	m := nats.NewMsg(reply)
	if err == nil {
		m.Data, err = json.Marshal(answer)
	}
	word := "answered"
	if err != nil {
		f := faultOf(err)
		if f.Code == codeInternal {
			s.log.Error("a request on NATS failed", "operation", operation, "error", err)
		}
		word = f.Word
		m.Data, m.Header = f.body(), f.header()
	}
	s.metrics.answered(operation, word)
	if err := s.conn.PublishMsg(m); err != nil {
		s.log.Debug("an answer on NATS was not sent", "operation", operation, "error", err)
	}
}
