package web

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// proxies are the networks whose forwarded headers count. Of these only X-Forwarded-For and
// X-Forwarded-Proto are read; X-Forwarded-Host, X-Real-Ip and Forwarded never are.
type proxies []netip.Prefix

func (p proxies) trust(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// client is where a request came from: the connection's other end or, when that is a trusted proxy, the
// right-most address of X-Forwarded-For that is none. What stands to the left of it was written by the
// client, or by somebody before it, and may say anything. Where an address should be and none is, the
// proxy that passed this on is as far as anybody can know.
func (p proxies) client(r *http.Request) netip.Addr {
	at := peer(r.RemoteAddr)
	if !p.trust(at) {
		return at
	}
	headers := r.Header["X-Forwarded-For"] // several are one list (RFC 9110, 5.3)
	for i := len(headers) - 1; i >= 0; i-- {
		for rest, more := headers[i], true; more; {
			comma := strings.LastIndexByte(rest, ',')
			hop, ok := parseHop(rest[comma+1:])
			if !ok {
				return at
			}
			if at = hop; !p.trust(at) {
				return at
			}
			if more = comma >= 0; more {
				rest = rest[:comma]
			}
		}
	}
	return at
}

// scheme is https when the client's connection is, as far as somebody trusted says so.
func (p proxies) scheme(r *http.Request) string {
	if said := r.Header["X-Forwarded-Proto"]; len(said) == 1 && p.trust(peer(r.RemoteAddr)) {
		if strings.EqualFold(said[0], "https") {
			return "https"
		}
		return "http"
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// peer is the address of a connection's other end. The zone of a link-local one says nothing about it.
func peer(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().WithZone("").Unmap()
}

// parseHop reads an element of X-Forwarded-For. Some proxies add the port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return withPort.Addr().Unmap(), withPort.Addr().Zone() == ""
	}
	if bare, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(bare, "]")
	}
	hop, err := netip.ParseAddr(s)
	return hop.Unmap(), err == nil && hop.Zone() == ""
}

// network is what is counted as one stranger: of IPv6 everybody has at least 64 bits to choose from.
func network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}

// bind makes this the only word on where a request came from: echo by itself would believe anybody.
func (p proxies) bind(e *echo.Echo) {
	e.IPExtractor = func(r *http.Request) string {
		if at := p.client(r); at.IsValid() {
			return at.String()
		}
		return ""
	}
	e.SchemeExtractor = p.scheme
}
