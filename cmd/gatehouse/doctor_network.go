package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// reach is the way from this machine to a server: its name and its certificate.
type reach struct {
	url      *url.URL
	variable string // that the URL is set with
	lost     bool   // its name is not found
}

func (r *reach) fix() string {
	return "check " + r.variable + ", and what stands between this machine and it"
}

func (r *reach) dns(ctx context.Context) finding {
	host := r.url.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return off("%s is an address already", host)
	}
	began := time.Now()
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if r.lost = err != nil; r.lost {
		return fail("check the name in "+r.variable+" and this machine's resolver", "%s", oneLine(err))
	}
	return ok("%s is %s (%d ms)", host, strings.Join(addrs, ", "), time.Since(began).Milliseconds())
}

func (r *reach) tls(ctx context.Context) finding {
	switch {
	case r.lost:
		return off("unknown: there is no address")
	case r.url.Scheme != "https":
		return off("http on this machine: a stand-in")
	}
	state, err := r.handshake(ctx)
	if unknown, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return fail("a proxy that opens TLS? give its CA to this machine; or check its clock", "%s", oneLine(unknown))
	}
	if err != nil {
		return fail(r.fix(), "%s", oneLine(err))
	}
	f := validity(state.PeerCertificates[0].NotBefore, state.PeerCertificates[0].NotAfter)
	f.Detail = tls.VersionName(state.Version) + ", certificate " + f.Detail
	if f.Fix != "" {
		f.Fix = "it is theirs to renew: ask them, and look at this machine's clock"
	}
	return f
}

func (r *reach) handshake(ctx context.Context) (tls.ConnectionState, error) {
	port := r.url.Port()
	if port == "" {
		port = "443"
	}
	conn, err := (&tls.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(r.url.Hostname(), port))
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), nil
}

// private tells whether an address is of no use outside this network.
func private(s string) bool {
	addr, err := netip.ParseAddr(s)
	addr = addr.Unmap()
	return err == nil && (addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || sharedSpace.Contains(addr))
}

// sharedSpace is what carriers use between themselves and their customers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
