package sharing

import (
	"context"
	"database/sql"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/internal/invalid"
)

// Fold is how the statuses of people become that of their operation; done tells whether nothing is left to do.
func Fold(people []Status) (status Status, done bool) {
	status, left := fold(people)
	return status, left == stageDone
}

// Watched is the one status that is not shown.
const Watched = watched

// Decode reads an operation, and tells what it needs.
func Decode(body []byte, kind, id string) (callerID string, people int, needs []Permission, err error) {
	o, err := decode(body, kind, id, time.Unix(1_800_000_000, 0))
	if err != nil {
		return "", 0, nil, err
	}
	return o.CallerID, len(o.parts), o.needs(), nil
}

// RequestFields are the fields of an operation as a caller writes it.
func RequestFields() map[string]bool {
	fields := map[string]bool{}
	for f := range reflect.TypeFor[asked]().Fields() {
		fields[f.Tag.Get("json")] = true
	}
	for f := range reflect.TypeFor[invitee]().Fields() {
		fields["invitees."+f.Tag.Get("json")] = true
	}
	return fields
}

// Take takes one command.
func (c *Commands) Take(ctx context.Context, m jetstream.Msg) { c.take(ctx, m) }

// ConsumerConfig is that of the consumer that commands are taken from.
func ConsumerConfig() jetstream.ConsumerConfig { return commandConsumer() }

// Queries that are asked for each operation, or each half second.
const (
	InLane     = inLane
	DueLanes   = dueLanes
	OpenOf     = openOf
	AliveFor   = aliveFor
	Overtaking = overtaking
)

// Pass does what is due on one lane, until it is stopped.
func (o *Operations) Pass(stopping, ctx context.Context, identity, lock string) error {
	return o.pass(stopping, ctx, lane{identity, lock})
}

// Step does at once and in turn what is due now.
func (o *Operations) Step(ctx context.Context) error {
	lanes, err := o.store.due(ctx, 100)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		if err := o.pass(ctx, ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// AllDue has everything looked at that is open, as Run does when the clock was set back.
func (o *Operations) AllDue(ctx context.Context) error { return o.store.allDue(ctx) }

// CompareClocks is what Run does now and then.
func (o *Operations) CompareClocks(ctx context.Context) { o.compareClocks(ctx) }

// TakeWait takes "wait" out of an operation.
var TakeWait = takeWait

// FaultWords are the words of all faults there are, in order.
func FaultWords() []string {
	all := []string{
		faultOf(&NotReadyError{}).Word, faultOf(invalid.Field("x", "y")).Word, faultOf(sql.ErrConnDone).Word, faultOf(errPanicked).Word,
	}
	for _, f := range faults {
		all = append(all, f.word)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
