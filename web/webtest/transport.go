package webtest

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Transport makes requests and holds those below /v1, and their answers, against the API. An answer that is not as it
// is described becomes an error.
type Transport struct {
	API  *API
	Next http.RoundTripper
}

// RoundTrip makes a request.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	op, params := t.API.For(r.Method, r.URL.EscapedPath())
	if op == nil || !strings.HasPrefix(op.Path, "/v1/") {
		return t.Next.RoundTrip(r)
	}
	x := exchange{op: op, params: params, request: r}
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		if x.asked, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	answer, err := t.Next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	x.answer = answer
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind == eventStream || kind == jsonLines {
		return answer, t.stream(x, kind)
	}
	var broken error
	x.body, broken = io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if broken != nil { // the gateway was killed: the client shall see just that
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(x.body), failing{broken}))
		return answer, nil
	}
	answer.Body = io.NopCloser(bytes.NewReader(x.body))
	if elsewhere(x) {
		return answer, nil
	}
	fault := t.API.fault(x)
	if t.API.note(op, answer.StatusCode, fault); fault != nil {
		return nil, fault
	}
	return answer, nil
}

// stream looks at the lines of a stream as its client reads them.
func (t *Transport) stream(x exchange, kind string) error {
	fault := t.API.fault(x)
	t.API.note(x.op, x.answer.StatusCode, fault)
	x.answer.Body = &lines{ReadCloser: x.answer.Body, check: func(line []byte) error {
		err := t.API.checkLine(x, kind, line)
		if err != nil {
			err = fmt.Errorf("%s says what is not as it is described: %w\n%s", x.op, err, clip(line))
			t.API.note(x.op, x.answer.StatusCode, err)
		}
		return err
	}}
	return fault
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// lines hands each whole line to check.
type lines struct {
	io.ReadCloser
	check func([]byte) error
	begun []byte
}

func (l *lines) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	l.begun = append(l.begun, p[:n]...)
	for {
		line, rest, whole := bytes.Cut(l.begun, []byte("\n"))
		if !whole {
			return n, err
		}
		if fault := l.check(line); fault != nil {
			return n, fault
		}
		l.begun = rest
	}
}
