package main_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sameTime takes two ways of writing a time for one.
var sameTime = cmp.Comparer(func(a, b string) bool {
	x, errX := time.Parse(time.RFC3339, a)
	y, errY := time.Parse(time.RFC3339, b)
	return a == b || errX == nil && errY == nil && x.Equal(y)
})

// What --json prints is what the API answers: of a list its items, else the answer itself. The examples of the
// API's description stand for a gateway.
func TestJSONIsTheAPIsOwn(t *testing.T) {
	var answered atomic.Pointer[any]
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op, _ := described.For(r.Method, r.URL.Path)
		if op == nil {
			t.Errorf("%s %s is not described", r.Method, r.URL.Path)
			return
		}
		for status := 200; status < 300; status++ {
			response := op.Responses.Status(status)
			if response == nil {
				continue
			}
			example := response.Value.Content.Get("application/json").Example
			answered.Store(&example)
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(example)
			return
		}
	}))
	defer gateway.Close()
	const uuid = "019b78e3-6c00-7d4a-9a51-0c3c1b1f9a10"
	for _, args := range []string{
		"connect", "connections list", "connections show hX9aQ2", "connections disconnect hX9aQ2",
		"messages list --limit 1", "messages replay " + uuid,
		"endpoints create https://bms.example.com/ --subject >", "endpoints list", "endpoints show " + uuid, "endpoints enable " + uuid,
		"endpoints test " + uuid, "endpoints rotate-secret " + uuid, "endpoints deliveries " + uuid, "endpoints delivery " + uuid,
		"endpoints retry " + uuid, "endpoints replay " + uuid + " --since 1h",
		"identities list", "identities show acme", "identities register acme", "identities verify acme", "identities check acme 123456",
		"doors acme", "doors acme " + uuid, "doors acme " + uuid + " --users",
		"operations list", "operations show " + uuid,
		"api-keys create x --scope messages:read", "api-keys list", "nats creds list", "audit list", "dashboard link",
	} {
		t.Run(args, func(t *testing.T) {
			code, stdout, stderr := command(t, map[string]string{"GATEHOUSE_URL": gateway.URL, "GATEHOUSE_TOKEN": "x"}, append(strings.Fields(args), "--json")...)
			var got any
			if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil {
				t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
			}
			want := *answered.Load()
			if page, is := want.(map[string]any); is && page["items"] != nil {
				want = page["items"]
			}
			if diff := cmp.Diff(want, got, sameTime); diff != "" || want == nil {
				t.Error(diff)
			}
		})
	}
}
