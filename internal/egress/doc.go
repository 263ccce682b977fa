// Package egress is the only way to subscribers' URLs: one client for addresses that strangers choose.
//
// The address is judged when it is dialled, after the name was resolved, each address of a name for itself. So a name
// that changes what it points at gains nothing, nor do the many spellings of an address. Refused is what is not an
// ordinary address of the public internet, unless the operator's allow-list names it; plain http goes to addresses of the
// allow-list alone. A connection that is kept open has been judged; it serves the same scheme, host name and port again,
// and no other.
//
// What a server sends is bounded too: of an answer its header and the first 64 KiB are read, and a connection on which more
// comes than its requests can be answered with is closed.
//
// Redirects are not followed, since nothing here follows them; proxies of the environment are not used; there are no
// cookies. One request has 15 seconds, all in, whatever the server does with them, and is tried on four connections at most.
//
// What is not judged: ports, since a stranger's https handshake says nothing to another protocol; the gateway's own
// public addresses, where its listeners answer whom they always answer; NAT64 prefixes that a network has made for
// itself, which nobody can tell from other addresses: such a gateway must not reach what is private.
//
// The package keeps nothing, so a crash loses nothing but the answer: who was asked may have done what was asked.
package egress
