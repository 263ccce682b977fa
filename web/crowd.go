package web

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/labstack/echo/v4"
)

const (
	// maxPerAddress is how many connections one address may have open, and how many requests it may have
	// under way over HTTP/2, where a connection carries many. It takes sixteen such addresses to fill the server.
	maxPerAddress = maxConnections / 16
	// streamsPerKey leaves half of all streams to the other keys.
	streamsPerKey = 32
)

var (
	errCrowded    = errors.New("web: the address has too many requests under way")
	errKeyStreams = errors.New("web: the key has too many streams open")
)

// shared tells whether an address may stand for many: a proxy, known to us or not, or this machine. Of
// those only all together are bounded.
func (p proxies) shared(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || p.trust(a)
}

// Bounded lets no address have more than 256 connections of a listener open: who would keep others out by
// doing nothing needs more than one address. Those too many are closed without a word.
func (s *Server) Bounded(ln net.Listener) net.Listener {
	return &boundedListener{Listener: ln, server: s, open: newPlaces[netip.Addr](maxConnections)}
}

type boundedListener struct {
	net.Listener
	server *Server
	open   *places[netip.Addr]
}

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at := peer(conn.RemoteAddr().String())
		if l.server.proxies.shared(at) {
			return conn, nil
		}
		from := network(at)
		if _, ok := l.open.take(from, maxPerAddress); ok {
			return &placedConn{Conn: conn, leave: sync.OnceFunc(func() { l.open.leave(from) })}, nil
		}
		_ = conn.Close()
		l.server.metrics.refused.WithLabelValues("connections").Inc()
	}
}

// crowd bounds the requests of HTTP/2 that are under way: with HTTP/1 the connections do.
func (s *Server) crowd(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().ProtoMajor < 2 {
			return next(c)
		}
		at, most := peer(c.Request().RemoteAddr), maxPerAddress
		if s.proxies.shared(at) {
			most = maxConnections
		}
		from := network(at)
		if _, ok := s.underWay.take(from, most); !ok {
			s.metrics.refused.WithLabelValues("requests").Inc()
			return errCrowded
		}
		defer s.underWay.leave(from)
		return next(c)
	}
}

// fewStreams bounds how many streams a key has open.
func (s *Server) fewStreams(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		caller, _ := CallerFrom(c.Request().Context())
		left, ok := s.streams.take(caller.ID, streamsPerKey)
		h := c.Response().Header()
		h.Add("RateLimit-Policy", fmt.Sprintf(`"streams";q=%d;qu="concurrent-requests"`, streamsPerKey))
		h.Add("RateLimit", fmt.Sprintf(`"streams";r=%d`, left))
		if !ok {
			s.metrics.refused.WithLabelValues("streams").Inc()
			return errKeyStreams
		}
		defer s.streams.leave(caller.ID)
		return next(c)
	}
}
