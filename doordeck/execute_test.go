package doordeck_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse/doordeck"
)

func TestExecute(t *testing.T) {
	for status, want := range map[int]doordeck.Outcome{
		200: doordeck.Applied, 201: doordeck.Applied, 202: doordeck.Queued, 204: doordeck.Applied,
	} {
		signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		body := `{}`
		if status == 204 {
			body = ``
		}
		client, got := answering(t, status, body)
		outcome, err := client.Execute(t.Context(), bearer(), lock, signed.JWT)
		if err != nil || outcome != want {
			t.Errorf("%d means %q, %v", status, outcome, err)
		}
		expect(t, *got, "POST", "/device/"+string(lock)+"/execute", v1, "application/jwt", signed.JWT.Reveal())
	}
}

func TestExecuteFailures(t *testing.T) {
	signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]doordeck.Class{
		400: doordeck.Invalid, 401: doordeck.Unauthorized, 403: doordeck.Forbidden, 404: doordeck.NotFound,
		409: doordeck.Conflict, 415: doordeck.Invalid, 422: doordeck.Invalid, 429: doordeck.TooMany,
		500: doordeck.Transient, 502: doordeck.Transient, 503: doordeck.Offline, 504: doordeck.NoAnswer, 302: doordeck.Invalid,
	} {
		client, got := answering(t, status, ``)
		outcome, err := client.Execute(t.Context(), bearer(), lock, signed.JWT)
		if !isClass(err, want) || outcome != "" || len(*got) != 1 {
			t.Errorf("%d gives %q, %v after %d requests", status, outcome, err, len(*got))
		}
	}
	client, got := answering(t, 200, ``)
	if _, err := client.Execute(t.Context(), bearer(), lock, doordeck.JWT{}); err == nil || len(*got) != 0 {
		t.Errorf("executed nothing: %v", err)
	}
}

// What has no connection in time is not sent later, and it is known that it was not: also where one had to be
// waited for because all were in use.
func TestExecuteWithin(t *testing.T) {
	signed, err := signer(t).Sign(lock, doordeck.Unlock{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	never := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}}
	defer never.CloseIdleConnections()
	client, err := doordeck.NewClient(doordeck.Config{URL: "http://doordeck.test", Transport: never})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = client.ExecuteWithin(t.Context(), bearer(), lock, signed.JWT, 20*time.Millisecond)
	e, ok := errors.AsType[*doordeck.Error](err)
	if !ok || !e.Unsent || e.Class != doordeck.Transient || time.Since(begin) > 5*time.Second {
		t.Errorf("%v, unsent %v, after %v", err, ok && e.Unsent, time.Since(begin))
	}
	arrived, answer := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-answer
	}))
	defer server.Close()
	one := &http.Transport{MaxConnsPerHost: 1}
	defer one.CloseIdleConnections()
	busy, err := doordeck.NewClient(doordeck.Config{URL: server.URL, Transport: one})
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() {
		_, err := busy.ExecuteWithin(t.Context(), bearer(), lock, signed.JWT, 5*time.Second)
		first <- err
	}()
	<-arrived
	_, err = busy.ExecuteWithin(t.Context(), bearer(), lock, signed.JWT, 20*time.Millisecond)
	if e, ok := errors.AsType[*doordeck.Error](err); !ok || !e.Unsent {
		t.Errorf("with every connection in use: %v", err)
	}
	close(answer)
	if err := <-first; err != nil {
		t.Errorf("with a connection: %v", err)
	}
	if len(arrived) != 0 {
		t.Error("what was given up was sent")
	}
}
