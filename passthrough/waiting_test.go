package passthrough_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// holding is a DoorFlow that answers when it is let.
func holding(t *testing.T) (df *recorder, let func()) {
	gate := make(chan struct{})
	df = newRecorder(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
			w.WriteHeader(http.StatusCreated)
		case <-r.Context().Done():
		}
	})
	closed := false
	let = func() {
		if !closed {
			closed = true
			close(gate)
		}
	}
	t.Cleanup(let)
	return df, let
}

func TestFewAtOnceForOneAccount(t *testing.T) {
	df, let := holding(t)
	g := newGateway(t, df.URL)
	answers := make(chan answer, 8)
	for range 8 {
		go func() { answers <- g.get("people") }()
	}
	await(t, "eight are under way", func() bool { return len(df.all()) == 8 })
	a := g.get("people")
	a.problem(t, 429, "busy")
	if a.header.Get("Retry-After") != "1" || len(df.all()) != 8 {
		t.Errorf("Retry-After %q, DoorFlow was asked %d times", a.header.Get("Retry-After"), len(df.all()))
	}
	elsewhere := make(chan answer, 1)
	go func() { elsewhere <- g.do(g.request(t.Context(), "GET", other, "people", nil)) }()
	await(t, "the other account's is under way", func() bool { return len(df.all()) == 9 })
	let()
	for range 8 {
		(<-answers).doorflows(t, 201, "")
	}
	(<-elsewhere).doorflows(t, 201, "")
	g.get("people").doorflows(t, 201, "")
}

func TestAClientThatLeaves(t *testing.T) {
	df, let := holding(t)
	g := newGateway(t, df.URL)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 2)
	for _, method := range []string{"POST", "GET"} {
		go func() { gone <- g.do(g.request(ctx, method, account, "people", nil)).err }()
	}
	await(t, "both are under way", func() bool { return len(df.all()) == 2 })
	leave()
	for range 2 {
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	await(t, "the read is given up", func() bool { return strings.Contains(g.log.String(), `"status":499`) })
	let()
	want := "doorflow.write POST /api/3/people done Created"
	await(t, "the write is carried through", func() bool { return slices.Contains(g.audited(), want) })
}

// A server that stops answers those who wait for DoorFlow before it breaks them off.
func TestAServerThatStops(t *testing.T) {
	df, _ := holding(t)
	g := newGateway(t, df.URL)
	answers := map[string]chan answer{"GET": make(chan answer, 1), "POST": make(chan answer, 1)}
	for method, ch := range answers {
		go func() { ch <- g.do(g.request(context.Background(), method, account, "people", nil)) }()
	}
	await(t, "both are under way", func() bool { return len(df.all()) == 2 })
	started := time.Now()
	g.stop()
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	(<-answers["GET"]).problem(t, 503, "shutting-down")
	(<-answers["POST"]).problem(t, 504, "outcome-unknown")
	if got := g.audited(); len(got) != 2 || !strings.HasSuffix(got[1], " unknown") {
		t.Errorf("%q", got)
	}
}
