package web_test

import (
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/web"
)

func TestWhoseRequestItIs(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("fe80::/10")}
	const proxy = "192.0.2.1:1234"
	for name, row := range map[string]struct {
		peer   string
		header []string // X-Forwarded-For
		want   string
	}{
		"no proxy":                        {"198.51.100.7:1", nil, "198.51.100.7"},
		"a stranger's word":               {"198.51.100.7:1", []string{"203.0.113.9"}, "198.51.100.7"},
		"a stranger names our proxy":      {"198.51.100.7:1", []string{"192.0.2.9"}, "198.51.100.7"},
		"the proxy says nothing":          {proxy, nil, "192.0.2.1"},
		"the proxy's word":                {proxy, []string{"203.0.113.9"}, "203.0.113.9"},
		"spoofed on the left":             {proxy, []string{"127.0.0.1, 192.0.2.5, 203.0.113.9"}, "203.0.113.9"},
		"a chain of proxies":              {proxy, []string{"10.0.0.1, 203.0.113.9, 192.0.2.77"}, "203.0.113.9"},
		"a proxy through another address": {proxy, []string{"203.0.113.9, 2001:db8:1::7"}, "203.0.113.9"},
		"only proxies":                    {proxy, []string{"192.0.2.3, 192.0.2.2"}, "192.0.2.3"},
		"several headers":                 {proxy, []string{"203.0.113.1", "203.0.113.9"}, "203.0.113.9"},
		"several, the last a proxy":       {proxy, []string{"203.0.113.1, 203.0.113.9", "192.0.2.2"}, "203.0.113.9"},
		"spaces and tabs":                 {proxy, []string{"1.1.1.1,\t 203.0.113.9 "}, "203.0.113.9"},
		"with a port":                     {proxy, []string{"203.0.113.9:4711"}, "203.0.113.9"},
		"IPv6":                            {proxy, []string{"2001:db8:2::9"}, "2001:db8:2::9"},
		"IPv6 in brackets":                {proxy, []string{"[2001:db8:2::9]"}, "2001:db8:2::9"},
		"IPv6 with a port":                {proxy, []string{"[2001:db8:2::9]:4711"}, "2001:db8:2::9"},
		"IPv4 as IPv6":                    {proxy, []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"the peer's IPv4 as IPv6":         {"[::ffff:192.0.2.1]:9", []string{"203.0.113.9"}, "203.0.113.9"},
		"the peer's zone":                 {"[fe80::1%eth0]:9", []string{"203.0.113.9"}, "203.0.113.9"},
		"a zone in the header":            {proxy, []string{"2001:db8:2::9%eth0"}, "192.0.2.1"},
		"garbage from the client":         {proxy, []string{"garbage, 203.0.113.9"}, "203.0.113.9"},
		"garbage from the proxy":          {proxy, []string{"203.0.113.9, garbage"}, "192.0.2.1"},
		"unknown":                         {proxy, []string{"unknown"}, "192.0.2.1"},
		"obfuscated":                      {proxy, []string{"_hidden"}, "192.0.2.1"},
		"empty":                           {proxy, []string{""}, "192.0.2.1"},
		"an empty element":                {proxy, []string{"203.0.113.9,"}, "192.0.2.1"},
		"quoted":                          {proxy, []string{`"203.0.113.9"`}, "192.0.2.1"},
		"octal":                           {proxy, []string{"0313.0.113.9"}, "192.0.2.1"},
		"half a bracket":                  {proxy, []string{"[2001:db8:2::9"}, "2001:db8:2::9"},
		"no address at all":               {"@", []string{"203.0.113.9"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			h := newFixture(t, func(c *web.Config) {
				c.TrustedProxies = proxies
				c.Webhooks = receiver(func(c echo.Context) error { got = c.RealIP(); return nil })
			}).Public(true)
			r := httptest.NewRequest("POST", "/webhooks/doorflow", nil)
			r.RemoteAddr = row.peer
			if row.header != nil {
				r.Header["X-Forwarded-For"] = row.header
			}
			// Nobody's word counts in these.
			r.Header.Set("Forwarded", "for=203.0.113.66;proto=https;host=evil.example")
			r.Header.Set("X-Real-Ip", "203.0.113.66")
			r.Header.Set("X-Forwarded-Host", "evil.example")
			if do(h, r); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestWhoseSchemeItIs(t *testing.T) {
	for name, row := range map[string]struct {
		peer   string
		header []string
		want   string
	}{
		"from the proxy":      {"192.0.2.1:1", []string{"https"}, "https"},
		"in capitals":         {"192.0.2.1:1", []string{"HTTPS"}, "https"},
		"the proxy says http": {"192.0.2.1:1", []string{"http"}, "http"},
		"garbage":             {"192.0.2.1:1", []string{"https, https"}, "http"},
		"two headers":         {"192.0.2.1:1", []string{"https", "https"}, "http"},
		"from a stranger":     {"198.51.100.7:1", []string{"https"}, "http"},
		"from loopback":       {"127.0.0.1:1", []string{"https"}, "http"},
		"nothing":             {"192.0.2.1:1", nil, "http"},
	} {
		var got string
		h := newFixture(t, func(c *web.Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			c.Webhooks = receiver(func(c echo.Context) error { got = c.Scheme(); return nil })
		}).Public(true)
		r := httptest.NewRequest("POST", "/webhooks/doorflow", nil)
		r.RemoteAddr, r.Header["X-Forwarded-Proto"] = row.peer, row.header
		for _, other := range []string{"X-Forwarded-Protocol", "X-Forwarded-Ssl", "X-Url-Scheme"} {
			r.Header.Set(other, "https")
		}
		if do(h, r); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

// Whatever a stranger sends, it is the stranger's own address that counts.
func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"", ",", "127.0.0.1", "a,b,,", "[::1]:8,%", "192.0.2.1\x00"} {
		f.Add(s)
	}
	var got string
	h := newFixture(f, func(c *web.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		c.Webhooks = receiver(func(c echo.Context) error { got = c.RealIP(); return nil })
	}).Public(true)
	f.Fuzz(func(t *testing.T, said string) {
		r := httptest.NewRequest("POST", "/webhooks/doorflow", nil)
		r.RemoteAddr = "192.0.2.1:80"
		r.Header["X-Forwarded-For"] = []string{said, "198.51.100.7"} // the proxy's own
		if do(h, r); got != "198.51.100.7" {
			t.Errorf("%q makes it %q", said, got)
		}
	})
}
