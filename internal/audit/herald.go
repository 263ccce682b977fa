package audit

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// heraldEvery is how often the heads are told.
const heraldEvery = time.Minute

// HeraldLease is how long whoever tells the heads keeps others from it without a sign of life.
const HeraldLease = heraldEvery + heraldEvery/2

// HeraldConfig is what a Herald needs.
type HeraldConfig struct {
	Log *Log
	// Lead tells whether this is the replica that speaks; it takes or renews a lease of HeraldLease.
	Lead func(context.Context) (bool, error)
	// Say publishes the heads.
	Say        func(heads string) error
	Every      time.Duration // 0: a minute
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

// Herald tells the heads of the chains to the world, where whoever changes the database cannot take them back:
// in the program's log and on NATS. It also looks whether the chains still hold what it saw a minute ago.
type Herald struct {
	HeraldConfig
	seen   map[int64]Head
	logged string
	lost   prometheus.Counter
	silent bool
}

// NewHerald makes one.
func NewHerald(c HeraldConfig) *Herald {
	if c.Every == 0 {
		c.Every = heraldEvery
	}
	h := &Herald{HeraldConfig: c, seen: map[int64]Head{}, lost: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gatehouse_audit_cut_off_total", Help: "How often a chain of the audit log no longer held an entry that it had held a minute before.",
	})}
	c.Registerer.MustRegister(h.lost)
	return h
}

// Run tells the heads at once and then every minute, until ctx ends.
func (h *Herald) Run(ctx context.Context) error {
	tick := time.NewTicker(h.Every)
	defer tick.Stop()
	for {
		if err := h.tell(ctx); err != nil && ctx.Err() == nil {
			h.Logger.Warn("the heads of the audit log could not be told; trying again in a minute", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (h *Herald) tell(ctx context.Context) error {
	heads, err := h.Log.Heads(ctx)
	if err != nil {
		return err
	}
	if err := h.check(ctx, heads); err != nil {
		return err
	}
	if leads, err := h.Lead(ctx); err != nil || !leads {
		return err
	}
	said := heads.String()
	if said != h.logged {
		h.logged = said
		h.Logger.Info("audit head", "head", said)
	}
	err = h.Say(said)
	if err != nil && !h.silent {
		h.Logger.Warn("the heads of the audit log are not published; they are in this log", "error", err)
	}
	h.silent = err != nil
	return nil
}

// check compares the chains with what was seen last, and keeps the heads, which were read before. A chain that was cut off
// is reported once: its head may be older than the cut, and is not kept.
func (h *Herald) check(ctx context.Context, heads Heads) error {
	lost := map[int64]bool{}
	for chain, head := range h.seen {
		macs, err := readMACs(ctx, h.Log.DB, chain, Heads{head})
		if err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		if string(macs[head.Seq]) == string(head.MAC) {
			continue
		}
		delete(h.seen, chain)
		lost[chain] = true
		h.lost.Inc()
		h.Logger.Error("an entry of the audit log is gone, or another, that was there a minute ago; run gatehouse audit verify with this head",
			"head", head.String())
	}
	for _, head := range heads {
		if !lost[head.Chain] {
			h.seen[head.Chain] = head
		}
	}
	return nil
}
