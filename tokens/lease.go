package tokens

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"gatehouse/internal/sqldb"
)

// lease keeps other processes, and other flights of this one, from refreshing an account. The holder is
// new each time: two flights of one Keeper exclude each other like those of two.
type lease struct {
	db           *sqldb.DB
	name, holder string
}

func (k *Keeper) newLease(account string) *lease {
	return &lease{db: k.db, name: "refresh/" + account, holder: uuid.NewString()}
}

func (l *lease) acquire(ctx context.Context) (bool, error) {
	return l.db.Acquire(ctx, l.name, l.holder, leaseFor)
}

// wait acquires the lease. While another has it, stop is asked whether there is still a point in waiting.
func (l *lease) wait(ctx context.Context, stop func() (bool, error)) (held bool, err error) {
	for pause := 25 * time.Millisecond; ; pause = min(pause*3/2, 500*time.Millisecond) {
		if held, err = l.acquire(ctx); held || err != nil {
			return held, err
		}
		if stopped, err := stop(); stopped || err != nil {
			return false, err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, context.Cause(ctx)
		}
	}
}

// renew keeps the lease for as long as storing takes. The function that it returns ends that.
func (l *lease) renew(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(leaseFor / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				// If it fails, the pair is still guarded by its compare-and-swap.
				_, _ = l.acquire(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// release lets the next one in at once. If it fails the lease runs out.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = l.db.Release(ctx, l.name, l.holder)
}
