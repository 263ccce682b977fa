package doorflow_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow"
)

// fetch asks a server for a target, with a client that does not follow redirects.
func fetch(t *testing.T, ctx context.Context, handler http.HandlerFunc, target doorflow.Target) (string, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	base, err := url.Parse(server.URL + "/below")
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	body, err := doorflow.API{Base: base}.Fetch(ctx, client, target)
	return string(body), err
}

var target = doorflow.Target{Path: "/api/3/events/1", AckToken: "Qk7+&= rT2", Callback: "cb/1"}

func TestFetchAcknowledges(t *testing.T) {
	for _, tt := range []struct {
		name     string
		callback string
		want     url.Values
	}{
		{"with callback", "cb/1", url.Values{"ack_token": {target.AckToken}, "callback": {"cb/1"}}},
		{"without", "", url.Values{"ack_token": {target.AckToken}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got *http.Request
			asked := target
			asked.Callback = tt.callback
			body, err := fetch(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
				got = r
				_, _ = w.Write([]byte(` {"id":1}`))
			}, asked)
			if err != nil || body != ` {"id":1}` {
				t.Fatalf("%q, %v", body, err)
			}
			if got.Method != http.MethodGet || got.URL.Path != "/below/api/3/events/1" || got.URL.Query().Encode() != tt.want.Encode() {
				t.Fatalf("asked for %s %s", got.Method, got.URL)
			}
			if got.Header.Get("Accept") != "application/json" || got.UserAgent() != doorflow.UserAgent {
				t.Fatalf("headers %v", got.Header)
			}
		})
	}
}

func TestFetchTakesOnlyObjects(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		err        error
	}{
		{"object", `{"id":1}`, nil},
		{"object after much white space", strings.Repeat(" \n", 100) + `{}`, nil},
		{"as large as allowed", `{"x":"` + strings.Repeat("x", 1<<20-8) + `"}`, nil},
		{"a byte too large", `{"x":"` + strings.Repeat("x", 1<<20-7) + `"}`, doorflow.ErrNotJSON},
		{"large without end", `{"x":"` + strings.Repeat("x", 2<<20), doorflow.ErrNotJSON},
		{"empty", "", doorflow.ErrNotJSON},
		{"white space", strings.Repeat(" ", 100), doorflow.ErrNotJSON},
		{"array", "[]", doorflow.ErrNotJSON},
		{"array after white space", strings.Repeat(" ", 100) + "[]", doorflow.ErrNotJSON},
		{"null", "null", doorflow.ErrNotJSON},
		{"number after white space", strings.Repeat(" ", 64) + "1", doorflow.ErrNotJSON},
		{"HTML", "<!doctype html>", doorflow.ErrNotJSON},
		{"cut short", `{"id":`, doorflow.ErrNotJSON},
		{"two objects", `{}{}`, doorflow.ErrNotJSON},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, err := fetch(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(tt.body)) }, target)
			if !errors.Is(err, tt.err) || (err == nil && body != tt.body) {
				t.Fatalf("%d bytes, %v; want %v", len(body), err, tt.err)
			}
		})
	}
}

func TestFetchError(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		name         string
		status       int
		after, body  string
		code         string
		least, most  time.Duration
		errorMessage string
	}{
		{"not found", 404, "", `{"error":"not_found","error_description":"secret words"}`, "not_found", 0, 0, "DoorFlow answered 404 (not_found)"},
		{"HTML", 502, "", "<html>", "", 0, 0, "DoorFlow answered 502"},
		{"redirect", 302, "", "", "", 0, 0, "DoorFlow answered 302"},
		{"retry_in", 429, "", `{"error":"rate_limited","retry_in":30}`, "rate_limited", 30 * time.Second, 30 * time.Second, ""},
		{"Retry-After goes before", 429, "5", `{"retry_in":30}`, "", 5 * time.Second, 5 * time.Second, ""},
		{"a fraction", 503, "1.5", "", "", 1500 * time.Millisecond, 1500 * time.Millisecond, ""},
		{"a date", 503, time.Now().Add(time.Minute).UTC().Format(http.TimeFormat), "", "", 50 * time.Second, time.Minute, ""},
		{"a date gone by", 503, "Thu, 01 Jan 2026 00:00:00 GMT", "", "", 0, 0, ""},
		{"a date of another age", 503, "Fri, 31 Dec 9999 23:59:59 GMT", "", "", day, day, ""},
		{"huge", 503, "1e300", "", "", day, day, ""},
		{"beyond numbers", 503, "1e400", "", "", 0, 0, ""},
		{"infinite", 503, "Inf", "", "", day, day, ""},
		{"no number", 503, "NaN", "", "", 0, 0, ""},
		{"negative", 503, "-5", "", "", 0, 0, ""},
		{"huge retry_in", 429, "", `{"retry_in":1e300}`, "", day, day, ""},
		{"negative retry_in", 429, "", `{"retry_in":-1}`, "", 0, 0, ""},
		{"retry_in of another type", 429, "", `{"error":"rate_limited","retry_in":"soon"}`, "rate_limited", 0, 0, ""},
		{"words", 503, "soon", `{"retry_in":3}`, "", 3 * time.Second, 3 * time.Second, ""},
		{"an error that is no code", 400, "", `{"error":"it was Ana Pereira's card 604219"}`, "", 0, 0, "DoorFlow answered 400"},
		{"an error that is an object", 422, "", `{"error":{"value":["604219"]}}`, "", 0, 0, "DoorFlow answered 422"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fetch(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
				if tt.after != "" {
					w.Header().Set("Retry-After", tt.after)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}, target)
			got, ok := errors.AsType[*doorflow.Error](err)
			if !ok || got.Status != tt.status || got.Code != tt.code || got.RetryAfter < tt.least || got.RetryAfter > tt.most {
				t.Fatalf("%#v (%v), want status %d, code %q, to wait %v to %v", got, err, tt.status, tt.code, tt.least, tt.most)
			}
			if tt.errorMessage != "" && err.Error() != tt.errorMessage {
				t.Fatalf("message %q, want %q", err, tt.errorMessage)
			}
		})
	}
}

// An ack token must not reach a log by way of an error.
func TestFetchErrorsHoldNoURL(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	secret := doorflow.Target{Path: "/api/3/events/1", AckToken: "Qk7rT2xLp"}
	for _, tt := range []struct {
		name    string
		ctx     context.Context
		handler http.HandlerFunc
	}{
		{"hung up", context.Background(), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"hung up in the body", context.Background(), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
			panic(http.ErrAbortHandler)
		}},
		{"cancelled", cancelled, func(http.ResponseWriter, *http.Request) {}},
		{"a redirect that cannot be read", context.Background(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://%zz"+r.URL.String())
			w.WriteHeader(http.StatusFound)
		}},
		{"refused", context.Background(), func(w http.ResponseWriter, r *http.Request) { http.Error(w, r.URL.String(), http.StatusForbidden) }},
		{"not JSON", context.Background(), func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.String())) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fetch(t, tt.ctx, tt.handler, secret)
			if err == nil {
				t.Fatal("no error")
			}
			if s := err.Error(); strings.Contains(s, secret.AckToken) || strings.Contains(s, "http://") || strings.Contains(s, secret.Path) {
				t.Fatalf("the error is %q", s)
			}
		})
	}
}

func TestFetchTellsWhatTheTransportSaid(t *testing.T) {
	needsPerson := errors.New("needs a person")
	client := &http.Client{Transport: failing{needsPerson}}
	if _, err := (doorflow.API{Base: api}).Fetch(t.Context(), client, target); !errors.Is(err, needsPerson) {
		t.Fatalf("the transport's own error is lost: %v", err)
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
