package webhooks_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/events"
	"gatehouse/internal/egress"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
	"gatehouse/standardwebhooks"
	"gatehouse/webhooks"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// post is the part of a gateway that knows endpoints, with a clock that can be set forward.
type post struct {
	*webhooks.Endpoints
	t      testing.TB
	db     *sqldb.DB
	log    *events.Log
	lines  *lines
	offset atomic.Int64
}

// newPost opens one on a database; other posts on the same one are other replicas.
func newPost(t *testing.T, db *sqldb.DB, keyset string) *post {
	t.Helper()
	p := &post{t: t, db: db, lines: &lines{}}
	logger := slog.New(slog.NewTextHandler(p.lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	v, err := vault.Load(t.Context(), keyset, db.Writer(), true)
	must(t, err)
	p.log, err = events.OpenLog(t.Context(), events.LogConfig{DB: db, Registerer: prometheus.NewRegistry(), Log: logger})
	must(t, err)
	run(t, p.log.Run)
	way, err := egress.New(egress.Config{})
	must(t, err)
	p.Endpoints = webhooks.NewEndpoints(webhooks.EndpointsConfig{
		DB: db, Log: p.log, Vault: v, Judge: way.CheckURL, Audit: auditLog(db, p.log), Logger: logger, Now: p.now,
	})
	return p
}

func keysetFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "keyset.json")
}

func (p *post) now() time.Time       { return time.Now().Add(time.Duration(p.offset.Load())) }
func (p *post) wait(d time.Duration) { p.offset.Add(int64(d)) }
func everything() webhooks.EndpointRequest {
	return wanting("https://bms.example.com/in", "gatehouse.>")
}

func wanting(url string, subjects ...string) webhooks.EndpointRequest {
	return webhooks.EndpointRequest{URL: webhooks.Give(url), Subjects: webhooks.Give(subjects)}
}

func enabled(is bool) webhooks.EndpointRequest {
	return webhooks.EndpointRequest{Enabled: webhooks.Give(is)}
}

func (p *post) create(q webhooks.EndpointRequest, limits webhooks.Limits) (*webhooks.Endpoint, standardwebhooks.Secret) {
	p.t.Helper()
	made, secret, err := p.Create(p.t.Context(), q, limits)
	must(p.t, err)
	return made, secret
}

func (p *post) current() webhooks.EndpointSet {
	p.t.Helper()
	set, err := p.Current(p.t.Context())
	must(p.t, err)
	return set
}

// change runs a change of the log.
func (p *post) change(f func(tx *events.Tx) error) {
	p.t.Helper()
	must(p.t, p.log.Do(p.t.Context(), func(_ context.Context, tx *events.Tx) error { return f(tx) }))
}

// say says something and returns where it stands in the log.
func (p *post) say(topic events.Topic) (writer, seq int64) {
	p.t.Helper()
	m, err := events.NewMessage(topic, time.Now(), json.RawMessage(`{}`)).Encode()
	must(p.t, err)
	p.change(func(tx *events.Tx) error { tx.Append(m); return nil })
	var row struct{ Writer, Seq int64 }
	must(p.t, p.db.Get(p.t.Context(), &row, `SELECT writer, seq FROM messages WHERE id = ?`, m.ID))
	return row.Writer, row.Seq
}

// said are the statuses that were said of an endpoint, with the reason after a colon.
func (p *post) said(id string) string {
	p.t.Helper()
	asDescribed(p.t, p.db, "gatehouse.endpoint."+id+".")
	var bodies []string
	must(p.t, p.db.Select(p.t.Context(), &bodies, `SELECT body FROM messages WHERE subject LIKE ? ORDER BY writer, seq`, "gatehouse.endpoint."+id+".%"))
	var all []string
	for _, body := range bodies {
		var m struct {
			Type, Account string
			Data          struct{ Endpoint, Status, Reason string }
		}
		must(p.t, json.Unmarshal([]byte(body), &m))
		if m.Data.Endpoint != id || m.Type != "gatehouse.endpoint."+m.Data.Status || m.Account != "" {
			p.t.Errorf("a message about an endpoint is %s", body)
		}
		all = append(all, strings.TrimSuffix(m.Data.Status+":"+m.Data.Reason, ":"))
	}
	return strings.Join(all, " ")
}

// audited are the actions in the audit log, with what they were done to.
func (p *post) audited() []string {
	p.t.Helper()
	var all []string
	must(p.t, p.db.Select(p.t.Context(), &all, `SELECT action || ' ' || target FROM audit_log ORDER BY id`))
	return all
}

// column is how a sealed column of an endpoint stands in the database.
func (p *post) column(id, name string) []byte {
	p.t.Helper()
	var stored []byte
	must(p.t, p.db.Get(p.t.Context(), &stored, `SELECT `+name+` FROM endpoints WHERE id = ?`, id))
	return stored
}
