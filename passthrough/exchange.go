package passthrough

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"gatehouse/internal/audit"
	"gatehouse/tokens"
)

// exchange is one request on its way to DoorFlow, and how it ended.
type exchange struct {
	target Target
	method string
	header http.Header
	body   []byte

	// stage is how far the last attempt to send it came.
	stage atomic.Int32
}

const (
	connecting = 1 + iota // before that it waits for the account's token
	left                  // a byte may have been written
)

func (e *exchange) reads() bool { return e.method == http.MethodGet }

// receive reads the caller's body, whole: one that breaks off never leaves, and one that DoorFlow wants with
// another token can be sent again.
func (e *exchange) receive(r *http.Request) (err error) {
	if e.body, err = io.ReadAll(r.Body); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return err
		}
		return errors.Join(err, ErrIncomplete) // the server may have had a reason of its own
	}
	if len(e.body) == 0 {
		return nil
	}
	kind, err := checkContentType(r.Header)
	e.header["Content-Type"] = []string{kind}
	return err
}

// send returns DoorFlow's answer where it can be passed on, and otherwise an error of this package, of
// tokens, or that of the context. The status is DoorFlow's, 0 where there was none; the outcome is what the
// audit log is to say.
func (e *exchange) send(ctx context.Context, client *http.Client, base *url.URL) (*http.Response, int, audit.Outcome, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { e.stage.Store(connecting) },
		GotConn: func(httptrace.GotConnInfo) { e.stage.Store(left) },
	})
	req := (&http.Request{Method: e.method, URL: e.target.at(base), Header: e.header}).WithContext(ctx)
	if len(e.body) > 0 {
		req.ContentLength = int64(len(e.body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(e.body)), nil }
		req.Body, _ = req.GetBody()
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, e.outcome(err), e.failure(err)
	}
	if err := refusal(resp); err != nil {
		_ = resp.Body.Close()
		return nil, resp.StatusCode, outcomeOf(resp.StatusCode), err
	}
	return resp, resp.StatusCode, outcomeOf(resp.StatusCode), nil
}

// refusal is why an answer is not passed on, nil when it is.
func refusal(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return ErrTokenRefused
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return ErrRedirect
	case resp.StatusCode < 200 || resp.StatusCode > 599:
		return ErrBroken
	case resp.ContentLength > maxAnswer:
		return ErrTooLarge
	}
	return nil
}

// outcomeOf is what a status says of a write. One that failed within DoorFlow may have been done in part.
func outcomeOf(status int) audit.Outcome {
	switch {
	case status >= 200 && status < 300:
		return audit.Done
	case status >= 400 && status < 500:
		return audit.Refused
	}
	return audit.Unknown
}

// outcome is what a failure says of a write: what did not leave was not done.
func (e *exchange) outcome(err error) audit.Outcome {
	if e.stage.Load() == left && ofToken(err) == nil {
		return audit.Unknown
	}
	return audit.Failed
}

// failure is what the caller is told.
func (e *exchange) failure(err error) error {
	if refused := ofToken(err); refused != nil {
		return refused
	}
	switch stage := e.stage.Load(); {
	case errors.Is(err, context.Canceled) && (stage != left || e.reads()):
		return context.Canceled
	case stage == connecting:
		return fmt.Errorf("%w: %s", ErrUnreachable, kind(err))
	case stage == left && !e.reads():
		return fmt.Errorf("%w: %s", ErrUnknown, kind(err))
	case stage == left:
		return unread(err)
	}
	// The token could not be had, and why is in no answer of DoorFlow's.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return err
}

// ofToken returns the error of the tokens package that kept a request from being sent, nil where it was
// another. After a 401 it comes although the request was sent once: it was not performed.
func ofToken(err error) error {
	for _, known := range []error{tokens.ErrNotConnected, tokens.ErrNeedsReconnect, tokens.ErrUnavailable} {
		if errors.Is(err, known) {
			return known
		}
	}
	return nil
}

// unread is why an answer could not be read.
func unread(err error) error {
	switch why := kind(err); why {
	case kindTimeout:
		return ErrNoAnswer
	case kindCancelled:
		return context.Canceled
	default:
		return fmt.Errorf("%w: %s", ErrBroken, why)
	}
}
