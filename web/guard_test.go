package web_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/vault"
	"gatehouse/web"
)

// guarded has three keys, counts look-ups, and can end a key.
func guarded(t *testing.T) (f fixture, h http.Handler, looked *atomic.Int64, ended *atomic.Bool) {
	t.Helper()
	looked, ended = &atomic.Int64{}, &atomic.Bool{}
	f = newFixture(t, func(c *web.Config) {
		c.Authenticate = func(_ context.Context, sent vault.Secret) (web.Caller, bool, error) {
			looked.Add(1)
			key := sent.Reveal()
			ok := key == "good" && !ended.Load() || key == "other"
			return web.Caller{ID: key, Name: key, Scopes: []string{"admin"}}, ok, nil
		}
	})
	return f, f.Public(true), looked, ended
}

func TestGuessingIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, h, looked, ended := guarded(t)
		const at, elsewhere = "198.51.100.7:1", "198.51.100.8:1"
		ask := func(address, key string) int { return from(h, address, "GET", "/v1/messages", key).Code }
		if ask(at, "good") != 200 {
			t.Fatal("the good key does not work")
		}
		for i := range 20 {
			if got := ask(at, "wrong"); got != 401 {
				t.Fatalf("wrong key %d: %d", i, got)
			}
		}
		before := looked.Load()
		w := from(h, at, "GET", "/v1/messages", "wrong")
		if w.Code != 429 || w.Header().Get("Retry-After") != "60" || problem(t, w).Type != "/problems/too-many-attempts" {
			t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
		// A right guess looks like a wrong one.
		if got := from(h, at, "GET", "/v1/messages", "other"); got.Code != 429 || got.Header().Get("Retry-After") != "60" {
			t.Errorf("a right guess: %d", got.Code)
		}
		if looked.Load() != before {
			t.Error("a key was looked up")
		}
		for name, row := range map[string]struct {
			address, key string
			want         int
		}{
			"known here":      {at, "good", 200},
			"known nowhere":   {elsewhere, "other", 200},
			"wrong elsewhere": {elsewhere, "wrong", 401},
			"no key":          {at, "", 401},
		} {
			if got := ask(row.address, row.key); got != row.want {
				t.Errorf("%s: %d, want %d", name, got, row.want)
			}
		}
		if n := strings.Count(f.log.String(), "too many wrong API keys"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		contains(t, metricsOf(f), "gatehouse_http_guessing_total 1", `gatehouse_http_limited_total{limit="guessing"} 2`)
		ended.Store(true)
		if got := ask(at, "good"); got != 401 {
			t.Errorf("a known key that has ended: %d", got)
		}
		time.Sleep(time.Minute)
		if got := ask(at, "other"); got != 200 {
			t.Errorf("a minute later: %d", got)
		}
		for range 20 {
			ask(at, "wrong")
		}
		if n := strings.Count(f.log.String(), "too many wrong API keys"); n != 2 || ask(at, "wrong") != 429 {
			t.Errorf("the second time: %d lines in the log", n)
		}
	})
}

// Some wrong keys now and then are a mistake, not an attack.
func TestSlowMistakesAreNotGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h, _, _ := guarded(t)
		for i := range 200 {
			if got := from(h, "198.51.100.7:1", "GET", "/v1/messages", "wrong").Code; got != 401 {
				t.Fatalf("after %d: %d", i, got)
			}
			time.Sleep(4 * time.Second)
		}
	})
}

func TestAKeyIsKnownForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h, _, _ := guarded(t)
		const at = "198.51.100.7:1"
		for _, row := range []struct {
			idle time.Duration
			want int
		}{{59 * time.Minute, 200}, {2*time.Hour + time.Minute, 429}} {
			time.Sleep(2 * time.Minute)
			if got := from(h, at, "GET", "/v1/messages", "good").Code; got != 200 {
				t.Fatalf("%d", got)
			}
			time.Sleep(row.idle)
			for range 20 {
				from(h, at, "GET", "/v1/messages", "wrong")
			}
			if got := from(h, at, "GET", "/v1/messages", "good").Code; got != row.want {
				t.Errorf("idle for %s: %d, want %d", row.idle, got, row.want)
			}
		}
	})
}

func TestAGuessIsNeitherLoggedNorShown(t *testing.T) {
	f, h, _, _ := guarded(t)
	var answers strings.Builder
	for range 25 {
		w := from(h, "198.51.100.7:1", "GET", "/v1/messages", planted)
		_ = w.Result().Header.Write(&answers)
		answers.WriteString(w.Body.String())
	}
	if text := f.log.String() + answers.String() + metricsOf(f); strings.Contains(text, planted) {
		t.Error("the key that was tried is shown")
	}
}
