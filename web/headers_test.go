package web_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestTooManyHeaders(t *testing.T) {
	h := newFixture(t, nil).Public(true)
	for n, want := range map[int]int{99: 200, 100: 431, 5000: 431} { // and Authorization
		r := authorized("GET", "/v1/messages", nil)
		for i := range n {
			r.Header.Add(fmt.Sprintf("X-%d", i%50), "x")
		}
		if w := do(h, r); w.Code != want || (want == 431) != (w.Header().Get("Connection") == "close") {
			t.Errorf("%d headers: %d, want %d", n+1, w.Code, want)
		}
	}
}

// hasty gives the connection the time to notice its read deadline before the request goes on.
type hasty struct {
	http.ResponseWriter
	r *http.Request
}

func (w hasty) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w hasty) SetReadDeadline(at time.Time) error {
	err := http.NewResponseController(w.ResponseWriter).SetReadDeadline(at)
	select {
	case <-w.r.Context().Done():
	case <-time.After(100 * time.Millisecond):
	}
	return err
}

// Whoever sends too many headers is told so at once, with a body that does not come and without one: that nobody waits for
// the body is not taken for the client's going away.
func TestTooManyHeadersAreAnswered(t *testing.T) {
	h := newFixture(t, nil).Public(true)
	addr, stop := listening(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(hasty{w, r}, r) }), nil)
	for name, headers := range map[string]string{"without a body": "", "with a body": "Content-Length: 100\r\n"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, "GET /v1/messages HTTP/1.1\r\nHost: x\r\n"+headers+strings.Repeat("X: x\r\n", 101)+"\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge || !resp.Close:
			t.Errorf("%s: %d, close %v", name, resp.StatusCode, resp.Close)
		}
		_ = conn.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
