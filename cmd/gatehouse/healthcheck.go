package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
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

// Validate checks what is asked for.
func (c *healthcheckCommand) Validate() error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fault("ADDR", "want HOST:PORT")
	}
	return nil
}

func (c *healthcheckCommand) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, code, err := readiness(ctx, c.Addr, c.TLSCertFile != "")
	if err != nil {
		return fmt.Errorf("asking the gateway on %s: %w", c.Addr, err)
	}
	if code != http.StatusOK {
		err = fmt.Errorf("not ready: %d %s", code, http.StatusText(code))
	}
	return err
}

// readiness is what a gateway on this machine that listens on addr answers on /readyz.
func readiness(ctx context.Context, addr string, https bool) (body []byte, code int, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, 0, err
	}
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	// Nobody stands in between.
	scheme, transport := "http://", &http.Transport{DisableKeepAlives: true}
	if https {
		scheme = "https://"
		// It is this very machine, and the certificate names another.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	return fetch(ctx, transport, scheme+net.JoinHostPort(host, port)+"/readyz")
}

// fetch returns the beginning of an answer. It follows no redirects.
func fetch(ctx context.Context, t http.RoundTripper, url string) (body []byte, code int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return body, resp.StatusCode, err
}
