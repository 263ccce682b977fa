package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	maxConnections = 4096
	// shutdownTimeout is how long requests that are being answered may take when the server stops.
	shutdownTimeout = 4 * time.Second
)

// Serve answers requests on a listener until ctx ends; then it takes no new ones, lets those it has finish
// for up to 4 seconds, and returns nil. Streams are ended at once. It closes the listener. With a TLS
// configuration it speaks https. A request has 5 seconds for its headers, of 16 KiB, and 30 in all; more than
// 4096 connections wait.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, tlsConfig *tls.Config, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second, // streams set deadlines of their own
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    16 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 100, // the least that RFC 9113 recommends
			// Who is silent in the middle of its headers has no time limit but this.
			SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second, WriteByteTimeout: 30 * time.Second,
		},
		DisableGeneralOptionsHandler: true, // OPTIONS * is answered like everything else
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		// Requests may go on after ctx has ended; only streams look at it.
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, ctx)
		},
	}
	limited := &limitListener{Listener: ln, places: make(chan struct{}, maxConnections), closed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			ended <- srv.ServeTLS(limited, "", "")
			return
		}
		ended <- srv.Serve(limited)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	// ctx has ended; what still runs gets a time of its own.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(last)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("requests were broken off at shutdown")
		err = srv.Close()
	}
	<-ended // http.ErrServerClosed
	return err
}

type stoppingKey struct{}

// endsWithServer ends a request's context when the server stops, for streams, which would go on forever.
func endsWithServer(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		stopping, ok := c.Request().Context().Value(stoppingKey{}).(context.Context)
		if !ok {
			return next(c)
		}
		r := c.Request()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stopping, cancel)()
		c.SetRequest(r.WithContext(ctx))
		defer c.SetRequest(r) // or an error would be answered as if the client had gone
		return next(c)
	}
}

// endsSoonWithServer ends a request's context a second before the server breaks off what still runs, so that
// a request that waits for somebody else can be answered as an error.
func endsSoonWithServer(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		stopping, ok := c.Request().Context().Value(stoppingKey{}).(context.Context)
		if !ok {
			return next(c)
		}
		r := c.Request()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stopping, func() { time.AfterFunc(shutdownTimeout-time.Second, cancel) })()
		c.SetRequest(r.WithContext(ctx))
		defer c.SetRequest(r)
		return next(c)
	}
}

// limitListener accepts a connection only when there is a place for it; the others wait in the kernel.
type limitListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// placedConn gives its place back when it is closed.
type placedConn struct {
	net.Conn
	leave func()
}

func (c *placedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
