package sharing_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

func TestOperationsAreListed(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		d := newDesk(t, db, keyset(t), newCloud(t, doordecksim.Options{}))
		_, err := d.Create(t.Context(), sharing.IdentityRequest{Name: "other", Subject: doordecksim.AdminBen, Email: "ben@example.test"})
		must(t, err)
		var want []string
		for i := range 25 {
			identity, caller := "acme", "a"
			if i%3 == 0 {
				identity, caller = "other", "b"
			}
			body := fmt.Sprintf(`{"id":"n-%d","type":"share","lock":"%s","invitees":[{"email":"ana@example.test"},{"email":"bo@example.test"}]}`, i, front)
			a, err := d.ops.Submit(t.Context(), everything(caller), sharing.Request{Identity: identity, Body: []byte(body)})
			must(t, err)
			want = append([]string{a.Operation}, want...)
		}
		list := func(q sharing.OperationQuery) (ids []string) {
			t.Helper()
			for {
				page, next, err := d.ops.List(t.Context(), q)
				must(t, err)
				for _, a := range page {
					if ids = append(ids, a.Operation); len(a.Results) != 2 {
						t.Errorf("without its people: %s", text(a))
					}
				}
				if q.After = next; next == "" {
					return ids
				}
			}
		}
		for _, limit := range []int{1, 7, 25, 200} {
			if got := list(sharing.OperationQuery{Limit: limit}); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("in pages of %d: %v", limit, got)
			}
		}
		for name, row := range map[string]struct {
			query sharing.OperationQuery
			want  int
		}{
			"an id":                   {sharing.OperationQuery{ID: "n-4"}, 1},
			"an identity":             {sharing.OperationQuery{Identity: "other"}, 9},
			"a caller":                {sharing.OperationQuery{Caller: "a"}, 16},
			"a lock":                  {sharing.OperationQuery{Lock: front}, 25},
			"another lock":            {sharing.OperationQuery{Lock: boat}, 0},
			"a status":                {sharing.OperationQuery{Status: sharing.Accepted}, 25},
			"another status":          {sharing.OperationQuery{Status: sharing.Failed}, 0},
			"a type":                  {sharing.OperationQuery{Type: sharing.Unlock}, 0},
			"a limit to identities":   {sharing.OperationQuery{Identities: []string{"other", "x"}}, 9},
			"a time":                  {sharing.OperationQuery{Since: d.now().Add(-time.Hour), Until: d.now().Add(time.Hour)}, 25},
			"an earlier time":         {sharing.OperationQuery{Until: d.now().Add(-time.Hour)}, 0},
			"a later time":            {sharing.OperationQuery{Since: d.now().Add(time.Hour)}, 0},
			"a limit to none":         {sharing.OperationQuery{Identities: []string{}}, 0},
			"what a limit leaves out": {sharing.OperationQuery{Identities: []string{"other"}, Identity: "acme"}, 0},
		} {
			row.query.Limit = 10
			if got := list(row.query); len(got) != row.want {
				t.Errorf("by %s: %d, want %d", name, len(got), row.want)
			}
		}
		for field, q := range map[string]sharing.OperationQuery{
			"after": {After: "x"}, "lock": {Lock: "x"}, "status": {Status: "watched"}, "type": {Type: "x"}, "id": {ID: "a\x00"},
		} {
			_, _, err := d.ops.List(t.Context(), q)
			if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != field {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}

// What waited at NATS stands in the list where it was asked for, and not where it was stored.
func TestOperationsAreListedByWhenTheyWereAskedFor(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		d := newDesk(t, db, keyset(t), newCloud(t, doordecksim.Options{}))
		began := d.now()
		ask := func(at time.Duration) string {
			t.Helper()
			d.advance(at - d.now().Sub(began))
			return d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front).Operation
		}
		first, third, second, fourth := ask(time.Second), ask(3*time.Second), ask(2*time.Second), ask(4*time.Second)
		for name, row := range map[string]struct {
			query sharing.OperationQuery
			want  []string
		}{
			"all":        {sharing.OperationQuery{}, []string{fourth, third, second, first}},
			"by door":    {sharing.OperationQuery{Lock: front, Status: sharing.Accepted}, []string{fourth, third, second, first}},
			"earlier":    {sharing.OperationQuery{Until: began.Add(3 * time.Second)}, []string{second, first}},
			"later":      {sharing.OperationQuery{Since: began.Add(3 * time.Second)}, []string{fourth, third}},
			"in between": {sharing.OperationQuery{Identity: "acme", Since: began.Add(2 * time.Second), Until: began.Add(4 * time.Second)}, []string{third, second}},
		} {
			var got []string
			for q := row.query; ; {
				q.Limit = 1
				page, next, err := d.ops.List(t.Context(), q)
				must(t, err)
				for _, a := range page {
					got = append(got, a.Operation)
				}
				if q.After = next; next == "" {
					break
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(row.want) {
				t.Errorf("%s: %v, want %v", name, got, row.want)
			}
		}
	})
}

// What has ended is removed after the retention, but not before nobody sends it again, nor while something that
// was signed for it can reach a door.
func TestOldOperationsAreRemoved(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{})
		d := newDesk(t, db, keyset(t), c).run(t)
		share := `{"id":"%s","type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"%s"}`
		ended := d.do(t, share, "ended", front, "1h")
		waits := d.submit(t, share, "waits", boat, "300h")
		d.until(t, waits.Operation, 30*time.Second, queued)
		d.submit(t, `{"type":"revoke","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, boat)
		waits = d.final(t, waits.Operation) // as overtaken; its token lives on
		d.stop()
		count := func(table string) (n int) {
			t.Helper()
			must(t, db.Get(t.Context(), &n, `SELECT COUNT(*) FROM `+table))
			return n
		}
		sweep := func() {
			t.Helper()
			must(t, events.NewRetention(d.events, nil, d.ops.Pruner(time.Hour)).Sweep(t.Context()))
		}
		if sweep(); count("operations") != 3 {
			t.Error("something was removed that may be sent again")
		}
		d.advance(73 * time.Hour)
		if sweep(); count("operations") != 2 || count("operation_parts") != 2 {
			t.Errorf("%d operations are left", count("operations"))
		}
		if _, err := d.ops.Get(t.Context(), ended.Operation, nil); !errors.Is(err, sharing.ErrNoOperation) {
			t.Error(err)
		}
		if _, err := d.ops.Get(t.Context(), waits.Operation, nil); err != nil {
			t.Error(err)
		}
		d.advance(300 * time.Hour)
		if sweep(); count("operations") != 1 { // the revoke has not ended
			t.Errorf("%d operations are left", count("operations"))
		}
	})
}
