package web

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// keyCheck is how often the key of a request that goes on is looked up again, and keyCheckTimeout how long that may take.
// Together they stay below the two seconds within which a key's end is felt.
const (
	keyCheck        = time.Second
	keyCheckTimeout = 500 * time.Millisecond
)

// endsWithKey ends a request's context when its key stops working, for what may take longer than the two
// seconds; a session ends with its key. It stands behind requires.
func (s *Server) endsWithKey(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		ctx, cancel := context.WithCancel(r.Context())
		watched := make(chan bool, 1)
		go func() {
			defer cancel()
			p, _ := ctx.Value(passKey{}).(pass)
			watched <- s.watchKey(ctx, p)
		}()
		var ended bool
		err := func() error {
			defer func() { ended = <-watched }()
			defer cancel()
			c.SetRequest(r.WithContext(ctx))
			defer c.SetRequest(r) // or an error would be answered as if the client had gone
			return next(c)
		}()
		if err != nil && ended {
			return errUnauthorized
		}
		return err
	}
}

// watchKey returns when the key works no more, or ctx has ended, and tells which. A key that cannot be
// looked up is taken for one that does not work: nobody could tell how long it had been revoked.
func (s *Server) watchKey(ctx context.Context, p pass) (ended bool) {
	tick := time.NewTicker(keyCheck)
	defer tick.Stop()
	for ok := p != nil; ok; {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		var err error
		if ok, err = stillWorks(ctx, p); ctx.Err() != nil {
			return false
		}
		if err != nil {
			s.log.WarnContext(ctx, "a request is ended because its key could not be looked up", "request_id", RequestID(ctx), "error", err)
			return false
		}
	}
	return true
}

func stillWorks(ctx context.Context, p pass) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, keyCheckTimeout)
	defer cancel()
	return p(ctx)
}

// whileBodyComes ends the reading of a request's body when its key stops working: a body may take half a
// minute, and what it asks for must not be done with a key that was revoked meanwhile. The request is changed.
func (s *Server) whileBodyComes(c echo.Context, p pass, next echo.HandlerFunc) error {
	r := c.Request()
	if r.Body == nil || r.Body == http.NoBody {
		return next(c)
	}
	body := &watchedBody{ReadCloser: r.Body, looked: time.Now(), stillWorks: func() (bool, error) { return stillWorks(r.Context(), p) }}
	r.Body = body
	if err := next(c); err == nil || body.refusal == nil {
		return err
	}
	return body.refusal
}

// watchedBody gives out nothing that came a second or more after its key was looked up, unless it still works.
type watchedBody struct {
	io.ReadCloser
	stillWorks func() (bool, error)
	looked     time.Time
	refusal    error
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.refusal != nil {
		return 0, b.refusal
	}
	n, err := b.ReadCloser.Read(p)
	if time.Since(b.looked) < keyCheck {
		return n, err
	}
	ok, failed := b.stillWorks()
	if b.looked, b.refusal = time.Now(), failed; failed == nil && !ok {
		b.refusal = errUnauthorized
	}
	if b.refusal != nil {
		return 0, b.refusal
	}
	return n, err
}
