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
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			var heard []byte
			resp, err := askWithin(req, 300*time.Millisecond)
			if err == nil {
				heard, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "it has said nothing for") || string(heard) != said {
				t.Errorf("%q, %v", heard, err)
			}
		})
	}
	if n := preferred(http.Header{"Prefer": {"wait=30"}}); n != 30*time.Second {
		t.Errorf("an answer that was asked to come late is given %s more", n)
	}
}
