package web

import (
	"context"
	"errors"
	"slices"

	"github.com/labstack/echo/v4"
)

const (
	// maxExchanges and exchangesPerAccount are how many requests to DoorFlow may be under way for programs:
	// what it can make us hold by not answering.
	maxExchanges        = 128
	exchangesPerAccount = 8
)

var errBusy = errors.New("web: too many requests to DoorFlow are under way")

// fewExchanges bounds them. Who may not see an account takes none of its places and does not learn whether
// any are left: the handler answers as if the account did not exist.
func (s *Server) fewExchanges(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		account := c.Param("account")
		if allowed := Accounts(c); allowed != nil && !slices.Contains(allowed, account) {
			return next(c)
		}
		if _, ok := s.exchanges.take(account, exchangesPerAccount); !ok {
			s.metrics.refused.WithLabelValues("exchanges").Inc()
			return errBusy
		}
		defer s.exchanges.leave(account)
		return next(c)
	}
}

// carriedThrough keeps a request going when its client has left: of something half done nobody would know
// whether it was. The handler sees to it that it ends.
func carriedThrough(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		c.SetRequest(r.WithContext(context.WithoutCancel(r.Context())))
		defer c.SetRequest(r)
		return next(c)
	}
}
