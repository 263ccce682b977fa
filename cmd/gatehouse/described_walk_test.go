package main_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
	"gatehouse/web/webtest"

	program "gatehouse/cmd/gatehouse"
)

// walker asks a gateway for all that its description tells of, and keeps what has been answered.
type walker struct {
	t      *testing.T
	g      *gateway
	api    *webtest.API
	client *http.Client
	// params are what stands in paths; "operation name" goes before "name".
	params map[string]string
}

// step is a request that succeeds, or is answered with a status. What it leaves out is as the description's example
// says.
type step struct {
	id     string
	status int
	before func()
	params map[string]string
	body   func() string
	header map[string]string
	learn  func(answer)
}

func newWalker(t *testing.T, g *gateway) *walker {
	t.Helper()
	api, err := webtest.OpenAPI("../../web/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// A body that is too large is refused before it is sent.
	next := &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 10 * time.Second}
	return &walker{t, g, api, &http.Client{Timeout: time.Minute, Transport: &webtest.Transport{API: api, Next: next}}, map[string]string{}}
}

// operation is the one with an id.
func (w *walker) operation(id string) *webtest.Operation {
	w.t.Helper()
	i := slices.IndexFunc(w.api.Operations, func(o *webtest.Operation) bool { return o.OperationID == id })
	if i < 0 {
		w.t.Fatalf("no operation is called %s", id)
	}
	return w.api.Operations[i]
}

// path fills an operation's path.
func (w *walker) path(o *webtest.Operation, params map[string]string) string {
	path := o.Path
	for _, of := range []string{o.OperationID + " ", ""} {
		for name, value := range params {
			if name, mine := strings.CutPrefix(name, of); mine {
				path = strings.ReplaceAll(path, "{"+name+"}", value)
			}
		}
	}
	return path
}

// ask makes a request, again where too many were made. Of a stream it reads the first lines.
func (w *walker) ask(o *webtest.Operation, path, key, body string, header map[string]string) answer {
	w.t.Helper()
	for {
		req, err := http.NewRequestWithContext(w.t.Context(), o.Method, w.g.url+path, strings.NewReader(body))
		if err != nil {
			w.t.Fatal(err)
		}
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		for name, value := range header {
			req.Header.Set(name, value)
		}
		resp, err := w.client.Do(req)
		if err != nil {
			w.t.Errorf("%s: %v", o.OperationID, err)
			return answer{}
		}
		read := io.Reader(resp.Body)
		if resp.Header.Get("Content-Type") == "text/event-stream" {
			read = io.LimitReader(read, 100)
		}
		got, err := io.ReadAll(read)
		_ = resp.Body.Close()
		if err != nil {
			w.t.Errorf("%s: %v", o.OperationID, err)
		}
		if !strings.Contains(string(got), "/problems/rate-limited") {
			return answer{resp.StatusCode, resp.Header, got}
		}
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		time.Sleep(time.Duration(max(seconds, 1)) * time.Second) // as the answer asks
	}
}

// example is the body of a request that the description shows.
func example(o *webtest.Operation) string {
	if o.RequestBody == nil {
		return ""
	}
	body, _ := json.Marshal(o.RequestBody.Value.Content["application/json"].Example)
	return string(body)
}

// take makes an operation succeed.
func (w *walker) take(s step) {
	w.t.Helper()
	o := w.operation(s.id)
	body := example(o)
	if s.body != nil {
		body = s.body()
	}
	if s.before != nil {
		s.before()
	}
	params := maps.Clone(w.params)
	maps.Copy(params, s.params)
	a := w.ask(o, w.path(o, params), adminToken, body, s.header)
	if succeeded := a.status >= 200 && a.status < 300; succeeded != (s.status == 0) || s.status != 0 && a.status != s.status {
		w.t.Errorf("%s: %d %s", s.id, a.status, a.body)
	}
	if s.learn != nil {
		s.learn(a)
	}
}

// keep remembers a field of an answer for paths to come.
func (w *walker) keep(param, field string) func(answer) {
	return func(a answer) {
		var fields map[string]any
		a.json(w.t, &fields)
		w.params[param], _ = fields[field].(string)
	}
}

func says(body string) func() string { return func() string { return body } }

// Every operation of the description does what it is described to do, with the example that is given of it, and
// answers what goes wrong as described. An operation without a step fails the test.
func TestEveryOperationIsAsDescribed(t *testing.T) {
	returns := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer returns.Close()
	g, _ := listening(t, map[string]string{
		"GATEHOUSE_RETURN_URLS": returns.URL + ",https://app.example.com", "GATEHOUSE_DOORFLOW_SCOPES": "account.person account.channel.readonly account.event.access.readonly",
	})
	df := newCloud(t, g)
	dd := newDoordeck(t, g)
	w := newWalker(t, g)
	routesAreDescribed(t, g, w.api)
	g.start()
	tn := &tenant{account: doorflowsim.AccountA}
	g.settle(tn, returns.URL)
	df.Emit(tn.account, df.Random(tn.account))
	df.awaitAcknowledged(t, 1)
	w.params["account"], w.params["link"], w.params["completeConnectLink link"] = tn.account, tn.open, tn.pending
	w.params["lock"], w.params["path"] = doordecksim.LockFront, "people"
	w.params["name"], w.params["revokeNATSCredential name"] = "acme", "reception"

	for _, s := range slices.Concat(w.doorflowSteps(df, tn), w.doordeckSteps(dd), []step{
		{id: "createAPIKey", learn: w.keep("revokeAPIKey id", "id")},
		{id: "listAPIKeys"},
		{id: "createSignInLink"},
		{id: "listMessages", learn: func(a answer) {
			var page struct{ Items []struct{ ID string } }
			a.json(t, &page)
			w.params["id"] = page.Items[0].ID
		}},
		{id: "getMessage"},
		{id: "replayMessage"},
		{id: "streamMessages"},
		{id: "createEndpoint", learn: func(a answer) {
			var made struct{ ID string }
			a.json(t, &made)
			for _, id := range []string{"getEndpoint", "changeEndpoint", "rotateEndpointSecret", "testEndpoint", "deleteEndpoint", "listDeliveries", "replayToEndpoint"} {
				w.params[id+" id"] = made.ID
			}
		}},
		{id: "replayToEndpoint", body: says(`{"since":"2026-01-01T00:00:00Z"}`)},
		{id: "listDeliveries", learn: func(a answer) {
			var page struct{ Items []struct{ ID string } }
			a.json(t, &page)
			w.params["getDelivery id"], w.params["retryDelivery id"] = page.Items[0].ID, page.Items[0].ID
		}},
		{id: "getDelivery"},
		{id: "retryDelivery"},
		{id: "listEndpoints"},
		{id: "getEndpoint"},
		{id: "changeEndpoint", body: says(`{"enabled":false}`)},
		{id: "replayToEndpoint", status: 409},
		{id: "retryDelivery", status: 409},
		{id: "changeEndpoint"},
		{id: "rotateEndpointSecret"},
		{id: "testEndpoint"},
		{id: "deleteEndpoint"},
		{id: "createNATSCredential"},
		{id: "createNATSCredential", status: 409},
		{id: "listNATSCredentials"},
		{id: "listAudit"},
		{id: "verifyAudit"},
		{id: "getKeys"},
		{id: "rotateKeys"},
		{id: "dropKeys"},
		{id: "revokeNATSCredential"},
		{id: "revokeAPIKey"},
	}) {
		w.take(s)
	}
	w.goWrong()
	documented := auditActions(t)
	for _, e := range w.g.audited("--limit=500") {
		if !slices.Contains(documented, e.Action) {
			t.Errorf("%s was recorded, which docs/operations.md does not list", e.Action)
		}
	}
	w.tooMuch("listMessages")
	w.report()
}

func (w *walker) doorflowSteps(df *cloud, tn *tenant) []step {
	redirects := func() {
		df.Faults().FailOnly("/api/3/people") // the account is being compared at the same time
		df.Faults().FailAPI(1, http.StatusFound, http.Header{"Location": {"https://elsewhere.example.com"}}, "")
	}
	complete := says(`{"code":"` + tn.code + `"}`)
	return []step{
		{id: "createConnectLink"},
		{id: "getConnectLink"},
		{id: "completeConnectLink", body: says(`{"code":"x"}`), status: 403},
		{id: "completeConnectLink", body: complete},
		{id: "completeConnectLink", body: complete, status: 409},
		{id: "listConnections"},
		{id: "getConnection"},
		{id: "readDoorFlow"},
		{id: "readDoorFlow", params: map[string]string{"path": "people/1"}, status: 404}, // DoorFlow's own
		{id: "readDoorFlow", before: redirects, status: 502},
		{id: "createInDoorFlow", learn: func(a answer) {
			var made struct{ ID json.Number }
			a.json(w.t, &made)
			w.params["changeInDoorFlow path"], w.params["removeFromDoorFlow path"] = "people/"+made.ID.String(), "people/"+made.ID.String()
		}},
		{id: "createInDoorFlow", before: redirects, status: 502},
		{id: "changeInDoorFlow"},
		{id: "changeInDoorFlow", before: redirects, status: 502},
		{id: "removeFromDoorFlow", body: says(""), before: redirects, status: 502},
		{id: "removeFromDoorFlow", body: says("")},
		{id: "deleteConnection"},
		{id: "readDoorFlow", status: 409},
		{id: "createInDoorFlow", status: 409},
		{id: "changeInDoorFlow", status: 409},
		{id: "removeFromDoorFlow", body: says(""), status: 409},
	}
}

func (w *walker) doordeckSteps(dd *doordeckCloud) []step {
	fails := func(route string, status int) func() {
		return func() {
			dd.Faults().Reset()
			dd.Faults().Inject(doordecksim.Fault{Route: route, N: 1, Status: status})
		}
	}
	steps := []step{
		{id: "createIdentity", learn: func(answer) { w.g.awaitIdentity("acme", "ready") }},
		{id: "createIdentity", status: 409},
		{id: "listIdentities"},
		{id: "getIdentity"},
		{id: "verifyIdentity", status: 409},
		{id: "checkIdentity", status: 409},
		{id: "registerIdentity"},
		{id: "verifyIdentity", before: fails(doordecksim.RouteVerify, 400), status: 502},
		{id: "verifyIdentity"},
		{id: "checkIdentity", body: says(`{"code":"000000"}`), status: 403},
		{id: "checkIdentity", before: fails(doordecksim.RouteCheck, 400), status: 502},
		{id: "checkIdentity", before: fails(doordecksim.RouteCheck, 503), status: 503},
		{id: "checkIdentity", body: func() string { return `{"code":"` + dd.Code(doordecksim.AdminAda) + `"}` }},
		{id: "listDoors"},
		{id: "getDoor"},
		{id: "listDoorUsers"},
		{id: "listDoorUsers", before: fails(doordecksim.RouteLockUsers, 403), status: 403},
		{id: "lookUp"},
		{id: "submitOperation"},
		{id: "submitOperation", body: says(`{"id":"visit-8841","type":"unlock","lock":"` + doordecksim.LockFront + `"}`), status: 409},
		{
			id: "submitOperation", body: says(`{"type":"unlock","lock":"` + doordecksim.LockFront + `"}`), header: map[string]string{"Prefer": "wait=20"},
			learn: w.keep("operation", "operation"),
		},
		{id: "listOperations"},
		{id: "getOperation"},
	}
	for id, route := range map[string]string{"listDoors": doordecksim.RouteShareable, "getDoor": doordecksim.RouteLock, "listDoorUsers": doordecksim.RouteLockUsers} {
		for status, want := range map[int]int{400: 502, 429: 429, 503: 503} {
			steps = append(steps, step{id: id, before: fails(route, status), status: want})
		}
	}
	steps = append(steps, step{id: "createIdentity", body: says(identityBody("unready", doordecksim.AdminBen)), before: func() {
		dd.Faults().Reset()
		dd.Faults().Inject(doordecksim.Fault{Route: doordecksim.RouteCertificate, N: -1, Status: 400})
	}}, step{id: "lookUp", params: map[string]string{"name": "unready"}, status: 409})
	return append(steps, step{id: "deleteIdentity", before: dd.Faults().Reset})
}

// routesAreDescribed compares the router of a gateway like g with the description.
func routesAreDescribed(t *testing.T, g *gateway, api *webtest.API) {
	t.Helper()
	routes, err := program.Routes(t.Context(), g.flags(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		if op, _ := api.For(method, webtest.Template(path)); op == nil && method != http.MethodHead && !ofDashboard(route) {
			t.Errorf("%s is not described", route)
		}
	}
}

// goWrong asks for every operation in each way that is refused.
func (w *walker) goWrong() {
	missing := map[string]string{
		"link": nobody.open, "account": nobody.account, "path": "people", "id": nobody.messages[0], "name": nobody.identity,
		"lock": doordecksim.LockFront, "operation": nobody.operation,
	}
	readsAudit, readsMessages := w.g.key(map[string]any{"scopes": []string{"audit:read"}}), w.g.key(map[string]any{"scopes": []string{"messages:read"}})
	for _, o := range w.api.Operations {
		if !strings.HasPrefix(o.Path, "/v1/") {
			continue
		}
		path, body, other := w.path(o, missing), example(o), readsAudit
		if o.Tags[0] == "audit" {
			other = readsMessages
		}
		want := func(status int, a answer) {
			if o.Responses.Value(strconv.Itoa(status)) != nil && a.status != status {
				w.t.Errorf("%s: %d %s, want %d", o.OperationID, a.status, a.body, status)
			}
		}
		want(http.StatusUnauthorized, w.ask(o, path, "", body, nil))
		want(http.StatusForbidden, w.ask(o, path, other, body, nil))
		if o.Responses.Value("404") != nil {
			want(http.StatusNotFound, w.ask(o, path, adminToken, body, nil))
		}
		if o.Responses.Value("413") != nil {
			want(http.StatusRequestEntityTooLarge, w.ask(o, path, adminToken, `{"x":"`+strings.Repeat("x", 1<<20)+`"}`, map[string]string{"Expect": "100-continue"}))
		}
		switch {
		case o.Responses.Value("400") == nil:
		case strings.HasSuffix(o.Path, "{path}"):
			want(http.StatusBadRequest, w.ask(o, strings.Replace(path, "people", "a//b", 1), adminToken, "", nil))
		case o.RequestBody != nil:
			want(http.StatusBadRequest, w.ask(o, path, adminToken, `{"surprise":true}`, nil))
		default:
			want(http.StatusBadRequest, w.ask(o, path+"?limit=0&after=%21&head=%21&subject=a..b", adminToken, "", nil))
		}
	}
}

// tooMuch asks until it is too much.
func (w *walker) tooMuch(id string) {
	o := w.operation(id)
	for range 300 {
		req, err := http.NewRequestWithContext(w.t.Context(), o.Method, w.g.url+o.Path+"?limit=1", nil)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		resp, err := w.client.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests {
			return
		}
	}
	w.t.Error("300 requests were not too many")
}

// report fails for what never succeeded, and tells what else was never seen.
func (w *walker) report() {
	for _, fault := range w.api.Faults() {
		w.t.Error(fault)
	}
	for _, o := range w.api.Operations {
		if !strings.HasPrefix(o.Path, "/v1/") {
			continue
		}
		seen := w.api.Seen(o)
		if len(seen) == 0 || seen[0] > 299 {
			w.t.Errorf("%s has never succeeded: give it a step", o.OperationID)
		}
		var unseen []string
		for status := range o.Responses.Map() {
			if n, err := strconv.Atoi(status); err == nil && !slices.Contains(seen, n) {
				unseen = append(unseen, status)
			}
		}
		slices.Sort(unseen)
		w.t.Logf("%s: seen %v, not seen %v", o.OperationID, seen, unseen)
	}
}
