package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// reach is the way from this machine to a server: its name and its certificate.
type reach struct {
	url      *url.URL
	variable string // that the URL is set with
	lost     string // why nothing more can be learned, if so
}

func (r *reach) fix() string {
	return "check " + r.variable + ", and what stands between this machine and it"
}

// proxy is the proxy that the gateway's requests go by, which then looks up the name; nil for none.
func (r *reach) proxy() *url.URL {
	proxy, _ := http.ProxyFromEnvironment(&http.Request{URL: r.url})
	return proxy
}

func (r *reach) dns(ctx context.Context) finding {
	host := r.url.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return off("%s is an address already", host)
	}
	if proxy := r.proxy(); proxy != nil {
		return off("the proxy %s looks it up (HTTPS_PROXY)", proxy.Host)
	}
	began := time.Now()
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		r.lost = "there is no address"
		return fail("check the name in "+r.variable+" and this machine's resolver", "%s", oneLine(err))
	}
	return ok("%s is %s (%d ms)", host, strings.Join(addrs, ", "), time.Since(began).Milliseconds())
}

func (r *reach) tls(ctx context.Context) finding {
	switch {
	case r.lost != "":
		return off("unknown: %s", r.lost)
	case r.url.Scheme != "https":
		return off("http on this machine: a stand-in")
	case r.proxy() != nil:
		return off("by a proxy (HTTPS_PROXY): the next check has it too")
	}
	state, err := r.handshake(ctx)
	if err != nil {
		r.lost = "there is no connection, see TLS"
		return fail(r.fixTLS(err), "%s", oneLine(err))
	}
	f := validity(state.PeerCertificates[0].NotBefore, state.PeerCertificates[0].NotAfter)
	f.Detail = tls.VersionName(state.Version) + ", certificate " + f.Detail
	if f.Fix != "" {
		f.Fix = "it is theirs to renew: ask them, and look at this machine's clock"
	}
	return f
}

// fixTLS says what to do about a server that is not believed, or not reached.
func (r *reach) fixTLS(err error) string {
	switch {
	case errors.As(err, new(x509.HostnameError)):
		return "check " + r.variable + ": it leads to another server, or a proxy stands in front"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "a proxy that opens TLS? give its CA to this machine"
	case errors.As(err, new(x509.CertificateInvalidError)):
		return "check this machine's clock; if that is right, the certificate is theirs to renew"
	}
	return r.fix()
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
