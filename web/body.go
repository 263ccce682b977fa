package web

import (
	"errors"
	"io"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"
)

const (
	maxBody = 1 << 20
	// freeBody is what anybody's body may have. Beyond it a body needs one of a few places, of which an
	// address has half: what thousands of connections send slowly must not all be held in memory.
	freeBody        = 64 << 10
	largeBodies     = 32
	largePerAddress = largeBodies / 2
)

var errLargeBodies = errors.New("web: too many large bodies are being read")

// bodyLimited bounds what a handler may read, and how many may read much at once.
func (s *Server) bodyLimited(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Body == nil || r.Body == http.NoBody {
			return next(c)
		}
		if c.Path() != WebhookPath { // its handler has the same limit, with one look at the length
			if r.ContentLength > maxBody {
				return &http.MaxBytesError{Limit: maxBody}
			}
			r.Body = http.MaxBytesReader(c.Response().Writer, r.Body, maxBody)
		}
		if r.ContentLength >= 0 && r.ContentLength <= freeBody {
			return next(c)
		}
		body := &largeBody{ReadCloser: r.Body, free: freeBody, server: s, from: s.address(c)}
		r.Body = body
		defer body.leave()
		return next(c)
	}
}

// largeBody takes a place when more is read than is free. It is read by one goroutine, the handler's.
type largeBody struct {
	io.ReadCloser
	server *Server
	from   netip.Addr
	free   int
	placed bool
}

func (b *largeBody) Read(p []byte) (int, error) {
	if b.free <= 0 && !b.placed {
		if _, b.placed = b.server.large.take(b.from, largePerAddress); !b.placed {
			b.server.metrics.refused.WithLabelValues("large_bodies").Inc()
			return 0, errLargeBodies
		}
	}
	n, err := b.ReadCloser.Read(p)
	b.free -= n
	return n, err
}

func (b *largeBody) leave() {
	if b.placed {
		b.placed = false
		b.server.large.leave(b.from)
	}
}
