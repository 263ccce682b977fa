package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// patience is how long a command waits, in all, for a gateway that says it is asked too much at once.
const patience = 10 * time.Second

// silence is how long a gateway may say nothing. It gives up an answer of its own after 30 seconds, and sends a
// heartbeat on a stream every 15.
const silence = 45 * time.Second

// preferred is how long the gateway is asked to wait with its answer.
func preferred(header http.Header) time.Duration {
	seconds, _ := strconv.Atoi(strings.TrimPrefix(header.Get("Prefer"), "wait="))
	return time.Duration(seconds) * time.Second
}

// askWithin is ask of a server that may say nothing for so long, before its answer and at any time within.
func askWithin(req *http.Request, within time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	silent := fmt.Errorf("it has said nothing for %.0f seconds", within.Seconds())
	h := &attentive{within: within, cause: func() error { return context.Cause(ctx) }, end: cancel}
	h.silence = time.AfterFunc(within, func() { cancel(silent) })
	resp, err := ask(req.WithContext(ctx))
	if err != nil {
		h.silence.Stop()
		cancel(nil)
		return nil, err
	}
	h.ReadCloser, resp.Body = resp.Body, h
	return resp, nil
}

// attentive is the body of an answer, which ends when nothing comes of it any more.
type attentive struct {
	io.ReadCloser
	within  time.Duration
	silence *time.Timer
	cause   func() error // why the request has ended
	end     context.CancelCauseFunc
}

func (h *attentive) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	h.silence.Reset(h.within)
	if cause := h.cause(); cause != nil && err != nil && !errors.Is(err, io.EOF) {
		err = cause
	}
	return n, err
}

func (h *attentive) Close() error {
	h.silence.Stop()
	h.end(nil)
	return h.ReadCloser.Close()
}

// ask sends a request, and again when it was refused for coming too early: nothing was done then.
func ask(req *http.Request) (*http.Response, error) {
	for deadline := time.Now().Add(patience); ; {
		resp, err := apiClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests {
			return resp, err
		}
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		wait := time.Duration(seconds) * time.Second
		if err != nil || wait <= 0 || time.Until(deadline) < wait || (req.Body != nil && req.GetBody == nil) {
			return resp, nil
		}
		_ = resp.Body.Close()
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		select {
		case <-req.Context().Done():
			return nil, req.Context().Err()
		case <-time.After(wait):
		}
	}
}
