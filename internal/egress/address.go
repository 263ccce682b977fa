package egress

import (
	"fmt"
	"net/netip"
	"slices"
)

// special are the addresses that are not ordinary ones of the public internet. The first that fits gives the name.
//
// Sources: https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry, with multicast (RFC 5771, RFC 4291), site-local
// (RFC 3879) and what clouds answer to their machines on. Of IPv6, IANA has given out 2000::/3 alone as global unicast
// (https://www.iana.org/assignments/ipv6-address-space); the rest is refused whatever it is. AS112 and AMT, which the
// registries call globally reachable, are not refused.
var special = []struct {
	prefix netip.Prefix
	name   string
}{
	{netip.MustParsePrefix("169.254.169.254/32"), "a metadata service"},
	{netip.MustParsePrefix("169.254.170.2/32"), "a metadata service"},   // AWS ECS
	{netip.MustParsePrefix("100.100.100.200/32"), "a metadata service"}, // Alibaba Cloud
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata service"},   // Azure, in the public range
	{netip.MustParsePrefix("192.0.0.192/32"), "a metadata service"},     // Oracle Cloud
	{netip.MustParsePrefix("fd00:ec2::254/128"), "a metadata service"},  // AWS
	{netip.MustParsePrefix("fd20:ce::254/128"), "a metadata service"},   // Google Cloud

	{netip.MustParsePrefix("0.0.0.0/32"), "the unspecified address"},
	{netip.MustParsePrefix("0.0.0.0/8"), `an address of "this network"`},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a shared address (carrier-grade NAT)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "an address for protocols"},
	{netip.MustParsePrefix("192.0.2.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "an address for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), "the broadcast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},

	{netip.MustParsePrefix("::/128"), "the unspecified address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("::/96"), "an IPv4-compatible address"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "an IPv4-translated address"},
	{netip.MustParsePrefix("64:ff9b::/96"), "a NAT64 address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a NAT64 address"},
	{netip.MustParsePrefix("100::/64"), "a discard address"},
	{netip.MustParsePrefix("100:0:0:1::/64"), "a dummy address"},
	{netip.MustParsePrefix("2001::/32"), "a Teredo address"},
	{netip.MustParsePrefix("2001:2::/48"), "an address for benchmarks"},
	{netip.MustParsePrefix("2001:10::/28"), "an ORCHID address"},
	{netip.MustParsePrefix("2001:20::/28"), "an ORCHID address"},
	{netip.MustParsePrefix("2001::/23"), "an address for protocols"},
	{netip.MustParsePrefix("2001:db8::/32"), "an address for documentation"},
	{netip.MustParsePrefix("2002::/16"), "a 6to4 address"},
	{netip.MustParsePrefix("3fff::/20"), "an address for documentation"},
	{netip.MustParsePrefix("5f00::/16"), "a segment-routing address"},
	{netip.MustParsePrefix("fc00::/7"), "a private address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "a site-local address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
)

// refusal says why an address is not dialled. It does not name the address: what a name of the gateway's own network
// resolves to is not told to whoever made an endpoint with it.
type refusal struct{ name string }

func (r refusal) Error() string {
	return fmt.Sprintf("%s, which GATEHOUSE_EGRESS_ALLOW does not name", r.name)
}

// allowList is what the operator lets endpoints live in.
type allowList []netip.Prefix

// names tells whether the operator has named the address. Of NAT64 the address behind it must pass as well: who must
// reach the internet that way has not thereby opened what is private.
func (l allowList) names(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !slices.ContainsFunc(l, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return false
	}
	if nat64.Contains(addr) {
		b := addr.As16()
		return l.judge(netip.AddrFrom4([4]byte(b[12:]))) == nil
	}
	return true
}

// judge is nil for an address that https may go to.
func (l allowList) judge(addr netip.Addr) error {
	if addr.Zone() != "" {
		return refusal{"an address with a zone"}
	}
	addr = addr.Unmap()
	if l.names(addr) {
		return nil
	}
	for _, s := range special {
		if s.prefix.Contains(addr) {
			return refusal{s.name}
		}
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return refusal{"no global unicast address"}
	}
	return nil
}

// judgePlain is nil for an address that http may go to.
func (l allowList) judgePlain(addr netip.Addr) error {
	if err := l.judge(addr); err != nil {
		return err
	}
	if !l.names(addr) {
		return refusal{"an address for https only"}
	}
	return nil
}

// CheckAllow looks for prefixes that would allow everything, or nothing.
func CheckAllow(allow []netip.Prefix) error {
	for _, p := range allow {
		switch {
		case !p.IsValid():
			return fmt.Errorf("want CIDRs such as 10.20.0.0/16")
		case p.Bits() == 0:
			return fmt.Errorf("%s is everything: name the networks that endpoints live in", p)
		case p.Addr().Is4In6():
			return fmt.Errorf("%s: write the IPv4 network itself", p)
		case p != p.Masked():
			return fmt.Errorf("%s names a network by an address within it: want %s", p, p.Masked())
		}
	}
	return nil
}
