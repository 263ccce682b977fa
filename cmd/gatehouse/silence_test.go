package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A gateway that takes a request and says nothing, or not all of it, keeps nobody waiting for ever.
func TestSilenceEnds(t *testing.T) {
	for name, said := range map[string]string{"nothing": "", "a part": `{"items":[`} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if said != "" {
					_, _ = io.WriteString(w, said)
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			}))
			defer s.Close()
			for within := 300 * time.Millisecond; ; within *= 3 {
				heard, err := hear(t, s.URL, within)
				if err == nil || !strings.Contains(err.Error(), "it has said nothing for") {
					t.Errorf("%q, %v", heard, err)
				}
				if heard == said {
					return
				}
				if within > 10*time.Second { // before, it may have been this machine that was silent
					t.Fatalf("%q", heard)
				}
			}
		})
	}
	if n := preferred(http.Header{"Prefer": {"wait=30"}}); n != 30*time.Second {
		t.Errorf("an answer that was asked to come late is given %s more", n)
	}
}

// hear reads all that a server says, as a command does.
func hear(t *testing.T, url string, within time.Duration) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := askWithin(req, within)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	heard, err := io.ReadAll(resp.Body)
	return string(heard), err
}
