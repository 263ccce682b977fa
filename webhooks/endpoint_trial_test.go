package webhooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/standardwebhooks"
	"gatehouse/webhooks"
)

// auditLog is where the tests of endpoints note their acts.
func auditLog(db *sqldb.DB, log *events.Log) *audit.Log {
	return &audit.Log{DB: db, Commit: func(ctx context.Context, change func(context.Context, *sqldb.Tx) error) error {
		return log.DoUrgent(ctx, func(ctx context.Context, tx *events.Tx) error { return change(ctx, tx.Tx) })
	}}
}

func TestATestIsSignedAndLeavesNoTrace(t *testing.T) {
	o := newOffice(t, sqldbtest.SQLite(t), keysetFile(t))
	var secret standardwebhooks.Secret
	answer, calls := http.StatusNoContent, 0
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, _ = io.ReadAll(r.Body)
		if _, err := standardwebhooks.Verify(r.Header, body, time.Now(), time.Minute, secret); err != nil {
			t.Error(err)
		}
		if r.Header.Get(doorflow.SignatureHeader) == "" || r.Header.Get("Content-Type") != events.ContentType {
			t.Errorf("%v", r.Header)
		}
		w.WriteHeader(answer)
	}))
	defer server.Close()
	e, secret := o.endpoint(server.URL+"/the-secret-path", func(q *webhooks.EndpointRequest) { q.Enabled = webhooks.Give(false) })
	for _, tt := range []struct {
		answer  int
		outcome webhooks.Outcome
	}{{http.StatusNoContent, webhooks.OutcomeDelivered}, {http.StatusInternalServerError, webhooks.OutcomeFailed}, {http.StatusGone, webhooks.OutcomeGone}} {
		answer = tt.answer
		done, err := o.endpoints.Test(t.Context(), e.ID, webhooks.Limits{}, o.Try)
		must(t, err)
		if done.Outcome != tt.outcome || done.Status != tt.answer {
			t.Errorf("%d: %+v", tt.answer, done)
		}
	}
	var m struct {
		Type, Source string
		Data         struct{ Endpoint, Status string }
	}
	must(t, json.Unmarshal(body, &m))
	if m.Type != "gatehouse.endpoint.test" || m.Source != "/gatehouse/endpoints/"+e.ID || m.Data.Endpoint != e.ID || m.Data.Status != "test" {
		t.Errorf("%s", body)
	}
	if calls != 3 || o.count(`SELECT COUNT(*) FROM messages`)+o.count(`SELECT COUNT(*) FROM deliveries`) != 0 {
		t.Error("a test was sent again, said or stored")
	}
	after, err := o.endpoints.Get(t.Context(), e.ID, webhooks.Limits{})
	must(t, err)
	if after.Failures != 0 || after.Enabled || !after.LastSuccessAt.IsZero() || after.DisabledReason != webhooks.DisabledByHand {
		t.Errorf("%+v", after)
	}
	var noted []string
	must(t, o.db.Select(t.Context(), &noted, `SELECT action || ' ' || target || ' ' || outcome || ' ' || status FROM audit_log WHERE action = 'endpoint.test' ORDER BY id`))
	host := strings.TrimPrefix(server.URL, "http://")
	prefix := "endpoint.test " + e.ID + " " + host
	if want := []string{prefix + " started 0", prefix + " done 204", prefix + " started 0", prefix + " failed 500", prefix + " started 0", prefix + " failed 410"}; !slices.Equal(noted, want) {
		t.Errorf("noted: %q", noted)
	}
	if strings.Contains(o.lines.String(), secret.Reveal()[6:]) || strings.Contains(o.lines.String(), "the-secret-path") {
		t.Error("a secret is in the log")
	}
	if _, err := o.endpoints.Test(t.Context(), e.ID, webhooks.Limits{Accounts: []string{"a"}}, o.Try); !errors.Is(err, webhooks.ErrNoEndpoint) || calls != 3 {
		t.Errorf("beyond one's limits: %v", err)
	}
}

func TestFewEndpointsAreTestedAtOnce(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	e, _ := p.create(everything(), webhooks.Limits{})
	begun, release := make(chan struct{}), make(chan struct{})
	slow := func(context.Context, *webhooks.Endpoint, events.Encoded) webhooks.Attempt {
		begun <- struct{}{}
		<-release
		return webhooks.Attempt{Outcome: webhooks.OutcomeDelivered}
	}
	ended := make(chan error, 8)
	for range 8 {
		go func() {
			_, err := p.Test(context.Background(), e.ID, webhooks.Limits{}, slow)
			ended <- err
		}()
		<-begun
	}
	if _, err := p.Test(t.Context(), e.ID, webhooks.Limits{}, slow); !errors.Is(err, webhooks.ErrTesting) {
		t.Errorf("the ninth: %v", err)
	}
	close(release)
	for range 8 {
		must(t, <-ended)
	}
	done := func(context.Context, *webhooks.Endpoint, events.Encoded) webhooks.Attempt { return webhooks.Attempt{} }
	if _, err := p.Test(t.Context(), e.ID, webhooks.Limits{}, done); err != nil {
		t.Errorf("after they have ended: %v", err)
	}
}

// What was sent is noted, also when nobody waits for the answer any more.
func TestATestIsNotedThoughNobodyWaits(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	e, _ := p.create(everything(), webhooks.Limits{})
	ctx, leave := context.WithCancel(t.Context())
	_, err := p.Test(ctx, e.ID, webhooks.Limits{}, func(context.Context, *webhooks.Endpoint, events.Encoded) webhooks.Attempt {
		leave()
		return webhooks.Attempt{Outcome: webhooks.OutcomeDelivered}
	})
	must(t, err)
	var noted []string
	must(t, p.db.Select(t.Context(), &noted, `SELECT outcome FROM audit_log WHERE action = 'endpoint.test' ORDER BY id`))
	if !slices.Equal(noted, []string{"started", "done"}) {
		t.Errorf("noted: %q", noted)
	}
}
