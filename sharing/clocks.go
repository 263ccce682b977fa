package sharing

import (
	"context"
	"time"
)

const (
	// compareEvery is how often the clock by which the ages of operations are judged is compared with the database's.
	compareEvery = 5 * time.Minute
	// clockOff is by how much it may differ: of two replicas with less, neither takes what the other has received to come
	// from the future.
	clockOff = clocksDiffer / 2
)

// compareClocks warns of a clock that makes unlocks expire. On SQLite there is only one.
func (o *Operations) compareClocks(ctx context.Context) {
	if !o.db.Postgres() {
		return
	}
	var millis int64
	before := o.now()
	if err := o.db.Get(ctx, &millis, `SELECT `+o.db.Millis()); err != nil {
		return // whatever is done next says so
	}
	took := o.now().Sub(before)
	ahead := before.Add(took / 2).Sub(when(millis))
	if ahead.Abs()-took/2 > clockOff {
		o.log.Warn("this machine's clock differs from the database's: let both follow a time server; replicas more than 5s apart expire each other's unlocks",
			"ahead", ahead.Round(100*time.Millisecond).String())
	}
}
