package egress

import (
	"context"
	"crypto/tls"
	"errors"
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
	stranger := &stranger{Conn: conn}
	stranger.mayRead.Store(maxExchange)
	config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		stranger.wantsCertificate = true
		if c.tls.GetClientCertificate == nil {
			return &tls.Certificate{}, nil
		}
		return c.tls.GetClientCertificate(info)
	}
	ctx, cancel := context.WithTimeout(ctx, c.connect)
	defer cancel()
	secured := tls.Client(stranger, config)
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

// stranger is a connection under TLS.
type stranger struct {
	net.Conn
	// wantsCertificate tells that the server has asked for one. In TLS 1.3 it says only after the handshake whether it
	// believes it, and hangs up so fast that what it says may be lost. It is not changed after the handshake.
	wantsCertificate bool
	// mayRead is how many bytes more are taken.
	mayRead atomic.Int64
}

const (
	// maxExchange is what a handshake, or one request on a connection, may bring in all, and maxExchanges those of a
	// connection together. HTTP/2 has many frames that answer nothing: without a bound a server could keep us reading
	// for as long as there is a connection.
	maxExchange, maxExchanges = 1 << 20, 16 << 20
)

var errTooMuch = errors.New("the server sends more than was asked for")

func (s *stranger) Read(p []byte) (int, error) {
	if s.mayRead.Load() <= 0 {
		return 0, errTooMuch
	}
	n, err := s.Conn.Read(p)
	s.mayRead.Add(-int64(n))
	return n, err
}

// request notes that another request is made on the connection.
func (s *stranger) request() {
	for {
		left := s.mayRead.Load()
		if s.mayRead.CompareAndSwap(left, min(left+maxExchange, maxExchanges)) {
			return
		}
	}
}

// strangerOf is who a request is made to by https, nil where it is made by http.
func strangerOf(got httptrace.GotConnInfo) *stranger {
	conn, ok := got.Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	s, _ := conn.NetConn().(*stranger)
	return s
}
