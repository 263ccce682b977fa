package main

import (
	"net/http"
	"strconv"
	"time"
)

// patience is how long a command waits, in all, for a gateway that says it is asked too much at once.
const patience = 10 * time.Second

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
