package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL bounds an endpoint's URL in bytes.
const maxURL = 2048

// CheckURL judges what can be judged without resolving a name: the form, and addresses that stand in it. It is nil for a
// URL worth trying. The error's text begins in lower case, holds nothing of the URL but a literal address, and is for the user.
func (c *Client) CheckURL(u *url.URL) error {
	switch host := u.Hostname(); {
	case u.Scheme != "https" && u.Scheme != "http", host == "":
		return errors.New("want a URL such as https://bms.example.com/webhooks")
	case len(u.String()) > maxURL:
		return fmt.Errorf("want at most %d bytes", maxURL)
	case u.User != nil:
		return errors.New("want no user or password in it")
	case u.Fragment != "" || u.RawFragment != "":
		return errors.New("want no fragment: it is not sent")
	case !validPort(u):
		return errors.New("want a port of 1 to 65535")
	default:
		return c.checkHost(host, u.Scheme == "http")
	}
}

var errPlain = errors.New("want https; http is for addresses that GATEHOUSE_EGRESS_ALLOW names")

func (c *Client) checkHost(host string, plain bool) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if err := c.allow.judge(addr); err != nil {
			return fmt.Errorf("%s is %w", addr.WithZone(""), err)
		}
		if plain && !c.allow.names(addr) {
			return errPlain
		}
		return nil
	}
	if plain && len(c.allow) == 0 { // else it is known when the name is resolved
		return errPlain
	}
	if err := checkName(host); err != nil {
		return err
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761: it is loopback everywhere
		if err := c.allow.judge(netip.AddrFrom4([4]byte{127, 0, 0, 1})); err != nil && c.allow.judge(netip.IPv6Loopback()) != nil {
			return fmt.Errorf("localhost is %w", err)
		}
	}
	return nil
}

// checkName lets host names of ASCII pass. Those whose last label is a number are odd spellings of addresses, which
// some resolvers read (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func checkName(host string) error {
	name := strings.TrimSuffix(host, ".")
	if len(name) > 253 {
		return errors.New("want a host name of at most 253 characters")
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return errors.New("want a host name of letters, digits, hyphens and full stops (other letters as xn--…), or an address")
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	if digits, hex := strings.CutPrefix(last, "0x"); strings.Trim(last, "0123456789") == "" || (hex && strings.Trim(digits, "0123456789abcdef") == "") {
		return errors.New("want an address as four decimal numbers, such as 192.0.2.1")
	}
	return nil
}

func validPort(u *url.URL) bool {
	port := u.Port()
	n, err := strconv.ParseUint(port, 10, 16)
	return (err == nil && n > 0) || (port == "" && !strings.HasSuffix(u.Host, ":"))
}
