package egress

import (
	"net/netip"
	"time"
)

// SetLimit shortens the fifteen seconds.
func (c *Client) SetLimit(d time.Duration) { c.limit = d }

// SetConnectLimit shortens the ten seconds of dialling, and of the handshake.
func (c *Client) SetConnectLimit(d time.Duration) { c.connect = d }

// Judge is the verdict on an address, for https and for http.
func (c *Client) Judge(addr netip.Addr) (secure, plain error) {
	return c.allow.judge(addr), c.allow.judgePlain(addr)
}

// Special are the prefixes that are refused.
func Special() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range special {
		all = append(all, s.prefix)
	}
	return all
}
