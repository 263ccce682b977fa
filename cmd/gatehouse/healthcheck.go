package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// healthcheckCommand asks the gateway on this machine whether it is ready, for container runtimes whose
// images hold no other program.
type healthcheckCommand struct {
	Addr        string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"The gateway's public listener."`
	TLSCertFile string `name:"tls-cert-file" placeholder:"FILE" help:"Set where the gateway serves https itself."`
}

func (c *healthcheckCommand) Run(ctx context.Context) error {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fault("ADDR", "want HOST:PORT")
	}
	if addr, err := netip.ParseAddr(host); host == "" || (err == nil && addr.IsUnspecified()) {
		host = "127.0.0.1"
	}
	scheme, transport := "http://", http.DefaultTransport.(*http.Transport).Clone()
	if c.TLSCertFile != "" {
		scheme = "https://"
		// It is this very machine, and the certificate names another.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	transport.Proxy = nil // nor does anybody stand in between
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}
