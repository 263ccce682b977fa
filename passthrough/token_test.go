package passthrough_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/vault"
	"gatehouse/tokens"
	"gatehouse/web"
)

// picky accepts tokens that begin so, and counts what it performed.
func picky(t *testing.T, accepted string) (df *recorder, performed func() []string) {
	var mu sync.Mutex
	var did []string
	df = newRecorder(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+accepted) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		did = append(did, r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusCreated)
	})
	return df, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(did)
	}
}

func TestANewTokenIsFetchedAndTheRequestSentAgain(t *testing.T) {
	df, performed := picky(t, "at_new")
	g := newGateway(t, df.URL)
	large := strings.Repeat("x", 1<<20)
	g.post("people", large).doorflows(t, 201, "")
	asked := df.all()
	if len(asked) != 2 || asked[0].body != large || asked[1].body != large || len(performed()) != 1 || g.authority.refreshed.Load() != 1 {
		t.Errorf("%d requests, %d performed, %d refreshes", len(asked), len(performed()), g.authority.refreshed.Load())
	}
	g.post("channels/5012/admit", "").doorflows(t, 201, "")
	g.get("people").doorflows(t, 201, "")
	if got, want := performed(), []string{"POST /api/3/people", "POST /api/3/channels/5012/admit", "GET /api/3/people"}; !slices.Equal(got, want) {
		t.Errorf("performed %q, want %q", got, want)
	}
}

// A 401 of DoorFlow's is about the gateway's token, and never handed to a caller whose key is well.
func TestATokenThatIsRefusedAgain(t *testing.T) {
	df, performed := picky(t, "nobody's")
	g := newGateway(t, df.URL)
	a := g.post("people", "{}")
	a.problem(t, 502, "token-refused")
	if a.header.Get("WWW-Authenticate") != "" || len(df.all()) != 2 || len(performed()) != 0 {
		t.Errorf("%v, DoorFlow was asked %d times", a.header, len(df.all()))
	}
	if got := g.audited(); !slices.Equal(got, []string{"doorflow.write POST /api/3/people started", "doorflow.write POST /api/3/people refused Unauthorized"}) {
		t.Errorf("%q", got)
	}
}

func TestATokenThatCannotBeHad(t *testing.T) {
	for name, row := range map[string]struct {
		err    error
		status int
		slug   string
	}{
		"revoked":      {errRevoked, 409, "needs-reconnect"},
		"not just now": {errAway, 503, "doorflow-unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			df, performed := picky(t, "nobody's")
			g := newGateway(t, df.URL)
			g.authority.fail.Store(&row.err)
			g.post("people", "{}").problem(t, row.status, row.slug)
			if got := g.audited(); len(performed()) != 0 || len(got) != 2 || !strings.HasSuffix(got[1], " failed") {
				t.Errorf("performed %q, audited %q", performed(), got)
			}
		})
	}
}

func TestOnlyAnActiveConnectionIsUsed(t *testing.T) {
	df := newRecorder(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, df.URL)
	must(t, g.keeper.Pending(t.Context(), "pEnd1"))
	if _, err := g.keeper.Disconnect(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	var revoked error = errRevoked
	g.authority.fail.Store(&revoked)
	must(t, g.keeper.Put(t.Context(), tokens.Grant{Account: "reAu1", Access: vault.NewSecret("x"), Refresh: vault.NewSecret("y"), ExpiresAt: time.Now().Add(-time.Hour)}))
	_, _ = g.keeper.Token(t.Context(), "reAu1")
	for account, status := range map[string]string{"pEnd1": "pending", other: "disconnected", "reAu1": "reauthorize"} {
		for _, method := range []string{"GET", "POST"} {
			p := g.do(g.request(t.Context(), method, account, "people", nil)).problem(t, 409, "not-active")
			if p.ConnectionStatus != status || !strings.Contains(p.Detail, status) {
				t.Errorf("%s: %+v", account, p)
			}
		}
	}
	unknown := g.do(g.request(t.Context(), "GET", "n0body", "people", nil)).problem(t, 404, "not-found")
	g.caller.Store(&web.Caller{Name: "visitors", Scopes: []string{"admin"}, Accounts: []string{other}})
	forbidden := g.get("people").problem(t, 404, "not-found")
	if unknown.Instance, forbidden.Instance = "", ""; unknown != forbidden {
		t.Errorf("an account that is not the caller's can be told from none: %+v, %+v", unknown, forbidden)
	}
	g.caller.Store(&web.Caller{Name: "visitors", Scopes: []string{"admin"}, Accounts: []string{}})
	g.post("people", "{}").problem(t, 404, "not-found")
	if asked, entries := df.all(), g.audited(); len(asked) != 0 || !slices.Equal(entries, []string{"connection.disconnect " + other + " done"}) {
		t.Errorf("DoorFlow was asked %+v, audited %q", asked, entries)
	}
}

// What cannot be recorded is not done.
func TestAWriteThatCannotBeRecordedIsNotSent(t *testing.T) {
	df := newRecorder(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, df.URL)
	g.audit.Commit = func(context.Context, func(context.Context, *sqldb.Tx) error) error { return events.ErrStorage }
	g.post("people", "{}").problem(t, 503, "storage")
	if len(df.all()) != 0 {
		t.Error("it was sent")
	}
	g.get("people").doorflows(t, 200, "") // reads are not recorded
}

// That the outcome cannot be noted does not take the answer away, and is shouted about.
func TestAnOutcomeThatCannotBeRecorded(t *testing.T) {
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	g := newGateway(t, df.URL)
	commit, n := g.audit.Commit, 0
	g.audit.Commit = func(ctx context.Context, change func(context.Context, *sqldb.Tx) error) error {
		if n++; n == 2 {
			return events.ErrStorage
		}
		return commit(ctx, change)
	}
	g.post("people", "{}").doorflows(t, 201, "")
	if !strings.Contains(g.log.String(), `"level":"ERROR","msg":"the outcome of a write to DoorFlow could not be recorded"`) {
		t.Error(g.log.String())
	}
	if got := g.audited(); len(got) != 1 || !strings.HasSuffix(got[0], " started") {
		t.Errorf("%q", got)
	}
}
