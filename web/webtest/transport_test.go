package webtest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/web/webtest"
)

const link = `"id":"x","url":"https://g.example.com/oauth/start/x","status":"open","created_at":"2026-01-01T00:00:00Z","expires_at":"2026-01-02T00:00:00Z"`

// What differs from the description is found, and what does not is let pass.
func TestDifferencesAreFound(t *testing.T) {
	for name, row := range map[string]struct {
		method, path, asked string
		status              int
		kind, answer        string
		want                string // "" for no fault
	}{
		"as described":             {"GET", "/v1/connect-links/x", "", 200, "application/json", `{` + link + `}`, ""},
		"an unknown property":      {"GET", "/v1/connect-links/x", "", 200, "application/json", `{` + link + `,"secret":1}`, "secret"},
		"a property that is left":  {"GET", "/v1/connect-links/x", "", 200, "application/json", `{"id":"x"}`, "missing properties"},
		"not the format":           {"GET", "/v1/connect-links/x", "", 200, "application/json", strings.Replace(`{`+link+`}`, "2026-01-01T", "yesterday", 1), "date-time"},
		"another content type":     {"GET", "/v1/connect-links/x", "", 200, "text/html", `{` + link + `}`, "content type"},
		"another status":           {"GET", "/v1/connect-links/x", "", 418, "application/problem+json", `{"type":"/problems/tea","title":"Tea","status":418}`, "/problems/tea"},
		"a problem":                {"GET", "/v1/connect-links/x", "", 404, "application/problem+json", `{"type":"/problems/not-found","title":"Not Found","status":404}`, ""},
		"an unknown problem":       {"GET", "/v1/connect-links/x", "", 404, "application/problem+json", `{"type":"/problems/lost","title":"Not Found","status":404}`, "/problems/lost"},
		"a problem of another":     {"GET", "/v1/connect-links/x", "", 404, "application/problem+json", `{"type":"/problems/not-found","title":"Not Found","status":410}`, "410"},
		"a request as described":   {"POST", "/v1/connect-links", `{"reference":"r"}`, 201, "application/json", `{` + link + `}`, ""},
		"an undescribed request":   {"POST", "/v1/connect-links", `{"referenz":"r"}`, 201, "application/json", `{` + link + `}`, "referenz"},
		"an undescribed parameter": {"GET", "/v1/messages?limit=9999", "", 200, "application/json", `{"items":[]}`, "limit"},
		"what is refused may be":   {"POST", "/v1/connect-links", `{"referenz":"r"}`, 400, "application/problem+json", `{"type":"/problems/invalid","title":"Bad Request","status":400}`, ""},
		"not DoorFlow's own":       {"GET", "/v1/connections/a/doorflow/api/3/people/1", "", 418, "text/tea", `x`, "text/tea"},
		"a stream":                 {"GET", "/v1/messages/stream", "", 200, "text/event-stream", ": heartbeat\nid: a\n\n", ""},
		"a stream of other things": {"GET", "/v1/messages/stream", "", 200, "text/event-stream", "id: a\ndata: {\"surprise\":1}\n\n", "surprise"},
		"lines":                    {"GET", "/v1/audit/verify", "", 200, "application/x-ndjson", "{\"done\":1,\"of\":2}\n", ""},
		"lines of other things":    {"GET", "/v1/audit/verify", "", 200, "application/x-ndjson", "{\"done\":1,\"off\":2}\n", "off"},
	} {
		t.Run(name, func(t *testing.T) {
			api, err := webtest.OpenAPI("../openapi.yaml")
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", row.kind)
				w.WriteHeader(row.status)
				_, _ = io.WriteString(w, row.answer)
			}))
			defer server.Close()
			client := &http.Client{Transport: &webtest.Transport{API: api, Next: server.Client().Transport}}
			req, err := http.NewRequestWithContext(t.Context(), row.method, server.URL+row.path, strings.NewReader(row.asked))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			faults := strings.Join(api.Faults(), "\n")
			if row.want == "" && (err != nil || faults != "") {
				t.Errorf("%v %s", err, faults)
			}
			if row.want != "" && (err == nil || !strings.Contains(faults, row.want)) {
				t.Errorf("%v, and what is found is %q", err, faults)
			}
			if op, _ := api.For(row.method, strings.Split(row.path, "?")[0]); row.want == "" && len(api.Seen(op)) != 1 {
				t.Errorf("it is not noted that %s was seen", op)
			}
		})
	}
}
