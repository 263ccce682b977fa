package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync/atomic"
	"syscall"
)

func (c *Client) dialPlain(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dial(ctx, network, address, c.allow.judgePlain)
}

func (c *Client) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address, c.allow.judge)
	if err != nil {
		return nil, err
	}
	config := c.tls.Clone()
	if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
		_ = conn.Close()
		return nil, failed(FailureURL, "it has no host")
	}
	asking := &asking{Conn: conn}
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asking.certificate = true
		if c.tls.GetClientCertificate == nil {
			return &tls.Certificate{}, nil
		}
		return c.tls.GetClientCertificate(info)
	}
	ctx, cancel := context.WithTimeout(ctx, c.connect)
	defer cancel()
	secured := tls.Client(asking, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, handshakeFailure(err)
	}
	return secured, nil
}

// dial resolves the name and tries its addresses, each judged just before its socket connects: what is judged is what
// is dialled. A name's other addresses are tried although one was refused.
func (c *Client) dial(ctx context.Context, network, address string, judge func(netip.Addr) error) (net.Conn, error) {
	var permitted atomic.Bool // two addresses may be tried at once
	dialer := net.Dialer{
		Timeout: c.connect, Resolver: c.resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			target, err := netip.ParseAddrPort(address)
			if err != nil {
				return refusal{"no address"}
			}
			if err := judge(target.Addr()); err != nil {
				return err
			}
			permitted.Store(true)
			return nil
		},
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, dialFailure(err, permitted.Load())
	}
	return conn, nil
}

// asking is a connection whose server may have asked for a certificate. In TLS 1.3 it says only after the handshake
// whether it believes one, and hangs up so fast that what it says may be lost.
type asking struct {
	net.Conn
	certificate bool // not changed after the handshake
}

// wantsCertificate tells whether a connection that has just been made is such a one.
func wantsCertificate(got httptrace.GotConnInfo) bool {
	conn, ok := got.Conn.(*tls.Conn)
	if !ok || got.Reused {
		return false
	}
	asking, ok := conn.NetConn().(*asking)
	return ok && asking.certificate
}
