package doorflow_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow"
)

var query = doorflow.EventQuery{
	Since: time.Date(2026, 1, 1, 1, 0, 0, 999e6, time.FixedZone("", 3600)), Codes: []int{10, 31}, Size: 1000, Page: 3,
}

// list asks a server for a page.
func list(t *testing.T, handler http.HandlerFunc) (doorflow.EventPage, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	base, err := url.Parse(server.URL + "/below")
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return doorflow.API{Base: base}.Events(context.Background(), client, query)
}

func TestEventsAsksForAPage(t *testing.T) {
	page, err := list(t, func(w http.ResponseWriter, r *http.Request) {
		want := url.Values{"since": {"2026-01-01T00:00:00Z"}, "sort": {"ASC"}, "n": {"1000"}, "page": {"3"}, "event_codes": {"10,31"}}
		if r.URL.Path != "/below/api/3/events" || r.URL.Query().Encode() != want.Encode() || r.Header.Get("Accept") != "application/json" {
			t.Errorf("asked for %s", r.URL)
		}
		w.Header().Set("Total", "2001")
		fmt.Fprint(w, ` [{"id":1}, 7]`)
	})
	if err != nil || page.Total != 2001 || len(page.Items) != 2 || string(page.Items[0]) != `{"id":1}` {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestEventsReadsEitherHeader(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        int
	}{
		{"Total", "17", 17},
		{"X-Total-Results", " 17", 17},
		{"Total", "0", 0},
		{"X-Other", "17", -1},
		{"Total", "-1", -1},
		{"Total", "many", -1},
		{"Total", "99999999999999999999", -1},
	} {
		page, err := list(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(tt.name, tt.value)
			fmt.Fprint(w, `[]`)
		})
		if err != nil || page.Total != tt.want || page.Items == nil {
			t.Errorf("%s: %s gives %+v, %v, want %d", tt.name, tt.value, page, err, tt.want)
		}
	}
}

func TestEventsRefusesOtherAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   error
	}{
		{"object", 200, `{"events":[]}`, doorflow.ErrNotList},
		{"null", 200, `null`, doorflow.ErrNotList},
		{"half", 200, `[{"id":1}`, doorflow.ErrNotList},
		{"nothing", 200, ``, doorflow.ErrNotList},
		{"two", 200, `[][]`, doorflow.ErrNotList},
		{"too large", 200, `["` + strings.Repeat("x", 8<<20) + `"]`, doorflow.ErrListTooLarge},
	} {
		if _, err := list(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	_, err := list(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	if refused, ok := errors.AsType[*doorflow.Error](err); !ok || refused.Status != 429 || refused.RetryAfter != 7*time.Second {
		t.Errorf("%v", err)
	}
}
