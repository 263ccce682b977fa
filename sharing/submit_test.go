package sharing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

func TestAnIDStandsForOneOperation(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c).run(t)
		body := `{"id":"visit-1","type":"share","lock":"` + front + `","invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}]}`
		var wg sync.WaitGroup
		var mu sync.Mutex
		ids := map[string]bool{}
		for range 20 {
			wg.Go(func() {
				a := d.submit(t, "%s", body)
				mu.Lock()
				defer mu.Unlock()
				ids[a.Operation] = true
			})
		}
		wg.Wait()
		if len(ids) != 1 {
			t.Fatalf("%d operations for one id", len(ids))
		}
		first := d.submit(t, "%s", body)
		ended := d.final(t, first.Operation)
		if again := d.submit(t, " %s", body); text(again) != text(ended) {
			t.Errorf("asked again it is %s, which ended as %s", text(again), text(ended))
		}
		for name, same := range map[string]string{
			"another order":  `{"lock":"` + strings.ToUpper(front) + `","invitees":[{"email":"ana@example.test"},{"email":"nobody@example.test"}],"type":"share","id":"visit-1"}`,
			"what is usual":  strings.Replace(body, `"lock"`, `"role":"USER","start":null,"valid_for":"","lock"`, 1),
			"role by person": strings.ReplaceAll(body, `{"email"`, `{"role":"USER","email"`),
			"escapes":        strings.Replace(body, `ana@`, `\u0061na@`, 1),
		} {
			a, err := d.ops.Submit(t.Context(), everything("reception"), sharing.Request{Identity: "acme", Body: []byte(same)})
			if err != nil || a.Operation != first.Operation {
				t.Errorf("the same with %s: %v", name, err)
			}
		}
		for n, spelt := range []string{"1h", "60m", "3600s"} {
			wait := strings.NewReplacer("visit-1", "visit-2", `"lock"`, `"valid_for":"`+spelt+`","lock"`).Replace(body)
			if _, err := d.ops.Submit(t.Context(), everything("reception"), sharing.Request{Identity: "acme", Body: []byte(wait)}); err != nil {
				t.Errorf("the same with %s, the %d. time: %v", spelt, n+1, err)
			}
		}
		for name, other := range map[string]string{
			"other people": strings.Replace(body, "ana@", "dora@", 1),
			"another door": strings.Replace(body, front, loading, 1),
			"another role": strings.Replace(body, `"lock"`, `"role":"ADMIN","lock"`, 1),
			"another end":  strings.Replace(body, `"lock"`, `"end":"2030-01-01T00:00:00Z","lock"`, 1),
			"another time": strings.Replace(body, `"lock"`, `"valid_for":"1h","lock"`, 1),
		} {
			_, err := d.ops.Submit(t.Context(), everything("reception"), sharing.Request{Identity: "acme", Body: []byte(other)})
			if !errors.Is(err, sharing.ErrOtherOperation) {
				t.Errorf("%s with the same id: %v", name, err)
			}
		}
		other, err := d.ops.Submit(t.Context(), everything("security"), sharing.Request{Identity: "acme", Body: []byte(body)})
		if err != nil || other.Operation == first.Operation {
			t.Errorf("another caller's id is the same: %v", err)
		}
		d.final(t, other.Operation)
		if n := len(c.Ledger()); n != 3 {
			t.Errorf("%d operations were sent, want one for each caller, and the one that may wait", n)
		}
		if said := fmt.Sprint(d.said(t, first.Operation)); said != "[partial]" {
			t.Errorf("messages say %s", said)
		}
		made := d.submit(t, `{"type":"unlock","lock":"%s"}`, front)
		if made.ID == "" || made.ID == d.submit(t, `{"type":"unlock","lock":"%s"}`, front).ID {
			t.Error("no id was made, or one that is not new")
		}
	})
}

func TestWhoMayAskForWhat(t *testing.T) {
	db := sqldbtest.SQLite(t)
	d := newDesk(t, db, keyset(t), newCloud(t, doordecksim.Options{}))
	const write, unlock, admin, provision = "operations:write", "operations:unlock", "operations:admin", "operations:provision"
	share := func(invitees string) string {
		return `{"type":"share","lock":"` + front + `","invitees":[` + invitees + `]}`
	}
	for name, row := range map[string]struct {
		body  string
		needs []string
	}{
		"a share":             {share(`{"email":"ana@example.test"}`), []string{write}},
		"as an administrator": {share(`{"email":"ana@example.test","role":"ADMIN"}`), []string{admin}},
		"as both":             {share(`{"email":"ana@example.test"},{"email":"dora@example.test","role":"ADMIN"}`), []string{write, admin}},
		"a newcomer":          {share(`{"foreign_key":"v","email":"v@example.test","provision":true}`), []string{write, provision}},
		"all":                 {share(`{"foreign_key":"v","email":"v@example.test","provision":true,"role":"ADMIN"},{"email":"ana@example.test"}`), []string{write, admin, provision}},
		"a revoke":            {`{"type":"revoke","lock":"` + front + `","invitees":[{"email":"ana@example.test"}]}`, []string{write}},
		"an unlock":           {`{"type":"unlock","lock":"` + front + `"}`, []string{unlock}},
	} {
		all := []string{write, unlock, admin, provision, "operations:read"}
		for set := range 1 << len(all) {
			var scopes []string
			missing := len(row.needs)
			for i, scope := range all {
				if set&(1<<i) != 0 {
					scopes = append(scopes, scope)
					for _, needed := range row.needs {
						if needed == scope {
							missing--
						}
					}
				}
			}
			_, err := d.ops.Submit(t.Context(), sharing.OfScopes("x", scopes, nil), sharing.Request{Identity: "acme", Body: []byte(row.body)})
			if (missing == 0) != (err == nil) || missing > 0 && !errors.Is(err, sharing.ErrForbidden) {
				t.Errorf("%s with %v: %v", name, scopes, err)
			}
		}
	}
	body := []byte(`{"type":"unlock","lock":"` + front + `"}`)
	for _, identities := range [][]string{{}, {"other"}, {"Acme"}} {
		_, err := d.ops.Submit(t.Context(), sharing.OfScopes("x", []string{unlock}, identities), sharing.Request{Identity: "acme", Body: body})
		if !errors.Is(err, sharing.ErrNoIdentity) {
			t.Errorf("held to %v: %v", identities, err)
		}
	}
	_, err := d.ops.Submit(t.Context(), everything("x"), sharing.Request{Identity: "nobody", Body: body})
	if !errors.Is(err, sharing.ErrNoIdentity) {
		t.Errorf("an identity there is not: %v", err)
	}
	_, err = d.ops.Submit(t.Context(), everything("x"), sharing.Request{Identity: "acme", Type: "share", Body: body})
	if fault, ok := errors.AsType[*invalid.Error](err); !ok || fault.Field != "type" {
		t.Errorf("another type than the road's: %v", err)
	}
	a, err := d.ops.Submit(t.Context(), sharing.OfScopes("x", []string{unlock}, []string{"acme"}), sharing.Request{Identity: "acme", ID: "mine", Body: body})
	must(t, err)
	if got, err := d.ops.Get(t.Context(), a.Operation, []string{"acme"}); err != nil || got.ID != "mine" || got.Caller != "x" || got.Status != "accepted" {
		t.Errorf("%s %v", text(got), err)
	}
	for _, id := range []string{a.Operation, "mine", "", strings.ToUpper(a.Operation), "0193f5a0-7d1c-7000-8000-000000000000"} {
		if _, err := d.ops.Get(t.Context(), id, []string{"other"}); !errors.Is(err, sharing.ErrNoOperation) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// Who asks for what they may not is in the audit log, and is told so only when it is.
func TestWhatIsForbiddenIsRecorded(t *testing.T) {
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), newCloud(t, strict()))
	ctx := audit.WithActor(t.Context(), audit.Actor{Kind: audit.KindKey, Name: "lobby", Remote: "192.0.2.7"})
	ask := func(who sharing.Authority) error {
		_, err := d.ops.Submit(ctx, who, sharing.Request{Identity: "acme", Body: []byte(`{"type":"unlock","lock":"` + front + `"}`)})
		return err
	}
	if err := ask(sharing.OfScopes("lobby", []string{"operations:write"}, nil)); !errors.Is(err, sharing.ErrForbidden) {
		t.Error(err)
	}
	if err := ask(sharing.OfScopes("lobby", []string{"operations:unlock"}, []string{"other"})); !errors.Is(err, sharing.ErrNoIdentity) {
		t.Error(err)
	}
	entries, _, err := d.audit.List(t.Context(), audit.Query{Action: "operation.unlock", Limit: 10})
	must(t, err)
	if len(entries) != 2 {
		t.Fatalf("%d entries: %s", len(entries), text(entries))
	}
	for _, e := range entries {
		if e.ActorKind != "key" || e.Actor != "lobby" || e.Remote != "192.0.2.7" || e.Outcome != "refused" || e.Target != "acme "+front {
			t.Error(text(e))
		}
	}
	d.db.SignWith(nil)
	if err := ask(sharing.OfScopes("lobby", nil, nil)); err == nil || errors.Is(err, sharing.ErrForbidden) {
		t.Errorf("without an entry it is answered %v", err)
	}
}

// What is too old is never signed, whatever it is.
func TestWhatIsTooOldIsNeverSigned(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c).run(t)
		share := func(more string) string {
			return `{"type":"share","lock":"` + front + `","invitees":[{"email":"ana@example.test"}]` + more + `}`
		}
		unlock := `{"type":"unlock","lock":"` + front + `"}`
		for _, row := range []struct {
			name, body string
			age        time.Duration
			want       sharing.Status
		}{
			{"an unlock", unlock, 10 * time.Second, sharing.Expired},
			{"a young unlock", unlock, 2 * time.Second, sharing.Applied},
			{"a share", share(""), time.Minute, sharing.Expired},
			{"a young share", share(""), 30 * time.Second, sharing.Applied},
			{"a revoke", `{"type":"revoke","lock":"` + front + `","invitees":[{"email":"ana@example.test"}]}`, time.Minute, sharing.Expired},
			{"one that may wait", share(`,"valid_for":"24h"`), time.Hour, sharing.Applied},
			{"one that waited too long", share(`,"valid_for":"24h"`), 24 * time.Hour, sharing.Expired},
			{"one that has ended", share(`,"end":"2026-01-01T00:00:00Z"`), 0, sharing.Expired},
			{"one that has ended while it waited", share(`,"end":"2026-01-01T00:00:00Z","valid_for":"24h"`), 0, sharing.Expired},
		} {
			before := len(c.Ledger())
			a, err := d.ops.Submit(t.Context(), everything("x"), sharing.Request{Identity: "acme", Body: []byte(row.body), Received: d.now().Add(-row.age)})
			must(t, err)
			a = d.final(t, a.Operation)
			if a.Status != row.want || (len(c.Ledger()) > before) != (row.want == sharing.Applied) {
				t.Errorf("%s: %s, %d sent", row.name, text(a), len(c.Ledger())-before)
			}
			if said := fmt.Sprint(d.said(t, a.Operation)); said != "["+string(row.want)+"]" {
				t.Errorf("%s: messages say %s", row.name, said)
			}
		}
	})
}

// Behind one that waits, what gets too old is told so in time.
func TestWhatGetsTooOldInTheQueueIsTold(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)
	c := newCloud(t, doordecksim.Options{})
	d := newDesk(t, db, keyset(t), c).run(t)
	c.Faults().Fail(doordecksim.RouteExecute, -1, 500)
	first := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"1h"}`, front)
	d.until(t, first.Operation, 30*time.Second, func(a sharing.Answer) bool { return a.Status == "running" })
	second := d.submit(t, `{"type":"unlock","lock":"%s"}`, front)
	d.advance(11 * time.Second)
	if a := d.final(t, second.Operation); a.Status != "expired" || c.Unlocks(front) != 0 {
		t.Error(text(a))
	}
	c.Faults().Reset()
	d.advance(40 * time.Second) // by which the gateway's clock is ahead, so that Doordeck may queue what is for now
	if a := d.final(t, first.Operation); a.Status != "applied" && a.Status != "confirmed" {
		t.Error(text(a))
	}
}

func TestWaiting(t *testing.T) {
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), newCloud(t, doordecksim.Options{}))
	a := d.submit(t, `{"type":"unlock","lock":"%s"}`, front)
	if got, err := d.ops.Wait(t.Context(), a.Operation, 20*time.Millisecond); err != nil || got.Status != "accepted" {
		t.Errorf("%s %v", text(got), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.ops.Wait(ended, a.Operation, time.Hour); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	d.run(t)
	if got, err := d.ops.Wait(t.Context(), a.Operation, 20*time.Second); err != nil || got.Status != "applied" {
		t.Errorf("%s %v", text(got), err)
	}
	queued := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}],"valid_for":"1h"}`, boat)
	if got, err := d.ops.Wait(t.Context(), queued.Operation, time.Hour); err != nil || got.Status != "queued" {
		t.Errorf("%s %v", text(got), err)
	}
	if _, err := d.ops.Wait(t.Context(), "0193f5a0-7d1c-7000-8000-000000000000", time.Hour); !errors.Is(err, sharing.ErrNoOperation) {
		t.Error(err)
	}
}
