package webhooks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/standardwebhooks"
	"gatehouse/webhooks"
)

var secretForm = regexp.MustCompile(`^whsec_[A-Za-z0-9+/]{43}=$`)

func TestASecretIsShownOnceAndSealed(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, secret := p.create(everything(), webhooks.Limits{})
		if !secretForm.MatchString(secret.Reveal()) {
			t.Fatal("the secret is not whsec_ and 32 bytes in base64")
		}
		other, second := p.create(everything(), webhooks.Limits{})
		if other.ID == made.ID || second == secret {
			t.Error("two endpoints are alike")
		}
		if secrets := p.secrets(made.ID); !slices.Equal(secrets, []standardwebhooks.Secret{secret}) {
			t.Error("what signs is not what was shown")
		}
		raw := []byte(secret.Reveal())
		if bytes.Contains(p.column(made.ID, "secret"), raw[6:]) {
			t.Error("the secret is stored in clear")
		}
		page, _, err := p.List(t.Context(), "", 10, webhooks.Limits{})
		must(t, err)
		shown, err := json.Marshal(append(page, made))
		must(t, err)
		for _, text := range []string{string(shown), fmt.Sprintf("%+v %#v", *made, *p.current().Get(made.ID)), p.lines.String(), fmt.Sprint(p.audited())} {
			if strings.Contains(text, secret.Reveal()[6:]) {
				t.Error("the secret is in", text)
			}
		}
	})
}

func (p *post) secrets(id string) []standardwebhooks.Secret {
	p.t.Helper()
	all, err := p.current().Get(id).Secrets(p.now())
	must(p.t, err)
	return all
}

func TestTheOldSecretSignsForADay(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, first := p.create(everything(), webhooks.Limits{})
		p.current()
		changed, second, err := p.RotateSecret(t.Context(), made.ID, webhooks.Limits{})
		must(t, err)
		if !secretForm.MatchString(second.Reveal()) || second == first || changed.OldSecretUntil.Sub(p.now()).Round(time.Minute) != 24*time.Hour {
			t.Fatalf("%+v", changed)
		}
		if got := p.secrets(made.ID); !slices.Equal(got, []standardwebhooks.Secret{second, first}) {
			t.Error("the new secret and then the old one must sign")
		}
		p.wait(24*time.Hour - time.Minute)
		if len(p.secrets(made.ID)) != 2 {
			t.Error("the old secret ended early")
		}
		p.wait(2 * time.Minute)
		if got := p.secrets(made.ID); !slices.Equal(got, []standardwebhooks.Secret{second}) {
			t.Error("the old secret signs for longer than a day")
		}
		_, third, err := p.RotateSecret(t.Context(), made.ID, webhooks.Limits{})
		must(t, err)
		_, fourth, err := p.RotateSecret(t.Context(), made.ID, webhooks.Limits{})
		must(t, err)
		if got := p.secrets(made.ID); !slices.Equal(got, []standardwebhooks.Secret{fourth, third}) {
			t.Error("after two rotations the last two must sign")
		}
	})
}

// A secret that was moved to another row must not sign there.
func TestASealedSecretBelongsToItsEndpoint(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	one, _ := p.create(everything(), webhooks.Limits{})
	two, _ := p.create(everything(), webhooks.Limits{})
	_, err := p.db.Writer().ExecContext(t.Context(), `UPDATE endpoints SET secret = (SELECT secret FROM endpoints WHERE id = ?) WHERE id = ?`, one.ID, two.ID)
	must(t, err)
	if secrets, err := p.current().Get(two.ID).Secrets(p.now()); err == nil || len(secrets) != 0 {
		t.Error("it signs with the secret of another")
	}
	if _, _, err := p.RotateSecret(t.Context(), two.ID, webhooks.Limits{}); err != nil || len(p.secrets(two.ID)) != 1 {
		t.Error("a rotation does not mend it", err)
	}
}

func TestWhatIsSaidFromNowOn(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		keyset := keysetFile(t)
		p, q := newPost(t, db, keyset), newPost(t, db, keyset)
		topic := events.ConnectionTopic("hX9aQ2", "active")
		w1, s1 := p.say(topic)
		w2, s2 := q.say(topic)
		made, _ := p.create(everything(), webhooks.Limits{})
		w3, s3 := p.say(topic)
		w4, s4 := q.say(topic)
		w5, s5 := newPost(t, db, keyset).say(topic) // a process that starts later
		e := q.current().Get(made.ID)
		if e.After(w1, s1) || e.After(w2, s2) || !e.After(w3, s3) || !e.After(w4, s4) || !e.After(w5, s5) {
			t.Error("it must get what is said after it was made, and nothing else")
		}
		_, err := p.Change(t.Context(), made.ID, enabled(false), webhooks.Limits{})
		must(t, err)
		w6, s6 := q.say(topic)
		if p.current().Get(made.ID).Enabled || len(q.current().Enabled()) != 0 {
			t.Error("it is not disabled everywhere")
		}
		_, err = q.Change(t.Context(), made.ID, enabled(true), webhooks.Limits{})
		must(t, err)
		w7, s7 := p.say(topic)
		if e := p.current().Get(made.ID); e.After(w4, s4) || e.After(w6, s6) || !e.After(w7, s7) || !e.Enabled || e.DisabledReason != "" {
			t.Error("once enabled again, it must get what is said from then on")
		}
		if got := p.said(made.ID); got != "disabled:by_hand" {
			t.Errorf("said: %s", got)
		}
	})
}

func TestEveryReplicaKnowsAtOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		keyset := keysetFile(t)
		p, q := newPost(t, db, keyset), newPost(t, db, keyset)
		if len(q.current().Enabled()) != 0 {
			t.Error("there are endpoints before any was made")
		}
		made, _ := p.create(everything(), webhooks.Limits{})
		known := q.current().Get(made.ID)
		if known == nil || q.current().Get(made.ID) != known {
			t.Fatal("another replica does not know it, or reads it anew each time")
		}
		_, err := p.Change(t.Context(), made.ID, wanting("https://bms.example.com/other", "gatehouse.event.>"), webhooks.Limits{})
		must(t, err)
		if got := q.current().Get(made.ID); got.URL != "https://bms.example.com/other" || got.Wants("a", "gatehouse.connection.a.active") || !got.Wants("a", "gatehouse.event.a.access.granted") {
			t.Errorf("another replica has %+v", got)
		}
		if known.URL != "https://bms.example.com/in" {
			t.Error("what was handed out has changed")
		}
		must(t, p.Delete(t.Context(), made.ID, webhooks.Limits{}))
		if q.current().Get(made.ID) != nil || len(q.current().Enabled()) != 0 {
			t.Error("another replica still knows what was deleted")
		}
	})
}

func TestAnEndpointKeepsItsMakersLimits(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	const event, other, outcome, about = "gatehouse.event.a.access.granted", "gatehouse.event.b.access.granted", "gatehouse.operation.acme.applied", "gatehouse.endpoint.x.failing"
	for name, tt := range map[string]struct {
		limits webhooks.Limits
		wants  []string
	}{
		"no limits":           {webhooks.Limits{}, []string{event, other, outcome, about}},
		"an account":          {webhooks.Limits{Accounts: []string{"a"}}, []string{event}},
		"no account":          {webhooks.Limits{Accounts: []string{}}, nil},
		"an identity":         {webhooks.Limits{Identities: []string{"acme"}}, []string{event, other, outcome}},
		"both":                {webhooks.Limits{Accounts: []string{"b"}, Identities: []string{"acme"}}, []string{other, outcome}},
		"another of each":     {webhooks.Limits{Accounts: []string{"c"}, Identities: []string{"other"}}, nil},
		"nothing of anything": {webhooks.Limits{Accounts: []string{}, Identities: []string{}}, nil},
	} {
		made, _ := p.create(everything(), tt.limits)
		_, err := p.Change(t.Context(), made.ID, wanting("https://bms.example.com/2", "*.event.>", "gatehouse.operation.>", "gatehouse.endpoint.>"), webhooks.Limits{})
		must(t, err)
		e := p.current().Get(made.ID)
		for subject, account := range map[string]string{event: "a", other: "b", outcome: "", about: ""} {
			if got, want := e.Wants(account, subject), slices.Contains(tt.wants, subject); got != want {
				t.Errorf("%s: %s: %v, want %v", name, subject, got, want)
			}
		}
	}
}

// Who is limited must neither see nor touch an endpoint that gets what they may not see.
func TestLimitsHideEndpoints(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	all := map[string]webhooks.Limits{
		"all":    {},
		"a":      {Accounts: []string{"a"}},
		"ab":     {Accounts: []string{"a", "b"}},
		"none":   {Accounts: []string{}, Identities: []string{}},
		"acme":   {Identities: []string{"acme"}},
		"a+acme": {Accounts: []string{"a"}, Identities: []string{"acme"}},
	}
	sees := map[string][]string{
		"all":    {"all", "a", "ab", "none", "acme", "a+acme"},
		"a":      {"a", "none"},
		"ab":     {"a", "ab", "none"},
		"none":   {"none"},
		"acme":   {"a", "ab", "none", "acme", "a+acme"},
		"a+acme": {"a", "none", "a+acme"},
	}
	ids := map[string]string{}
	for name, limits := range all {
		made, _ := p.create(everything(), limits)
		ids[name] = made.ID
	}
	for caller, limits := range all {
		page, next, err := p.List(t.Context(), "", 2, limits)
		must(t, err)
		for next != "" {
			var more []*webhooks.Endpoint
			more, next, err = p.List(t.Context(), next, 2, limits)
			must(t, err)
			page = append(page, more...)
		}
		if len(page) != len(sees[caller]) {
			t.Errorf("%s lists %d endpoints, want %d", caller, len(page), len(sees[caller]))
		}
		for name, id := range ids {
			_, err := p.Get(t.Context(), id, limits)
			if got, want := err == nil, slices.Contains(sees[caller], name); got != want {
				t.Errorf("%s sees %s: %v, want %v", caller, name, got, want)
			}
			if err == nil {
				continue
			}
			_, changing := p.Change(t.Context(), id, enabled(false), limits)
			_, _, rotating := p.RotateSecret(t.Context(), id, limits)
			for _, err := range []error{err, changing, rotating, p.Delete(t.Context(), id, limits)} {
				if !errors.Is(err, webhooks.ErrNoEndpoint) {
					t.Errorf("%s to %s: %v", caller, name, err)
				}
			}
		}
	}
	if len(p.current().Enabled()) != len(all) {
		t.Error("something was changed after all")
	}
}

func TestFaultsNameTheirField(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	made, _ := p.create(everything(), webhooks.Limits{})
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf("gatehouse.event.a%d.>", i)
	}
	for name, tt := range map[string]struct {
		field  string
		change func(*webhooks.EndpointRequest)
	}{
		"no scheme":      {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "bms.example.com/in" }},
		"another scheme": {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "ftp://bms.example.com/in" }},
		"no host":        {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https:///in" }},
		"opaque":         {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https:bms.example.com" }},
		"a password":     {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https://me:pw@bms.example.com/" }},
		"a fragment":     {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https://bms.example.com/#x" }},
		"an empty one":   {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https://bms.example.com/#" }},
		"a space":        {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https://bms.example.com/a b" }},
		"a line break":   {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https://bms.example.com/\nX: y" }},
		"too long": {"url", func(q *webhooks.EndpointRequest) {
			q.URL.Value = "https://bms.example.com/" + strings.Repeat("a", 2048)
		}},
		"in clear":         {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "http://bms.example.com/" }},
		"a private place":  {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https://10.0.0.5/" }},
		"this machine":     {"url", func(q *webhooks.EndpointRequest) { q.URL.Value = "https://localhost/" }},
		"no subject":       {"subjects", func(q *webhooks.EndpointRequest) { q.Subjects.Value = nil }},
		"an empty subject": {"subjects", func(q *webhooks.EndpointRequest) { q.Subjects.Value = []string{""} }},
		"not a pattern":    {"subjects", func(q *webhooks.EndpointRequest) { q.Subjects.Value = []string{"gatehouse.>.x"} }},
		"never said":       {"subjects", func(q *webhooks.EndpointRequest) { q.Subjects.Value = []string{"gatehouse.command.>"} }},
		"twice":            {"subjects", func(q *webhooks.EndpointRequest) { q.Subjects.Value = []string{">", ">"} }},
		"too many":         {"subjects", func(q *webhooks.EndpointRequest) { q.Subjects.Value = many }},
		"description":      {"description", func(q *webhooks.EndpointRequest) { q.Description = webhooks.Give("a\x00b") }},
		"a long one":       {"description", func(q *webhooks.EndpointRequest) { q.Description = webhooks.Give(strings.Repeat("ü", 257)) }},
		"none at once":     {"concurrency", func(q *webhooks.EndpointRequest) { q.Concurrency = webhooks.Give(0) }},
		"all at once":      {"concurrency", func(q *webhooks.EndpointRequest) { q.Concurrency = webhooks.Give(65) }},
		"nothing changes":  {"body", func(q *webhooks.EndpointRequest) { *q = webhooks.EndpointRequest{} }},
	} {
		q := everything()
		tt.change(&q)
		_, err := p.Change(t.Context(), made.ID, q, webhooks.Limits{})
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != tt.field {
			t.Errorf("changing, %s: %v, want the field %s named", name, err, tt.field)
		}
		_, _, err = p.Create(t.Context(), q, webhooks.Limits{})
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || (fault.Field != tt.field && tt.field != "body") {
			t.Errorf("making, %s: %v, want the field %s named", name, err, tt.field)
		}
	}
	if got, err := p.Get(t.Context(), made.ID, webhooks.Limits{}); err != nil || !got.ChangedAt.Equal(made.ChangedAt) {
		t.Errorf("%+v %v", got, err)
	}
	if n := len(p.audited()); n != 1 {
		t.Errorf("%d acts were recorded, want the one that happened", n)
	}
}

func TestThereIsAMost(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, _ := p.create(everything(), webhooks.Limits{})
		_, err := db.Writer().ExecContext(t.Context(), db.Writer().Rebind(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
			INSERT INTO endpoints (id, url, description, subjects, enabled, ordered, concurrency, made_by, secret, began, created_at, changed_at)
			SELECT 'copy ' || i, url, description, subjects, enabled, ordered, concurrency, made_by, secret, began, created_at, changed_at
			FROM endpoints, n WHERE id = ?`), made.ID)
		must(t, err)
		if _, _, err := p.Create(t.Context(), everything(), webhooks.Limits{}); !errors.Is(err, webhooks.ErrTooManyEndpoints) {
			t.Error(err)
		}
		must(t, p.Delete(t.Context(), made.ID, webhooks.Limits{}))
		p.create(everything(), webhooks.Limits{})
	})
}

// What cannot be an id must not reach the database, which might refuse its bytes.
func TestNoSuchEndpoint(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPost(t, db, keysetFile(t))
		made, _ := p.create(everything(), webhooks.Limits{})
		for _, id := range []string{"", "x", "\xff", "a\x00b", strings.ToUpper(made.ID), made.ID[:35] + "g", "0193f5a0-7d1c-7000-8000-000000000000", strings.Repeat("0", 1<<20)} {
			_, getting := p.Get(t.Context(), id, webhooks.Limits{})
			_, changing := p.Change(t.Context(), id, enabled(false), webhooks.Limits{})
			_, _, rotating := p.RotateSecret(t.Context(), id, webhooks.Limits{})
			for _, err := range []error{getting, changing, rotating, p.Delete(t.Context(), id, webhooks.Limits{})} {
				if !errors.Is(err, webhooks.ErrNoEndpoint) {
					t.Errorf("%.40q: %v", id, err)
				}
			}
		}
		if got := p.shown(made.ID); !got.Enabled || !got.OldSecretUntil.IsZero() {
			t.Errorf("%+v", got)
		}
	})
}

func TestActsAreRecorded(t *testing.T) {
	p := newPost(t, sqldbtest.SQLite(t), keysetFile(t))
	made, _ := p.create(wanting("https://bms.example.com/in/the-secret-path", ">"), webhooks.Limits{})
	q := enabled(false)
	q.URL = webhooks.Give("https://other.example.com/?key=the-secret-query")
	_, err := p.Change(t.Context(), made.ID, q, webhooks.Limits{})
	must(t, err)
	_, _, err = p.RotateSecret(t.Context(), made.ID, webhooks.Limits{})
	must(t, err)
	must(t, p.Delete(t.Context(), made.ID, webhooks.Limits{}))
	if err := p.Delete(t.Context(), made.ID, webhooks.Limits{}); !errors.Is(err, webhooks.ErrNoEndpoint) {
		t.Error(err)
	}
	want := []string{
		"endpoint.create " + made.ID + " bms.example.com",
		"endpoint.change " + made.ID + " url other.example.com, disabled",
		"endpoint.rotate_secret " + made.ID,
		"endpoint.delete " + made.ID + " other.example.com",
	}
	if got := p.audited(); !slices.Equal(got, want) {
		t.Errorf("recorded: %q", got)
	}
}
