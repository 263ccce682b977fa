package webhooks_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// tries notes an attempt that has just ended, at the endpoint as it is.
func (p *post) tries(id string, outcome webhooks.Outcome) {
	p.t.Helper()
	e := p.current().Get(id)
	if e == nil {
		e = &webhooks.Endpoint{ID: id}
	}
	p.notes(webhooks.Tried{Endpoint: e, Outcome: outcome, At: p.now()})
}

func (p *post) notes(all ...webhooks.Tried) {
	p.t.Helper()
	p.change(func(tx *events.Tx) error { return p.Note(p.t.Context(), tx, slices.Clone(all)) })
}

func (p *post) fails(id string)    { p.t.Helper(); p.tries(id, "connect") }
func (p *post) succeeds(id string) { p.t.Helper(); p.tries(id, webhooks.OutcomeDelivered) }

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

// Who looks for trouble is told of what fails and of what the gateway has disabled, within their limits.
func TestTroubled(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		held := webhooks.Limits{Accounts: []string{"a1"}}
		stumbled, _ := p.create(everything(), webhooks.Limits{})
		failing, _ := p.create(everything(), held)
		gone, _ := p.create(everything(), webhooks.Limits{})
		byHand, _ := p.create(everything(), webhooks.Limits{})
		p.fails(stumbled.ID)
		for range 3 {
			p.fails(failing.ID)
		}
		p.tries(gone.ID, webhooks.OutcomeGone)
		_, err := p.Change(p.t.Context(), byHand.ID, webhooks.EndpointRequest{Enabled: webhooks.Give(false)}, webhooks.Limits{})
		must(t, err)
		for _, test := range []struct {
			of   webhooks.Limits
			most int
			want []string
		}{
			{webhooks.Limits{}, 9, []string{gone.ID, failing.ID}},
			{webhooks.Limits{}, 1, []string{gone.ID}},
			{held, 9, []string{failing.ID}},
			{webhooks.Limits{Accounts: []string{"a2"}}, 9, nil},
		} {
			found, err := p.Troubled(t.Context(), test.of, test.most)
			must(t, err)
			var got []string
			for _, e := range found {
				got = append(got, e.ID)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%+v: %v, want %v", test.of, got, test.want)
			}
		}
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
		p.wait(6 * 24 * time.Hour)
		p.fails(made.ID)
		if !p.current().Get(made.ID).Enabled {
			t.Error("disabled for two failures, days apart")
		}
	})
}

func TestGoneDisablesOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, _ := p.create(everything(), webhooks.Limits{})
		for range 2 {
			p.tries(made.ID, webhooks.OutcomeGone)
		}
		p.tries("none", webhooks.OutcomeGone)
		if got := p.said(made.ID); got != "disabled:gone" {
			t.Errorf("said: %s", got)
		}
		if e := p.current().Get(made.ID); e.Enabled || e.DisabledReason != webhooks.DisabledGone {
			t.Errorf("%+v", e)
		}
	})
}

// What an attempt found at a place that an endpoint has left, or before it was repaired, is no longer true of it.
func TestALateAnswerSaysNothing(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, _ := p.create(everything(), webhooks.Limits{})
		before := p.current().Get(made.ID)
		p.wait(time.Second)
		_, err := p.Change(t.Context(), made.ID, webhooks.EndpointRequest{URL: webhooks.Give("https://bms.example.com/corrected")}, webhooks.Limits{})
		must(t, err)
		for _, outcome := range []webhooks.Outcome{"connect", webhooks.OutcomeFailed, webhooks.OutcomeRefused, webhooks.OutcomeGone} {
			p.notes(webhooks.Tried{Endpoint: before, Outcome: outcome, At: p.now()})
		}
		if e := p.shown(made.ID); !e.Enabled || e.Failures != 0 || !e.LastFailureAt.IsZero() || p.said(made.ID) != "" {
			t.Errorf("what failed at the old URL: %+v", e)
		}
		p.fails(made.ID)
		p.notes(webhooks.Tried{Endpoint: before, Outcome: webhooks.OutcomeDelivered, At: p.now()})
		if e := p.shown(made.ID); e.Failures != 1 || !e.LastSuccessAt.IsZero() {
			t.Errorf("what arrived at the old URL: %+v", e)
		}
		before = p.current().Get(made.ID)
		p.wait(time.Second)
		_, err = p.Change(t.Context(), made.ID, enabled(true), webhooks.Limits{})
		must(t, err)
		p.notes(webhooks.Tried{Endpoint: before, Outcome: webhooks.OutcomeGone, At: p.now()})
		if e := p.shown(made.ID); !e.Enabled || e.Failures != 1 {
			t.Errorf("what failed before it was changed: %+v", e)
		}
		p.notes(webhooks.Tried{Endpoint: before, Outcome: webhooks.OutcomeDelivered, At: p.now()})
		if e := p.shown(made.ID); e.Failures != 0 || e.LastSuccessAt.IsZero() {
			t.Errorf("what arrived before it was changed: %+v", e)
		}
	})
}

// An endpoint that has failed for nearly five days is not disabled by the first that fails where it is now; and it has
// recovered when something succeeds there.
func TestAnotherURLHasFiveDaysOfItsOwn(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	made, _ := p.create(everything(), webhooks.Limits{})
	to := func(url string) {
		t.Helper()
		_, err := p.Change(t.Context(), made.ID, webhooks.EndpointRequest{URL: webhooks.Give(url)}, webhooks.Limits{})
		must(t, err)
	}
	for range 3 {
		p.fails(made.ID)
	}
	p.wait(5*24*time.Hour - time.Minute)
	to(made.URL)
	if e := p.shown(made.ID); e.FailingSince.IsZero() {
		t.Error("the same URL began anew")
	}
	to("https://bms.example.com/corrected")
	p.wait(2 * time.Minute)
	p.fails(made.ID)
	if e := p.shown(made.ID); !e.Enabled || e.Failures != 4 || p.now().Sub(e.FailingSince) > time.Minute {
		t.Errorf("%+v", e)
	}
	to("https://bms.example.com/again")
	p.succeeds(made.ID)
	if got := p.said(made.ID); got != "failing recovered" {
		t.Errorf("said: %s", got)
	}
}

// Results are stored in whatever order; they count in the order in which they were known.
func TestHealthGoesByWhenAttemptsEnded(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, _ := p.create(everything(), webhooks.Limits{})
		e, now := p.current().Get(made.ID), p.now()
		at := func(outcome webhooks.Outcome, after time.Duration) webhooks.Tried {
			return webhooks.Tried{Endpoint: e, Outcome: outcome, At: now.Add(after)}
		}
		p.notes(at(webhooks.OutcomeDelivered, time.Minute))
		p.notes(at("timeout", 59*time.Second))
		if e := p.shown(made.ID); e.Failures != 0 || !e.FailingSince.IsZero() {
			t.Errorf("a failure before the last success: %+v", e)
		}
		p.notes(at("timeout", 2*time.Minute), at("timeout", 3*time.Minute))
		p.notes(at(webhooks.OutcomeDelivered, 90*time.Second))
		if e := p.shown(made.ID); e.Failures != 2 || e.LastSuccessAt.After(now.Add(time.Minute)) {
			t.Errorf("a success before the first failure: %+v", e)
		}
		// A success among failures of five days, stored with a later failure, begins them anew.
		days := 5*24*time.Hour + 10*time.Minute
		p.notes(at("timeout", 4*time.Minute))
		p.notes(at("timeout", days+time.Minute), at(webhooks.OutcomeDelivered, days))
		if e := p.shown(made.ID); !e.Enabled || e.Failures != 1 || !e.LastSuccessAt.Equal(now.Add(days).Truncate(time.Millisecond)) {
			t.Errorf("a success among failures: %+v", e)
		}
		if got := p.said(made.ID); got != "failing recovered" {
			t.Errorf("said: %s", got)
		}
	})
}

// A change of endpoints locks the version, then an endpoint. What health disables must not do it the other way round:
// each would wait for the other.
func TestHealthAndChangesLockInOneOrder(t *testing.T) {
	db := sqldbtest.Open(t, sqldbtest.PostgresURL(t))
	p := newPost(t, db, keysetFile(t))
	for _, outcome := range []webhooks.Outcome{webhooks.OutcomeGone, "connect"} {
		made, _ := p.create(everything(), webhooks.Limits{})
		e := p.current().Get(made.ID)
		tx, err := db.Writer().BeginTxx(t.Context(), nil)
		must(t, err)
		defer func() { _ = tx.Rollback() }()
		_, err = tx.ExecContext(t.Context(), `UPDATE endpoint_version SET version = version + 1 WHERE id = 1`)
		must(t, err)
		done := make(chan error)
		go func() {
			done <- p.log.Do(t.Context(), func(ctx context.Context, tx *events.Tx) error {
				return p.Note(ctx, tx, []webhooks.Tried{{Endpoint: e, Outcome: outcome, At: p.now()}})
			})
		}()
		await(t, "health waits for the change", func() bool { return waiting(t, db) == 1 })
		_, err = tx.ExecContext(t.Context(), `SELECT 1 FROM endpoints WHERE id = $1 FOR NO KEY UPDATE NOWAIT`, made.ID)
		must(t, err)
		must(t, tx.Commit())
		must(t, <-done)
	}
}

// waiting counts who waits for a lock.
func waiting(t *testing.T, db *sqldb.DB) (n int) {
	t.Helper()
	must(t, db.Get(t.Context(), &n, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`))
	return n
}
