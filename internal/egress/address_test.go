package egress_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/egress"
)

func newClient(t *testing.T, c egress.Config) *egress.Client {
	t.Helper()
	client, err := egress.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func prefixes(s ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range s {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// Each range, with its first and last address, and those on either side of it.
func TestEveryRangeHasItsEdges(t *testing.T) {
	const ok, outside, none = "", "no global unicast", "-"
	table := []struct{ prefix, inside, before, after string }{
		{"0.0.0.0/32", "the unspecified address", none, "this network"},
		{"0.0.0.0/8", "", none, ok},
		{"10.0.0.0/8", "a private address", ok, ok},
		{"100.64.0.0/10", "a shared address", ok, ok},
		{"100.100.100.200/32", "a metadata service", "a shared address", "a shared address"},
		{"127.0.0.0/8", "a loopback address", ok, ok},
		{"168.63.129.16/32", "a metadata service", ok, ok},
		{"169.254.0.0/16", "a link-local address", ok, ok},
		{"169.254.169.254/32", "a metadata service", "a link-local address", "a link-local address"},
		{"169.254.170.2/32", "a metadata service", "a link-local address", "a link-local address"},
		{"172.16.0.0/12", "a private address", ok, ok},
		{"192.0.0.0/24", "an address for protocols", ok, ok},
		{"192.0.0.192/32", "a metadata service", "an address for protocols", "an address for protocols"},
		{"192.0.2.0/24", "an address for documentation", ok, ok},
		{"192.88.99.0/24", "a 6to4 relay", ok, ok},
		{"192.168.0.0/16", "a private address", ok, ok},
		{"198.18.0.0/15", "an address for benchmarks", ok, ok},
		{"198.51.100.0/24", "an address for documentation", ok, ok},
		{"203.0.113.0/24", "an address for documentation", ok, ok},
		{"224.0.0.0/4", "a multicast address", ok, "a reserved address"},
		{"240.0.0.0/4", "", "a multicast address", none},
		{"255.255.255.255/32", "the broadcast address", "a reserved address", none},

		{"::/128", "the unspecified address", none, "a loopback address"},
		{"::1/128", "a loopback address", "the unspecified address", "an IPv4-compatible address"},
		{"::/96", "", none, outside},
		{"::ffff:0:0:0/96", "an IPv4-translated address", outside, outside},
		{"64:ff9b::/96", "a NAT64 address", outside, outside},
		{"64:ff9b:1::/48", "a NAT64 address", outside, outside},
		{"100::/64", "a discard address", outside, "a dummy address"},
		{"100:0:0:1::/64", "a dummy address", "a discard address", outside},
		{"2001::/32", "a Teredo address", ok, "an address for protocols"},
		{"2001:2::/48", "an address for benchmarks", "an address for protocols", "an address for protocols"},
		{"2001:10::/28", "an ORCHID address", "an address for protocols", "an ORCHID address"},
		{"2001:20::/28", "an ORCHID address", "an ORCHID address", "an address for protocols"},
		{"2001::/23", "", ok, ok},
		{"2001:db8::/32", "an address for documentation", ok, ok},
		{"2002::/16", "a 6to4 address", ok, ok},
		{"3fff::/20", "an address for documentation", ok, ok},
		{"5f00::/16", "a segment-routing address", outside, outside},
		{"fc00::/7", "a private address", outside, outside},
		{"fd00:ec2::254/128", "a metadata service", "a private address", "a private address"},
		{"fd20:ce::254/128", "a metadata service", "a private address", "a private address"},
		{"fe80::/10", "a link-local address", outside, "a site-local address"},
		{"fec0::/10", "a site-local address", "a link-local address", "a multicast address"},
		{"ff00::/8", "a multicast address", "a site-local address", none},
	}
	client := newClient(t, egress.Config{})
	check := func(addr netip.Addr, want string) {
		t.Helper()
		secure, plain := client.Judge(addr)
		if want == ok && secure != nil || want != ok && (secure == nil || !strings.Contains(secure.Error(), want)) {
			t.Errorf("%s: %v, want %q", addr, secure, want)
		}
		if plain == nil {
			t.Errorf("%s: http is let through", addr)
		}
		if addr.Is4() { // the same, mapped
			if mapped, _ := client.Judge(netip.AddrFrom16(addr.As16())); (mapped == nil) != (secure == nil) {
				t.Errorf("::ffff:%s: %v, but %v", addr, mapped, secure)
			}
		}
	}
	var seen []netip.Prefix
	for _, row := range table {
		p := netip.MustParsePrefix(row.prefix)
		seen = append(seen, p)
		first, end := p.Masked().Addr(), last(p)
		if row.inside != "" { // else it is covered by narrower ones at its edges
			check(first, row.inside)
			check(end, row.inside)
		}
		for _, inside := range []netip.Addr{first, end} {
			if secure, _ := client.Judge(inside); secure == nil {
				t.Errorf("%s of %s is let through", inside, p)
			}
		}
		if row.before != none {
			check(first.Prev(), row.before)
		}
		if row.after != none {
			check(end.Next(), row.after)
		}
	}
	for _, p := range egress.Special() {
		if !slices.Contains(seen, p) {
			t.Errorf("%s has no row here", p)
		}
	}
	// What IANA has given out as global unicast, and its edges.
	for addr, want := range map[string]string{
		"2000::": ok, "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": outside, "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": ok, "4000::": outside,
		"8.8.8.8": ok, "1.0.0.0": ok, "223.255.255.255": ok, "2606:4700::1111": ok, "200:db8::1": outside, "fbff::1": outside,
		"2620:4f:8000::1": ok, "192.31.196.1": ok, "192.52.193.1": ok, "192.175.48.1": ok, // AS112 and AMT
	} {
		check(netip.MustParseAddr(addr), want)
	}
}

func TestAddressesInAddresses(t *testing.T) {
	client := newClient(t, egress.Config{})
	for _, addr := range []string{
		"::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:10.0.0.1", "::10.0.0.1", "::127.0.0.1",
		"64:ff9b::10.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::a9fe:a9fe", "2002:7f00:1::", "2002:0808:0808::1", "2002:a9fe:a9fe::",
		"2001:0:4136:e378:8000:63bf:3fff:fdd2", "fe80::1%eth0", "2606:4700::1111%eth0", "::1%lo",
	} {
		if secure, _ := client.Judge(netip.MustParseAddr(addr)); secure == nil {
			t.Errorf("%s is let through", addr)
		}
	}
}

func TestTheAllowListNames(t *testing.T) {
	client := newClient(t, egress.Config{Allow: prefixes("10.20.0.0/16", "fd12:3456::/32", "64:ff9b::/96", "203.0.113.7/32", "8.8.8.8/32")})
	for _, test := range []struct {
		addr          string
		secure, plain bool
	}{
		{"10.20.0.0", true, true},
		{"10.20.255.255", true, true},
		{"10.19.255.255", false, false},
		{"10.21.0.0", false, false},
		{"::ffff:10.20.0.1", true, true},
		{"::10.20.0.1", false, false},
		{"fd12:3456::1", true, true},
		{"fd12:3457::1", false, false},
		{"fd12:3456::1%eth0", false, false},
		{"203.0.113.7", true, true},
		{"203.0.113.8", false, false},
		{"8.8.8.8", true, true},
		{"8.8.4.4", true, false},
		{"2606:4700::1111", true, false},
		// NAT64: what is behind it must pass as well.
		{"64:ff9b::8.8.4.4", true, true},
		{"64:ff9b::10.20.0.1", true, true},
		{"64:ff9b::10.21.0.1", false, false},
		{"64:ff9b::169.254.169.254", false, false},
		{"64:ff9b::127.0.0.1", false, false},
	} {
		secure, plain := client.Judge(netip.MustParseAddr(test.addr))
		if (secure == nil) != test.secure || (plain == nil) != test.plain {
			t.Errorf("%s: https %v, http %v", test.addr, secure, plain)
		}
	}
}

func TestCheckAllow(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.0.0.0/8": "", "10.1.2.3/32": "", "fd00::/8": "", "127.0.0.0/8": "",
		"0.0.0.0/0": "everything", "::/0": "everything", "10.1.2.3/8": "want 10.0.0.0/8", "::ffff:10.0.0.0/104": "IPv4 network itself",
	} {
		_, err := egress.New(egress.Config{Allow: prefixes(prefix)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "GATEHOUSE_EGRESS_ALLOW")) {
			t.Errorf("%s: %v, want %q", prefix, err, want)
		}
	}
	if egress.CheckAllow([]netip.Prefix{{}}) == nil {
		t.Error("no prefix is taken for one")
	}
}
