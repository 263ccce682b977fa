package webhooks_test

import (
	"slices"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

func (p *post) fails(id string) {
	p.t.Helper()
	p.change(func(tx *events.Tx) error { return p.Failed(p.t.Context(), tx, id, p.now(), "connect") })
}

func (p *post) succeeds(id string) {
	p.t.Helper()
	p.change(func(tx *events.Tx) error { return p.Succeeded(p.t.Context(), tx, id, p.now()) })
}

func (p *post) shown(id string) *webhooks.Endpoint {
	p.t.Helper()
	e, err := p.Get(p.t.Context(), id, webhooks.Limits{})
	must(p.t, err)
	return e
}

func TestFailingAndRecovered(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, _ := p.create(everything(), webhooks.Limits{})
		p.fails(made.ID)
		since := p.shown(made.ID).FailingSince
		p.wait(time.Minute)
		p.fails(made.ID)
		if e := p.shown(made.ID); since.IsZero() || !e.FailingSince.Equal(since) || e.Failures != 2 || e.LastError != "connect" || !e.LastFailureAt.After(since) {
			t.Errorf("%+v", e)
		}
		p.succeeds(made.ID)
		if got := p.said(made.ID); got != "" {
			t.Errorf("said although it had merely stumbled: %s", got)
		}
		for range 4 {
			p.fails(made.ID)
		}
		for range 3 {
			p.succeeds(made.ID)
		}
		if got := p.said(made.ID); got != "failing recovered" {
			t.Errorf("said: %s", got)
		}
		if e := p.shown(made.ID); !e.FailingSince.IsZero() || e.Failures != 0 || e.LastError != "" || e.LastSuccessAt.IsZero() || !e.Enabled {
			t.Errorf("%+v", e)
		}
		p.fails("gone")
		p.succeeds("gone")
	})
}

// Deliveries are many, and all of an endpoint would otherwise change one row.
func TestSuccessesAreNotedNowAndThen(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	made, _ := p.create(everything(), webhooks.Limits{})
	p.succeeds(made.ID)
	first := p.shown(made.ID).LastSuccessAt
	p.wait(9 * time.Second)
	p.succeeds(made.ID)
	if got := p.shown(made.ID).LastSuccessAt; !got.Equal(first) {
		t.Error("noted again at once")
	}
	p.wait(2 * time.Second)
	p.succeeds(made.ID)
	if got := p.shown(made.ID).LastSuccessAt; !got.After(first) {
		t.Error("not noted again")
	}
}

func TestFiveDaysOfFailuresDisable(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, _ := p.create(everything(), webhooks.Limits{})
		p.fails(made.ID)
		p.wait(5*24*time.Hour - time.Minute)
		p.fails(made.ID)
		p.succeeds(made.ID)
		p.fails(made.ID)
		p.wait(5*24*time.Hour - time.Minute)
		p.fails(made.ID)
		if !p.current().Get(made.ID).Enabled {
			t.Fatal("disabled although it succeeded within five days")
		}
		p.wait(2 * time.Minute)
		p.fails(made.ID)
		p.fails(made.ID)
		if e := p.current().Get(made.ID); e.Enabled || e.DisabledReason != webhooks.DisabledFailing {
			t.Errorf("%+v", e)
		}
		if got := p.said(made.ID); got != "failing disabled:failing" {
			t.Errorf("said: %s", got)
		}
		if got := p.audited(); !slices.Contains(got, "endpoint.disable "+made.ID+" failing") || len(got) != 2 {
			t.Errorf("recorded: %q", got)
		}
		_, err := p.Change(t.Context(), made.ID, enabled(true), webhooks.Limits{})
		must(t, err)
		p.fails(made.ID)
		if e := p.current().Get(made.ID); !e.Enabled || e.DisabledReason != "" || p.shown(made.ID).Failures != 1 {
			t.Error("enabled again, it must have five days again")
		}
	})
}

func TestGoneDisablesOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, _ := p.create(everything(), webhooks.Limits{})
		for range 2 {
			p.change(func(tx *events.Tx) error { return p.Disable(t.Context(), tx, made.ID, webhooks.DisabledGone, p.now()) })
		}
		p.change(func(tx *events.Tx) error { return p.Disable(t.Context(), tx, "none", webhooks.DisabledGone, p.now()) })
		if got := p.said(made.ID); got != "disabled:gone" {
			t.Errorf("said: %s", got)
		}
		if e := p.current().Get(made.ID); e.Enabled || e.DisabledReason != webhooks.DisabledGone {
			t.Errorf("%+v", e)
		}
	})
}
