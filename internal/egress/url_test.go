package egress_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"gatehouse/internal/egress"
)

func TestCheckURL(t *testing.T) {
	none, some := newClient(t, egress.Config{}), newClient(t, egress.Config{Allow: prefixes("10.20.0.0/16", "127.0.0.0/8")})
	for _, test := range []struct{ url, none, some string }{
		{"https://bms.example.com/webhooks?token=a", "", ""},
		{"https://bms.example.com:8443", "", ""},
		{"https://BMS.example.com./", "", ""},
		{"https://bms", "", ""},
		{"https://xn--bcher-kva.example/", "", ""},
		{"https://8.8.8.8/", "", ""},
		{"https://[2606:4700::1111]:8443/", "", ""},
		{"https://10.20.0.5/", "a private address", ""},
		{"https://10.21.0.5/", "a private address", "a private address"},
		{"https://[::ffff:10.20.0.5]/", "a private address", ""},
		{"https://[::ffff:a15:5]/", "a private address", "a private address"},
		{"https://169.254.169.254/latest", "a metadata service", "a metadata service"},
		{"https://[fe80::1%25eth0]/", "a zone", "a zone"},
		{"https://[::1]/", "a loopback address", "a loopback address"},
		{"https://[::]/", "unspecified", "unspecified"},
		{"https://0.0.0.0/", "unspecified", "unspecified"},
		{"https://localhost/", "a loopback address", ""},
		{"https://a.LOCALHOST./", "a loopback address", ""},
		{"http://bms.example.com/", "want https", ""}, // judged when it is dialled
		{"http://8.8.8.8/", "want https", "want https"},
		{"http://10.20.0.5:8080/", "a private address", ""},
		// Odd spellings of addresses.
		{"https://2130706433/", "four decimal numbers", "four decimal numbers"},
		{"https://0x7f000001/", "four decimal numbers", "four decimal numbers"},
		{"https://0X7F.1/", "four decimal numbers", "four decimal numbers"},
		{"https://127.1/", "four decimal numbers", "four decimal numbers"},
		{"https://127.0.1/", "four decimal numbers", "four decimal numbers"},
		{"https://010.20.0.5/", "four decimal numbers", "four decimal numbers"},
		{"https://0177.0.0.1/", "four decimal numbers", "four decimal numbers"},
		{"https://10.20.0.0x5/", "four decimal numbers", "four decimal numbers"},
		{"https://10.20.0.5./", "four decimal numbers", "four decimal numbers"},
		{"https://10.20.0.256/", "four decimal numbers", "four decimal numbers"},
		{"https://1.0x/", "four decimal numbers", "four decimal numbers"},
		{"https://１２７.0.0.1/", "want a host name", "want a host name"},
		{"https://127。0。0。1/", "want a host name", "want a host name"},
		{"https://%31%32%37.0.0.1/", "not parsed", "not parsed"},
		{"https://bücher.example/", "want a host name", "want a host name"},
		{"https://b%C3%BCcher.example/", "want a host name", "want a host name"},
		{"https://[::ffff:7f00:1/", "not parsed", "not parsed"},
		// Forms.
		{"https://a..b/", "want a host name", "want a host name"},
		{"https://.a/", "want a host name", "want a host name"},
		{"https://a_b.example/", "", ""},
		{"https://a$b.example/", "want a host name", "want a host name"},
		{"https://" + strings.Repeat("a", 64) + ".example/", "want a host name", "want a host name"},
		{"https://" + strings.Repeat("a.", 126) + "aa/", "at most 253", "at most 253"},
		{"https://user@bms.example.com/", "no user", "no user"},
		{"https://user:secret@bms.example.com/", "no user", "no user"},
		{"https://@bms.example.com/", "no user", "no user"},
		{"https://bms.example.com/#part", "no fragment", "no fragment"},
		{"https://bms.example.com:0/", "want a port", "want a port"},
		{"https://bms.example.com:65536/", "want a port", "want a port"},
		{"https://bms.example.com:/", "want a port", "want a port"},
		{"https://:443/", "want a URL", "want a URL"},
		{"https:bms.example.com", "want a URL", "want a URL"},
		{"//bms.example.com/", "want a URL", "want a URL"},
		{"bms.example.com", "want a URL", "want a URL"},
		{"", "want a URL", "want a URL"},
		{"ftp://bms.example.com/", "want a URL", "want a URL"},
		{"file:///etc/passwd", "want a URL", "want a URL"},
		{"gopher://127.0.0.1/", "want a URL", "want a URL"},
		{"unix:/run/docker.sock", "want a URL", "want a URL"},
		{"https://bms.example.com/" + strings.Repeat("a", 2024), "", ""},
		{"https://bms.example.com/" + strings.Repeat("a", 2025), "at most 2048", "at most 2048"},
	} {
		for name, c := range map[string]struct {
			client *egress.Client
			want   string
		}{"without a list": {none, test.none}, "with a list": {some, test.some}} {
			u, err := url.Parse(test.url)
			if err != nil {
				if c.want != "not parsed" {
					t.Errorf("%s: %v", test.url, err)
				}
				continue
			}
			err = c.client.CheckURL(u)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%.80s, %s: %v, want %q", test.url, name, err, c.want)
			}
		}
	}
}

// What passes says the same when it is written down and read again, and a literal address in it is one that is dialled.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://a/", "https://[::ffff:127.0.0.1]/", "http://10.20.0.1:80", "https://0x7f.1", "https://a%00b/"} {
		f.Add(s)
	}
	client, err := egress.New(egress.Config{Allow: prefixes("10.20.0.0/16")})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || client.CheckURL(u) != nil {
			return
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.Scheme != u.Scheme || client.CheckURL(again) != nil {
			t.Fatalf("%q becomes %q", s, u)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			if secure, plain := client.Judge(addr); secure != nil || (u.Scheme == "http" && plain != nil) {
				t.Errorf("%q passes with %v, %v", s, secure, plain)
			}
		}
	})
}
