package sharing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doordeck"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
)

var (
	// ErrNoOperation says that there is no such operation, or none any more, or none that the caller may see.
	ErrNoOperation = errors.New("there is no such operation")
	// ErrOtherOperation says that the caller has used the id for an operation that was different.
	ErrOtherOperation = errors.New("the id stands for another operation")
	// ErrTooManyOperations says that as many operations of the identity, or of the caller for it, wait as may.
	ErrTooManyOperations = errors.New("too many operations of the identity wait")
)

// actors are who operations are signed as. Identities are.
type actors interface {
	Session(ctx context.Context, name string) (Session, error)
	Client() *doordeck.Client
	Provision(ctx context.Context, p doordeck.Person) error
	Doubt(ctx context.Context, name string) error
	sawDoor(ctx context.Context, l lane, name string)
}

// OperationsConfig is what Operations need. All but Now must be set.
type OperationsConfig struct {
	DB         *sqldb.DB
	Events     *events.Log
	Vault      *vault.Vault
	Identities actors
	Registerer prometheus.Registerer
	Log        *slog.Logger
	Now        func() time.Time // nil means time.Now
}

// Operations take shares, revokes and unlocks, and see each of them through. They may be used by many goroutines
// at once, and by many replicas on one database.
type Operations struct {
	db       *sqldb.DB
	store    *store
	actors   actors
	directed *directory
	log      *slog.Logger
	now      func() time.Time
	metrics  *operationMetrics
	locks    *lockCache

	workers *slots // of identities
	poke    chan struct{}
	mu      sync.Mutex
	busy    map[lane]bool
	done    map[string][]chan struct{} // who waits for an operation, by its id
}

// NewOperations makes them. What is stored is run by Run.
func NewOperations(c OperationsConfig) *Operations {
	if c.Now == nil {
		c.Now = time.Now
	}
	o := &Operations{
		db: c.DB, actors: c.Identities, log: c.Log, now: c.Now, metrics: newOperationMetrics(c.Registerer),
		directed: &directory{actors: c.Identities}, locks: newLockCache(c.Identities, c.Now),
		workers: newSlots(maxLanes, maxOfIdentity), poke: make(chan struct{}, 1), busy: map[lane]bool{}, done: map[string][]chan struct{}{},
	}
	o.store = &store{db: c.DB, events: c.Events, vault: c.Vault, now: c.Now, said: o.said}
	return o
}

// Request asks for an operation, by any road.
type Request struct {
	Identity string
	// Type is what the road says the operation is, "" where the body alone says it.
	Type string
	// ID is what the road says its id is, "" where the body says it, or nothing does and one is made.
	ID string
	// Body is the operation as the caller wrote it.
	Body []byte
	// Received is when it was published or came; zero means now. Its age counts from there.
	Received time.Time
}

// Submit stores an operation and answers what has become of it, which is nothing yet unless it was asked for
// before: the same caller's same id stands for one operation, whose outcome is answered again. Whatever
// Submit answered is run, once, also after a crash. What the caller may not ask for is in the audit log. Errors:
// *invalid.Error, ErrForbidden, ErrNoIdentity, ErrOtherOperation, ErrTooManyOperations, those of events.Log.
func (o *Operations) Submit(ctx context.Context, who Authority, r Request) (Answer, error) {
	op, err := o.read(who, r)
	switch {
	case op == nil:
		return Answer{}, err
	case err != nil:
		return Answer{}, o.noteRefused(ctx, op, err)
	}
	return o.keep(ctx, op)
}

// read makes an operation of a request. One that the caller may not ask for comes back with the error.
func (o *Operations) read(who Authority, r Request) (*operation, error) {
	if r.Received.IsZero() {
		r.Received = o.now()
	}
	op, err := decode(r.Body, r.Type, r.ID, r.Received)
	if err != nil {
		return nil, err
	}
	op.Caller, op.Identity = who.kind.stored(who.Caller), r.Identity
	if op.CallerID == "" {
		op.CallerID = uuid.NewString()
	}
	if err := who.check(op); err != nil {
		return op, err
	}
	if !who.covers(r.Identity) {
		return op, ErrNoIdentity
	}
	return op, nil
}

// keep stores an operation that its caller may ask for.
func (o *Operations) keep(ctx context.Context, op *operation) (Answer, error) {
	stored, fresh, err := o.store.add(ctx, op, audit.ActorFrom(ctx))
	if err != nil {
		return Answer{}, err
	}
	if fresh {
		o.metrics.accepted(op.Type)
		o.wake()
	}
	return stored.answer(), nil
}

// Get returns one operation, or ErrNoOperation. Identities are those that the caller is held to, nil for all.
func (o *Operations) Get(ctx context.Context, id string, identities []string) (Answer, error) {
	if !isID(id) {
		return Answer{}, ErrNoOperation
	}
	op, err := o.store.get(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	if !(Authority{Identities: identities}).covers(op.Identity) {
		return Answer{}, ErrNoOperation
	}
	return op.answer(), nil
}

// lookEvery is how often a waiter looks, because another replica may have ended the operation.
const lookEvery = time.Second

// Wait returns an operation once it has ended, is queued, or the time is over.
func (o *Operations) Wait(ctx context.Context, id string, most time.Duration) (Answer, error) {
	news := o.listen(id)
	defer o.unlisten(id, news)
	deadline, look := time.NewTimer(most), time.NewTicker(lookEvery)
	defer deadline.Stop()
	defer look.Stop()
	for over := false; ; {
		a, err := o.Get(ctx, id, nil)
		if err != nil || over || a.Status.Final() || a.Status == Queued {
			return a, err
		}
		select {
		case <-news:
		case <-look.C:
		case <-deadline.C:
			over = true
		case <-ctx.Done():
			return a, nil // whoever waits hears how it stands
		}
	}
}

func (o *Operations) listen(id string) chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	news := make(chan struct{}, 1)
	o.done[id] = append(o.done[id], news)
	return news
}

func (o *Operations) unlisten(id string, news chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var others []chan struct{}
	for _, c := range o.done[id] {
		if c != news {
			others = append(others, c)
		}
	}
	if o.done[id] = others; others == nil {
		delete(o.done, id)
	}
}

// said is called after a status that is reported has been committed.
func (o *Operations) said(op *operation) {
	if op.Status.Final() {
		o.metrics.ended(op.Type, op.Status, o.now().Sub(when(op.ReceivedAt)))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, news := range o.done[op.ID] {
		select {
		case news <- struct{}{}:
		default:
		}
	}
}

// wake lets Run look at once.
func (o *Operations) wake() {
	select {
	case o.poke <- struct{}{}:
	default:
	}
}

// isID tells whether a text is an id in the one form that we write.
func isID(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}
