package web

import (
	"context"
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
// seconds. It stands behind requires.
func (s *Server) endsWithKey(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		ctx, cancel := context.WithCancel(r.Context())
		watched := make(chan bool, 1)
		go func() {
			defer cancel()
			watched <- s.watchKey(ctx, r.Header.Values(echo.HeaderAuthorization))
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
func (s *Server) watchKey(ctx context.Context, headers []string) (ended bool) {
	tick := time.NewTicker(keyCheck)
	defer tick.Stop()
	key, ok := bearer(headers)
	for ok {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		var err error
		looking, cancel := context.WithTimeout(ctx, keyCheckTimeout)
		_, ok, err = s.config.Authenticate(looking, key)
		cancel()
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			s.log.WarnContext(ctx, "a request is ended because its key could not be looked up", "request_id", RequestID(ctx), "error", err)
			return false
		}
	}
	return true
}
