package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(sqldbtest.Tests{M: m}) }

// newLog commits each change in a transaction of its own.
func newLog(db *sqldb.DB) *audit.Log {
	return &audit.Log{DB: db, Commit: func(ctx context.Context, change func(context.Context, *sqldb.Tx) error) error {
		tx, err := db.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := change(ctx, tx); err != nil {
			return err
		}
		return tx.Commit()
	}}
}

func write(t *testing.T, l *audit.Log, e audit.Entry) string {
	t.Helper()
	id, err := l.Write(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func list(t *testing.T, l *audit.Log, q audit.Query) []audit.Stored {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	page, _, err := l.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestWhatIsRecordedIsShown(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		ctx := audit.WithActor(t.Context(), audit.Actor{
			Kind: audit.KindKey, Name: "reception", KeyID: "k1", Remote: "192.0.2.7", RequestID: "r1",
		})
		before := time.Now().Add(-time.Millisecond)
		e := audit.Entry{Actor: audit.ActorFrom(ctx), Action: "doorflow.write", Account: "hX9aQ2", Target: "POST /api/3/people", Outcome: audit.Started}
		begun := write(t, l, e)
		e.Outcome, e.Status, e.Started = audit.Done, 201, begun
		ended := write(t, l, e)
		page := list(t, l, audit.Query{})
		if len(page) != 2 || page[0].ID != ended || page[1].ID != begun {
			t.Fatalf("%+v", page)
		}
		if at := page[0].At; at.Before(before) || at.After(time.Now()) || at.Location() != time.UTC {
			t.Errorf("at %v", at)
		}
		want := audit.Stored{
			ID: ended, At: page[0].At, ActorKind: "key", Actor: "reception", KeyID: "k1", Remote: "192.0.2.7", RequestID: "r1",
			Action: "doorflow.write", Account: "hX9aQ2", Target: "POST /api/3/people", Outcome: "done", Status: 201, Started: begun, Chain: 1, Seq: 2,
		}
		if diff := cmp.Diff(want, page[0]); diff != "" {
			t.Errorf("want (-) got (+):\n%s", diff)
		}
	})
}

func TestAnEntryGoesWithItsTransaction(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l, no := newLog(db), errors.New("no")
		err := l.Commit(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := audit.Record(ctx, tx, audit.Entry{Action: "a.b", Outcome: audit.Done}); err != nil {
				return err
			}
			return no
		})
		if page := list(t, l, audit.Query{}); !errors.Is(err, no) || len(page) != 0 {
			t.Fatalf("%v, %+v", err, page)
		}
	})
}

func TestNothingChangesOrRemovesAnEntry(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done})
		statements := []string{`UPDATE audit_log SET actor = 'x'`, `DELETE FROM audit_log`}
		if db.Postgres() {
			statements = append(statements, `TRUNCATE audit_log`)
		}
		for _, statement := range statements {
			err := l.Commit(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, statement)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if page := list(t, l, audit.Query{}); len(page) != 1 || page[0].Actor != "" {
			t.Errorf("%+v", page)
		}
	})
}

func TestForeignTextIsBoundedAndPlain(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		write(t, l, audit.Entry{
			Action: "a.b", Outcome: audit.Done, Target: strings.Repeat("ä", 10_000),
			Actor: audit.Actor{Kind: audit.KindKey, Name: "a\x00\xff\n\x1b[31m\u202eb", Remote: strings.Repeat("x", 10_000)},
		})
		got := list(t, l, audit.Query{})[0]
		if got.Actor != "a\ufffd\ufffd\ufffd\ufffd[31m\ufffdb" {
			t.Errorf("actor %q", got.Actor)
		}
		if n := len([]rune(got.Target)); n != 512 || !strings.HasSuffix(got.Target, "…") {
			t.Errorf("a target of %d characters", n)
		}
		if n := len([]rune(got.Remote)); n != 256 {
			t.Errorf("a remote of %d characters", n)
		}
	})
}

func TestNobodySaidWhoActed(t *testing.T) {
	db := sqldbtest.SQLite(t)
	l := newLog(db)
	write(t, l, audit.Entry{Actor: audit.ActorFrom(t.Context()), Action: "a.b", Outcome: audit.Done})
	write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done})
	for _, got := range list(t, l, audit.Query{}) {
		if got.ActorKind != "unknown" {
			t.Errorf("%+v", got)
		}
	}
}

func TestPagesHoldEachEntryOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		want := map[string]bool{}
		for i := range 23 {
			want[write(t, l, audit.Entry{Action: "a.b", Target: fmt.Sprint(i), Outcome: audit.Done})] = true
		}
		q, pages := audit.Query{Limit: 5}, 0
		for {
			page, next, err := l.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range page {
				if !want[e.ID] || (i > 0 && e.ID >= page[i-1].ID) {
					t.Fatalf("entry %s is there twice, new, or out of order", e.ID)
				}
				delete(want, e.ID)
			}
			pages++
			write(t, l, audit.Entry{Action: "a.b", Outcome: audit.Done}) // meanwhile
			if next == "" {
				break
			}
			q.After = next
		}
		if len(want) != 0 || pages != 5 {
			t.Errorf("%d entries were on no page, of %d pages", len(want), pages)
		}
	})
}

func TestFilters(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		l := newLog(db)
		for _, row := range [][3]string{{"ana", "key.create", ""}, {"ben", "key.create", "hX9aQ2"}, {"ana", "key.revoke", "hX9aQ2"}, {"ana", "key.revoke", "other"}} {
			write(t, l, audit.Entry{Actor: audit.Actor{Kind: audit.KindKey, Name: row[0]}, Action: row[1], Account: row[2], Target: row[0] + "'s 100%_Key!", Outcome: audit.Done})
		}
		middle := list(t, l, audit.Query{})[0].At
		for name, row := range map[string]struct {
			query audit.Query
			want  int
		}{
			"all":                   {audit.Query{}, 4},
			"actor":                 {audit.Query{Actor: "ana"}, 3},
			"action":                {audit.Query{Action: "key.revoke"}, 2},
			"both":                  {audit.Query{Actor: "ben", Action: "key.revoke"}, 0},
			"since the beginning":   {audit.Query{Since: middle.Add(-time.Hour)}, 4},
			"since before the era":  {audit.Query{Since: time.Unix(-1<<40, 0)}, 4},
			"since tomorrow":        {audit.Query{Since: middle.Add(24 * time.Hour)}, 0},
			"until tomorrow":        {audit.Query{Until: middle.Add(24 * time.Hour)}, 4},
			"until the last":        {audit.Query{Until: time.Unix(1<<40, 0)}, 4},
			"until yesterday":       {audit.Query{Until: middle.Add(-24 * time.Hour)}, 0},
			"until before the era":  {audit.Query{Until: time.Unix(-1<<40, 0)}, 0},
			"a named account":       {audit.Query{Account: "hX9aQ2"}, 2},
			"part of a target":      {audit.Query{Target: "ANA'S 100%_k"}, 3},
			"all of a target":       {audit.Query{Target: "ben's 100%_Key!"}, 1},
			"no wildcard":           {audit.Query{Target: "100__key"}, 0},
			"target and action":     {audit.Query{Target: "ana", Action: "key.revoke"}, 2},
			"an account":            {audit.Query{Accounts: []string{"hX9aQ2"}}, 2},
			"two accounts":          {audit.Query{Accounts: []string{"hX9aQ2", "other"}}, 3},
			"no account":            {audit.Query{Accounts: []string{}}, 0},
			"an account of no name": {audit.Query{Accounts: []string{""}}, 0},
			"of accounts":           {audit.Query{OfAccounts: true}, 3},
		} {
			got := len(list(t, l, row.query))
			if got != row.want {
				t.Errorf("%s: %d entries, want %d", name, got, row.want)
			}
		}
	})
}

func TestTheRoute(t *testing.T) {
	l := newLog(sqldbtest.SQLite(t))
	write(t, l, audit.Entry{Actor: audit.Actor{Kind: audit.KindKey, Name: "ana"}, Action: "a.b", Account: "hX9aQ2", Outcome: audit.Done})
	write(t, l, audit.Entry{Actor: audit.Actor{Kind: audit.KindKey, Name: "ana"}, Action: "c.d", Outcome: audit.Refused, Status: 403})
	var accounts, identities []string
	h := &audit.Handlers{
		Log: l, Accounts: func(echo.Context) []string { return accounts }, Identities: func(echo.Context) []string { return identities },
	}
	get := func(query string) (*httptest.ResponseRecorder, error) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/v1/audit?"+query, nil)
		return w, h.List(echo.New().NewContext(r, w))
	}
	decode := func(w *httptest.ResponseRecorder) (page struct {
		Items []audit.Stored
		Next  string
	},
	) {
		t.Helper()
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		return page
	}
	w, err := get("limit=1&actor=ana")
	page := decode(w)
	if err != nil || len(page.Items) != 1 || page.Items[0].Action != "c.d" || page.Next == "" {
		t.Fatalf("%v %s", err, w.Body)
	}
	if w, err = get("after=" + page.Next); err != nil || len(decode(w).Items) != 1 || decode(w).Next != "" {
		t.Fatalf("%v %s", err, w.Body)
	}
	accounts = []string{"hX9aQ2"}
	if w, err = get(""); err != nil || len(decode(w).Items) != 1 || decode(w).Items[0].Action != "a.b" {
		t.Fatalf("%v %s", err, w.Body)
	}
	find := func(id string) (audit.Stored, error) {
		c := echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/audit/x", nil), httptest.NewRecorder())
		c.SetParamNames("id")
		c.SetParamValues(id)
		return h.Find(c)
	}
	own := decode(w).Items[0].ID
	if found, err := find(own); err != nil || found.Action != "a.b" || found.At.IsZero() {
		t.Errorf("one's own entry: %+v %v", found, err)
	}
	for _, id := range []string{page.Items[0].ID, "x", "", "0193f5a0-7d1c-7000-8000-000000000000"} {
		if _, err := find(id); !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	accounts, identities = nil, []string{"acme"}
	if w, err = get(""); err != nil || len(decode(w).Items) != 1 || decode(w).Items[0].Action != "a.b" {
		t.Fatalf("held to an identity: %v %s", err, w.Body)
	}
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=501": "limit", "since=yesterday": "since", "after=x": "after", "after=" + url.QueryEscape("AAAA"): "after",
		"until=x": "until", "target=%00": "target", "account=%ff": "account", "actor=%00": "actor", "action=%ff": "action", "actor=" + strings.Repeat("x", 257): "actor",
	} {
		_, err := get(query)
		if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != field {
			t.Errorf("%.40s: %v, want a fault in %s", query, err, field)
		}
	}
}

func TestTheRouteThatVerifies(t *testing.T) {
	db := sqldbtest.SQLite(t)
	l := newLog(db)
	for range 3 {
		write(t, l, audit.Entry{Actor: audit.Actor{Kind: audit.KindKey, Name: "planted-Zq7"}, Action: "a.b", Outcome: audit.Done})
	}
	kept := heads(t, l).String()
	var accounts []string
	h := &audit.Handlers{Log: l, Accounts: func(echo.Context) []string { return accounts }}
	get := func(query string) (report audit.Report, body string, err error) {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/v1/audit/verify?"+query, nil)
		if err := h.Verify(echo.New().NewContext(r, w)); err != nil {
			return report, "", err
		}
		var p audit.Progress
		for dec := json.NewDecoder(w.Body); dec.More(); {
			if err := dec.Decode(&p); err != nil {
				t.Fatal(err)
			}
		}
		if p.Report == nil {
			t.Fatal("there is no report")
		}
		data, err := json.Marshal(p.Report)
		return *p.Report, string(data), err
	}
	if report, _, err := get("head=" + url.QueryEscape(kept)); err != nil || len(report.Faults) != 0 || report.Head != kept || report.Entries != 3 {
		t.Fatalf("%+v, %v", report, err)
	}
	rows := readTable(t, db)
	rows[1][3] = "somebody else"
	writeTable(t, db, rows)
	report, body, err := get("head=" + url.QueryEscape(kept) + "&head=" + url.QueryEscape(kept))
	if err != nil || len(report.Faults) != 1 || report.Faults[0].Seq != 2 || report.Faults[0].ID != rows[1][0] || strings.Contains(body, "planted-Zq7") {
		t.Fatalf("%s, %v", body, err)
	}
	if _, _, err := get("head=x"); err == nil {
		t.Error("a head that is none was accepted")
	}
	accounts = []string{"hX9aQ2"}
	if _, _, err := get(""); !errors.Is(err, audit.ErrHeld) {
		t.Errorf("a caller who is held to accounts: %v", err)
	}
	h.Accounts, h.Identities = nil, func(echo.Context) []string { return []string{"acme"} }
	if _, _, err := get(""); !errors.Is(err, audit.ErrHeld) {
		t.Errorf("a caller who is held to identities: %v", err)
	}
}
