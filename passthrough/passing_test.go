package passthrough_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/web"
)

// recorder is a DoorFlow that remembers what it was asked, and answers what a test says.
type recorder struct {
	*httptest.Server
	mu    sync.Mutex
	asked []asked
}

type asked struct {
	method, uri, body string
	header            http.Header
}

func newRecorder(t *testing.T, answer http.HandlerFunc) *recorder {
	r := &recorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.asked = append(r.asked, asked{req.Method, req.RequestURI, string(body), req.Header})
		r.mu.Unlock()
		answer(w, req)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) all() []asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

func TestARequestGoesAsItWasSent(t *testing.T) {
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") })
	g := newGateway(t, df.URL)
	req := g.request(t.Context(), "POST", account, "people;a=b/%C3%A9?email=a%40b+c&x&%20=", strings.NewReader(`{"a":1}`))
	for name, value := range map[string]string{
		"Accept": "application/json", "Accept-Language": "pt", "Content-Type": "application/json; charset=utf-8",
		"Cookie": "session=secret", "X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1", "Proxy-Authorization": "Basic x", "Te": "trailers",
		"Accept-Encoding": "gzip", "Idempotency-Key": "k", "X-Http-Method-Override": "DELETE", "If-None-Match": "x", "Range": "bytes=0-1",
		"Origin": "https://app.example", "Referer": "https://app.example/secret", "User-Agent": "visitors/1.0", "X-Request-Id": "r-1", "Traceparent": "00-x",
	} {
		req.Header.Set(name, value)
	}
	g.do(req).doorflows(t, 200, "[]")
	got := df.all()
	want := asked{"POST", "/api/3/people;a=b/%C3%A9?email=a%40b+c&x&%20=", `{"a":1}`, http.Header{
		"Accept": {"application/json"}, "Accept-Language": {"pt"}, "Content-Type": {"application/json; charset=utf-8"},
		"Accept-Encoding": {"identity"}, "Authorization": {"Bearer at_first-" + account}, "User-Agent": {"gatehouse"}, "Content-Length": {"7"},
	}}
	if diff := cmp.Diff([]asked{want}, got, cmp.AllowUnexported(asked{})); diff != "" {
		t.Errorf("want (-) got (+):\n%s", diff)
	}
}

func TestAnAnswerComesBackWithoutWhatIsNotMeantForCallers(t *testing.T) {
	var base string
	df := newRecorder(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for name, value := range map[string]string{
			"Content-Type": "application/json; charset=utf-8", "Total": "41", "Per-Page": "20", "X-Total-Results": "41", "X-Per-Page": "20", "X-Page": "1",
			"Retry-After": "7", "X-RateLimit-Remaining": "3", "RateLimit-Limit": "9",
			"Link":       "<" + base + `/api/3/people?page=2&n=1>; rel="next", </api/3/people?page=3>; rel="last"`,
			"Set-Cookie": "session=secret", "WWW-Authenticate": "Bearer", "Server": "df", "X-Runtime": "1", "Location": base + "/api/3/people/1",
			"Cache-Control": "public, max-age=600", "ETag": "x", "Strict-Transport-Security": "max-age=1", "Access-Control-Allow-Origin": "*",
			"X-Request-Id": "theirs", "RateLimit": `"theirs";r=1`, "Authorization": r.Header.Get("Authorization"), "Keep-Alive": "timeout=5",
		} {
			h.Set(name, value)
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "{}")
	})
	base = df.URL
	g := newGateway(t, df.URL)
	a := g.get("people")
	a.doorflows(t, 202, "{}")
	through := "/v1/connections/" + account + "/doorflow/api/3/people"
	want := http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "Total": {"41"}, "Per-Page": {"20"}, "X-Total-Results": {"41"}, "X-Per-Page": {"20"}, "X-Page": {"1"},
		"Retry-After": {"7"}, "X-Ratelimit-Remaining": {"3"}, "Ratelimit-Limit": {"9"}, "Content-Length": {"2"},
		"Link":          {"<" + through + `?page=2&n=1>; rel="next", <` + through + `?page=3>; rel="last"`},
		"Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}, "X-Frame-Options": {"DENY"}, "Referrer-Policy": {"no-referrer"},
		"Content-Security-Policy": {"default-src 'none'; sandbox"}, "Answered-By": {"doorflow"},
	}
	for name := range maps.Keys(a.header) {
		if name == "Date" || name == "X-Request-Id" || name == "Ratelimit" || name == "Ratelimit-Policy" {
			if value := a.header.Get(name); value == "theirs" || value == `"theirs";r=1` {
				t.Errorf("%s is DoorFlow's", name)
			}
			a.header.Del(name) // the gateway's own
		}
	}
	if diff := cmp.Diff(want, a.header); diff != "" {
		t.Errorf("want (-) got (+):\n%s", diff)
	}
}

func TestLinksThatLeadElsewhereAreDropped(t *testing.T) {
	var link string
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Link", link) })
	g := newGateway(t, df.URL)
	for _, link = range []string{
		"<https://elsewhere.example/api/3/people>; rel=next", "<" + df.URL + "/oauth/token>; rel=next", "<" + df.URL + ".evil/api/3/x>", "<//elsewhere.example/api/3/x>",
	} {
		if a := g.get("people"); a.status != 200 || a.header.Values("Link") != nil {
			t.Errorf("%s comes back as %s", link, a.header.Values("Link"))
		}
	}
}

func TestErrorsOfDoorFlowsPassAsTheyAre(t *testing.T) {
	var status int
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":"x","errors":{"value":["`+"\xff\xfe"+`"]}}`) // not even UTF-8
	})
	g := newGateway(t, df.URL)
	for _, status = range []int{400, 403, 404, 409, 422, 429, 500, 502, 503, 599} {
		g.get("people").doorflows(t, status, "{\"error\":\"x\",\"errors\":{\"value\":[\"\xff\xfe\"]}}")
		g.post("people", `{}`).doorflows(t, status, "{\"error\":\"x\",\"errors\":{\"value\":[\"\xff\xfe\"]}}")
	}
	if n := len(df.all()); n != 20 {
		t.Errorf("DoorFlow was asked %d times, want 20", n)
	}
}

func TestWhatDoorFlowDoesNotSayIsNotGuessed(t *testing.T) {
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, "<html><script>alert(1)</script>")
	})
	a := newGateway(t, df.URL).get("people")
	a.doorflows(t, 200, "<html><script>alert(1)</script>")
	if kind, ok := a.header["Content-Type"]; ok {
		t.Errorf("Content-Type %q", kind)
	}
}

func TestNothingIsKeptToBeAnsweredAgain(t *testing.T) {
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "public, max-age=600") })
	g := newGateway(t, df.URL)
	for range 3 {
		if a := g.get("people"); a.status != 200 || a.header.Get("Cache-Control") != "no-store" {
			t.Error(a)
		}
	}
	if n := len(df.all()); n != 3 {
		t.Errorf("DoorFlow was asked %d times, want 3", n)
	}
}

func TestScopesByMethodAndPath(t *testing.T) {
	df := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	g := newGateway(t, df.URL)
	for request, needed := range map[string]string{
		"GET people": "doorflow:read", "GET channels/1": "doorflow:read", "POST people": "doorflow:write", "PUT people/1": "doorflow:write",
		"DELETE people/1": "doorflow:write", "POST channels/5012/admit": "doorflow:doors", "POST %63hannels/5012/admit": "doorflow:doors",
		"POST channel/5012/unlock": "doorflow:doors",
	} {
		method, rest, _ := strings.Cut(request, " ")
		for _, scope := range []string{"doorflow:read", "doorflow:write", "doorflow:doors", "connections:write", "messages:read"} {
			g.caller.Store(&web.Caller{Name: "visitors", Scopes: []string{scope}})
			before := len(df.all())
			a := g.do(g.request(t.Context(), method, account, rest, nil))
			if scope == needed && a.status != 204 {
				t.Errorf("%s with %s: %d %s", request, scope, a.status, a.body)
			}
			if scope != needed {
				a.problem(t, 403, "forbidden")
			}
			if asked := len(df.all()) - before; (asked == 1) != (scope == needed) {
				t.Errorf("%s with %s: DoorFlow was asked %d times", request, scope, asked)
			}
		}
	}
}

func TestOtherMethodsAndPathsDoNotReachDoorFlow(t *testing.T) {
	df := newRecorder(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, df.URL)
	for _, method := range []string{"HEAD", "PATCH", "TRACE", "PROPFIND"} {
		a := g.do(g.request(t.Context(), method, account, "people", nil))
		if allow := a.header.Get("Allow"); a.status != 405 || !strings.Contains(allow, "GET") || !strings.Contains(allow, "DELETE") {
			t.Errorf("%s: %d, Allow: %s", method, a.status, allow)
		}
	}
	for _, rest := range []string{"../oauth/token", "%2e%2e/oauth/token", "a%2fb", "a%5cb", "%252e", "people//1", "people/", "", "people?access_token=x"} {
		req := g.request(t.Context(), "GET", account, "x", nil)
		req.URL.Opaque = "/v1/connections/" + account + "/doorflow/api/3/" + rest // sent as it is
		if a := g.do(req); a.status != 400 && a.status != 404 {
			t.Errorf("%q: %d %s", rest, a.status, a.body)
		}
	}
	for _, rest := range []string{"people;x/%2e%2e/y", "a%2fb", "people?access_token=x"} {
		req := g.request(t.Context(), "GET", account, "x", nil)
		req.URL.Opaque = "/v1/connections/" + account + "/doorflow/api/3/" + rest
		if p := g.do(req).problem(t, 400, "invalid"); p.Field != "path" && p.Field != "query" {
			t.Errorf("%q: %+v", rest, p)
		}
	}
	if asked := df.all(); len(asked) != 0 {
		t.Errorf("DoorFlow was asked %+v", asked)
	}
}

func TestBodiesAreJSONAndBounded(t *testing.T) {
	df := newRecorder(t, func(http.ResponseWriter, *http.Request) {})
	g := newGateway(t, df.URL)
	for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "", "nonsense;;"} {
		req := g.request(t.Context(), "POST", account, "people", strings.NewReader("_method=delete"))
		req.Header.Set("Content-Type", kind)
		if p := g.do(req).problem(t, 400, "invalid"); p.Field != "Content-Type" {
			t.Errorf("%s: %+v", kind, p)
		}
	}
	g.post("people", strings.Repeat("x", 1<<20+1)).problem(t, 413, "too-large")
	unknown := g.request(t.Context(), "POST", account, "people", io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), strings.NewReader("y")))
	if a := g.do(unknown); a.err == nil { // the server may close the connection before all was sent
		a.problem(t, 413, "too-large")
	}
	if asked, entries := df.all(), g.audited(); len(asked) != 0 || len(entries) != 0 {
		t.Errorf("DoorFlow was asked %+v; the audit log says %s", asked, entries)
	}
	large := strings.Repeat("x", 1<<20)
	if a := g.post("people", large); a.status != 200 || len(df.all()) != 1 || df.all()[0].body != large {
		t.Errorf("a body of 1 MiB: %d %s", a.status, a.body)
	}
}
