package web

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"
)

// keyCheck is how often a stream's key is looked up again, and keyCheckTimeout how long that may take.
// Together they stay below the two seconds within which a key's end is felt.
const (
	keyCheck        = time.Second
	keyCheckTimeout = 500 * time.Millisecond
)

// endsWithKey ends a request's context when its key stops working, for streams, which would go on. It
// stands behind requires.
func (s *Server) endsWithKey(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		ctx, cancel := context.WithCancel(r.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			defer cancel()
			s.watchKey(ctx, r.Header.Values(echo.HeaderAuthorization))
		}()
		defer func() { <-watched }()
		defer cancel()
		c.SetRequest(r.WithContext(ctx))
		defer c.SetRequest(r) // or an error would be answered as if the client had gone
		return next(c)
	}
}

// watchKey returns when the key works no more, or ctx has ended. A key that cannot be looked up is taken
// for one that does not work: nobody could tell how long it had been revoked.
func (s *Server) watchKey(ctx context.Context, headers []string) {
	tick := time.NewTicker(keyCheck)
	defer tick.Stop()
	key, ok := bearer(headers)
	for ok {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var err error
		looking, cancel := context.WithTimeout(ctx, keyCheckTimeout)
		_, ok, err = s.config.Authenticate(looking, key)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "a stream ends because its key could not be looked up", "request_id", RequestID(ctx), "error", err)
		}
	}
}
