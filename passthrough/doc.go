// Package passthrough lets a customer's own programs use DoorFlow's API through the gateway, which adds the
// account's token and takes care of it. Nobody but the gateway ever sees that token.
//
// A request's path is judged as it was sent, before anything has decoded it, and goes on as it was sent.
// Its headers and those of the answer pass only where they are on a list; cookies, credentials and
// hop-by-hop headers are on none. Redirects are not followed, compressed answers not unpacked. What DoorFlow
// answers, errors too, comes back as it is, with a header that says so. Bodies are never logged, traced,
// kept or cached: PINs and pass URLs are in them.
//
// Everything is bounded: 1 MiB to DoorFlow, which is read whole before any of it leaves; 16 MiB back; 25
// seconds in between; and by the server, how many are under way.
//
// A request is sent once. Only one that DoorFlow answered 401, and thereby did not perform, is sent again
// with another token. No other failure makes the gateway repeat a write. net/http may send a GET again whose
// kept connection turned out to be closed, and anything of which no byte was written.
//
// On a crash: a write that is about to leave stands in the audit log as `started`. How it ended is noted
// there before its answer is passed on, so whoever has the answer finds it there. The package has no table.
package passthrough
