package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
)

// listener is one address and what answers there.
type listener struct {
	net.Listener
	handler http.Handler
	tls     *tls.Config
	serve   func(context.Context) error
}

// listen takes the addresses first of all: a port that is taken is the likeliest reason not to start.
func (a *App) listen(variable, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("GATEHOUSE_%s: listening on %s: %w", variable, addr, err)
	}
	a.closeLater(func() error { _ = l.Close(); return nil })
	return l, nil
}
