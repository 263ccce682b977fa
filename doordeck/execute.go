package doordeck

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Outcome is what became of an operation that Doordeck took.
type Outcome string

const (
	// Applied says that the lock has done it.
	Applied Outcome = "applied"
	// Queued says that it waits for the lock. Doordeck does not tell what becomes of it: the lock's users do.
	Queued Outcome = "queued"
)

// Execute has a signed operation done, once. A failure that is not Unsent may still have been carried out:
// NoAnswer, Transient and the network's own.
func (c *Client) Execute(ctx context.Context, token Token, lock LockID, jwt JWT) (Outcome, error) {
	return c.ExecuteWithin(ctx, token, lock, jwt, 0)
}

// ExecuteWithin is Execute for what must not leave late: without a connection within a time it is given up, Unsent.
func (c *Client) ExecuteWithin(ctx context.Context, token Token, lock LockID, jwt JWT, within time.Duration) (Outcome, error) {
	if err := lock.check(); err != nil {
		return "", err
	}
	if jwt == (JWT{}) {
		return "", errors.New("there is no signed operation")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errTimeout)
	defer cancel()
	resp, err := c.send(ctx, request{
		method: http.MethodPost, path: "/device/" + string(lock) + "/execute", token: token, accept: version1,
		contentType: "application/jwt", body: []byte(jwt.Reveal()), secrets: []string{jwt.Reveal()}, door: true, connectWithin: within,
	})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	// The status says it all; reading a short body lets the connection be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	if resp.StatusCode == http.StatusAccepted {
		return Queued, nil
	}
	return Applied, nil
}
