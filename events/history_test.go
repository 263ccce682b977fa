package events_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

// tell appends one event of an account and returns its id.
func tell(t *testing.T, l *events.Log, account string, code int64) string {
	t.Helper()
	return tellOf(t, l, account, code, `{"note":"a<b>&c"}`)
}

// tellOf is tell with data.
func tellOf(t *testing.T, l *events.Log, account string, code int64, data string) string {
	t.Helper()
	m := events.NewMessage(events.EventTopic(account, events.Classify(code)), time.Now(), []byte(data))
	encoded, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Do(t.Context(), func(_ context.Context, tx *events.Tx) error { tx.Append(encoded); return nil }); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// ids reads all pages and returns the ids on them.
func ids(t *testing.T, h *events.History, q events.Query, between func()) []string {
	t.Helper()
	var all []string
	for {
		page, next, err := h.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page {
			all = append(all, s.ID)
		}
		if q.After = next; next == "" {
			return all
		}
		if between != nil {
			between()
		}
	}
}

func pattern(t *testing.T, s string) events.Pattern {
	t.Helper()
	p, err := events.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestListPagesReturnEverythingThatExistedOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, b := runLog(t, db), runLog(t, db)
		existed := append(say(t, a, 30), say(t, b, 30)...)
		h := events.NewHistory(db, a)
		got := ids(t, h, events.Query{Limit: 7}, func() { tell(t, a, "hX9aQ2", 10); tell(t, b, "hX9aQ2", 10) })

		if !slices.IsSortedFunc(got, func(x, y string) int { return -cmpText(x, y) }) {
			t.Error("not newest first")
		}
		slices.Sort(got)
		slices.Sort(existed)
		if !slices.Equal(got, existed) {
			t.Errorf("the pages hold %d messages, want the %d that existed", len(got), len(existed))
		}
	})
}

func cmpText(x, y string) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// until are those of the messages that were committed before then.
func until(t *testing.T, h *events.History, then time.Time, ids ...string) []string {
	t.Helper()
	return slices.DeleteFunc(ids, func(id string) bool {
		m, err := h.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return !m.CommittedAt.Before(then)
	})
}

func TestListFilters(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		granted := tell(t, l, "aB", 10)
		denied := tell(t, l, "aB", 20)
		met := tellOf(t, l, "z", 31, `{"person_id":4821,"person_name":"Ana Pereira","channel_id":5012,"channel_name":"Bucht über dem Kai"}`)
		other := tell(t, l, "ab", 10)
		h := events.NewHistory(db, l)
		committed, err := h.Get(t.Context(), denied)
		if err != nil {
			t.Fatal(err)
		}
		for name, row := range map[string]struct {
			query events.Query
			want  []string
		}{
			"everything":            {events.Query{}, []string{other, met, denied, granted}},
			"account keeps case":    {events.Query{Filter: events.Filter{Account: "aB"}}, []string{denied, granted}},
			"literal subject":       {events.Query{Filter: events.Filter{Pattern: pattern(t, "gatehouse.event.ab.access.granted")}}, []string{other}},
			"one token":             {events.Query{Filter: events.Filter{Pattern: pattern(t, "gatehouse.event.*.access.granted")}}, []string{other, granted}},
			"rest":                  {events.Query{Filter: events.Filter{Pattern: pattern(t, "gatehouse.event.aB.>")}}, []string{denied, granted}},
			"prefix is not a token": {events.Query{Filter: events.Filter{Pattern: pattern(t, "gatehouse.event.a")}}, nil},
			"held to accounts":      {events.Query{Filter: events.Filter{Accounts: []string{"ab", "x"}}}, []string{other}},
			"held to none":          {events.Query{Filter: events.Filter{Accounts: []string{}}}, nil},
			"not LIKE":              {events.Query{Filter: events.Filter{Pattern: pattern(t, "gatehouse.event.%.access.granted")}}, nil},
			"since then":            {events.Query{Since: committed.CommittedAt}, from(t, h, committed.CommittedAt, other, met, denied, granted)},
			"since later":           {events.Query{Since: time.Now().Add(time.Hour)}, nil},
			"since long ago":        {events.Query{Since: time.Unix(-1<<40, 0)}, []string{other, met, denied, granted}},
			"until then":            {events.Query{Until: committed.CommittedAt}, until(t, h, committed.CommittedAt, other, met, denied, granted)},
			"until later":           {events.Query{Until: time.Now().Add(time.Hour)}, []string{other, met, denied, granted}},
			"until long ago":        {events.Query{Until: time.Unix(-1<<40, 0)}, nil},
			"a person by name":      {events.Query{Filter: events.Filter{Person: "aNA p"}}, []string{met}},
			"a person by id":        {events.Query{Filter: events.Filter{Person: "4821"}}, []string{met}},
			"a part of an id":       {events.Query{Filter: events.Filter{Person: "482"}}, nil},
			"a person elsewhere":    {events.Query{Filter: events.Filter{Person: "Ana", Door: "Workshop"}}, nil},
			"a door":                {events.Query{Filter: events.Filter{Door: "bucht Üb"}}, []string{met}},
			"little at a time":      {events.Query{Filter: events.Filter{Door: "5012"}, Look: 1}, []string{met}},
			"limit":                 {events.Query{Limit: 1}, []string{other, met, denied, granted}},
		} {
			if got := ids(t, h, row.query, nil); !slices.Equal(got, row.want) {
				t.Errorf("%s: %v, want %v", name, got, row.want)
			}
		}
	})
}

// A caller with limits sees what belongs to no account only where it is of an identity that they name.
func TestLimitsOnWhatBelongsToNoAccount(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		account := tell(t, l, "a", 10)
		applied := appendAs(t, l, "gatehouse.operation.acme.applied")
		ready := appendAs(t, l, "gatehouse.identity.acme.ready")
		escaped := appendAs(t, l, "gatehouse.operation."+events.Token("a.b")+".applied")
		endpoint := appendAs(t, l, "gatehouse.endpoint.acme.failing")
		h := events.NewHistory(db, l)
		for name, row := range map[string]struct {
			accounts, identities []string
			want                 []string
		}{
			"no limits":             {nil, nil, []string{endpoint, escaped, ready, applied, account}},
			"accounts alone":        {[]string{"a"}, nil, []string{account}},
			"another account":       {[]string{"acme"}, nil, nil},
			"both":                  {[]string{"a"}, []string{"acme"}, []string{ready, applied, account}},
			"no account":            {[]string{}, []string{"acme"}, []string{ready, applied}},
			"identities alone":      {nil, []string{"a.b"}, []string{escaped, account}},
			"a token is not a name": {[]string{}, []string{events.Token("a.b"), "a"}, nil},
			"nothing":               {[]string{}, []string{}, nil},
		} {
			q := events.Query{Filter: events.Filter{Accounts: row.accounts, Identities: row.identities}}
			if got := ids(t, h, q, nil); !slices.Equal(got, row.want) {
				t.Errorf("%s: %v, want %v", name, got, row.want)
			}
		}
	})
}

// appendAs commits a message that belongs to no account, and returns its id.
func appendAs(t *testing.T, l *events.Log, subject string) string {
	t.Helper()
	m := events.Encoded{ID: uuid.Must(uuid.NewV7()).String(), Subject: subject, Body: []byte(`{}`)}
	if err := l.Do(t.Context(), func(_ context.Context, tx *events.Tx) error { tx.Append(m); return nil }); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// from keeps the ids that were committed at that time or later.
func from(t *testing.T, h *events.History, at time.Time, ids ...string) []string {
	t.Helper()
	return slices.DeleteFunc(ids, func(id string) bool {
		s, err := h.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return s.CommittedAt.Before(at)
	})
}

// fill puts n rows straight into the table, in the order of their ids, and returns those.
func fill(t testing.TB, db *sqldb.DB, n int, subject string) []string {
	t.Helper()
	insert, err := db.NewInserter(t.Context(), "messages", []string{"writer", "seq", "id", "account", "subject", "at", "body"}, "")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	all := make([]string, n)
	var args []any
	for i := range n {
		all[i] = uuid.Must(uuid.NewV7()).String()
		args = append(args, 1, i+1, all[i], "hX9aQ2", subject, time.Now().UnixMilli(), []byte(`{}`))
	}
	if _, err := insert.Exec(t.Context(), tx, args); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestListGoesOnBehindABoundedSearch(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		old := tell(t, l, "rare", 10)
		fill(t, db, 45_000, "gatehouse.event.hX9aQ2.access.granted")
		recent := tell(t, l, "rare", 10)
		h := events.NewHistory(db, l)
		q := events.Query{Filter: events.Filter{Pattern: pattern(t, "gatehouse.event.rare.>")}}

		page, next, err := h.List(t.Context(), q)
		if err != nil || len(page) != 1 || next == "" {
			t.Fatalf("first page: %d messages, next %q, %v; want one and a cursor", len(page), next, err)
		}
		calls := 1
		if got := ids(t, h, q, func() { calls++ }); !slices.Equal(got, []string{recent, old}) || calls != 3 {
			t.Errorf("%v in %d calls, want both messages in 3", got, calls)
		}
	})
}

func TestListRefusesForeignCursors(t *testing.T) {
	db := sqldbtest.SQLite(t)
	h := events.NewHistory(db, openLog(t, db, events.LogConfig{}))
	for _, cursor := range []string{
		"x", "====", base64.RawURLEncoding.EncodeToString([]byte("' OR 1=1")), string(make([]byte, 1<<20)),
		base64.RawURLEncoding.EncodeToString([]byte("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF")),
	} {
		_, _, err := h.List(t.Context(), events.Query{After: cursor})
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "after" {
			t.Errorf("cursor %.40q: %v, want an error about after", cursor, err)
		}
	}
}

func TestReplaySaysItAgainUnderANewID(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := runLog(t, db)
		old := tell(t, l, "hX9aQ2", 10)
		h := events.NewHistory(db, l)
		ctx := audit.WithActor(t.Context(), audit.Actor{Kind: audit.KindKey, Name: "support", Remote: "192.0.2.7"})
		id, err := h.Replay(ctx, old)
		if err != nil {
			t.Fatal(err)
		}
		entries, _, err := (&audit.Log{DB: db}).List(t.Context(), audit.Query{Action: "message.replay", Limit: 9})
		if err != nil || len(entries) != 1 || entries[0].Actor != "support" || entries[0].Remote != "192.0.2.7" ||
			entries[0].Account != "hX9aQ2" || entries[0].Target != old+" as "+id {
			t.Errorf("the audit log has %+v, %v", entries, err)
		}
		got, err := h.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var m events.Message
		if err := json.Unmarshal(got.Body, &m); err != nil {
			t.Fatal(err)
		}
		if m.ID != id || id == old || m.ReplayOf != old || m.Origin != events.OriginReplay || got.Subject != "gatehouse.event.hX9aQ2.access.granted" {
			t.Errorf("replayed as %+v on %s", m, got.Subject)
		}
	})
}

func TestUnknownMessages(t *testing.T) {
	db := sqldbtest.SQLite(t)
	h := events.NewHistory(db, openLog(t, db, events.LogConfig{}))
	for _, id := range []string{"", "x", uuid.NewString(), "{" + uuid.NewString() + "}", string(make([]byte, 1<<20))} {
		if _, err := h.Get(t.Context(), id); !errors.Is(err, events.ErrNotFound) {
			t.Errorf("Get(%.40q): %v", id, err)
		}
		if _, err := h.Replay(t.Context(), id); !errors.Is(err, events.ErrNotFound) {
			t.Errorf("Replay(%.40q): %v", id, err)
		}
	}
}

// The page that looks at the most rows, on a large table.
func BenchmarkListRare(b *testing.B) {
	db := sqldbtest.SQLite(b)
	fill(b, db, 200_000, "gatehouse.event.hX9aQ2.access.granted")
	h := events.NewHistory(db, nil)
	p, _ := events.ParsePattern("gatehouse.event.rare.>")
	for name, q := range map[string]events.Query{
		"newest 50": {}, "rare account": {Filter: events.Filter{Account: "rare"}}, "rare subject": {Filter: events.Filter{Pattern: p}},
	} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := h.List(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
