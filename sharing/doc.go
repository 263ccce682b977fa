// Package sharing signs and sends door operations for the programs that may ask for them.
//
// An identity is a Doordeck administrator that the gateway signs as: an OpenID subject, an ephemeral key and
// its certificate chain. Identities makes, registers, verifies, renews and deletes them. Identities.Session
// is what an operation needs to be signed as one.
//
// Each identity has one key that serves, and at times another that waits to be registered or proven by a
// code; the first serves until the second takes its place. A key is sealed and on disk before Doordeck hears
// of it, and Doordeck takes a key that it knows again, so registering can be repeated at any time. Whoever
// works on an identity holds its lease, and stores what came of it only where the row is still the one that
// it read.
//
// Operations takes shares, revokes and unlocks, stores each under its caller's id, and runs it once: find the
// people, ask what the lock can do, sign, send, and, where the door was away, look at its list of users until it
// shows what was asked. Operations of one identity on one lock, a lane, are run one at a time in the order in which
// they were stored; whoever works on a lane holds its lease, and stores what came of an operation only where nobody
// has written to it since. A run knows no SQL and no NATS: it works on an operation and its people, and the store
// writes down what they have become, with the message that reports it.
//
// Operations are asked for over HTTP and, with the authority that the subject of a message states, over NATS: Service
// answers requests, Commands takes what a stream keeps. Of a command that has been acknowledged, the operation or
// the message that it has failed is on disk.
//
// Tables: identities, identity_claims, door_names, operations, operation_parts, refused_commands. Keys and
// people's identity tokens are sealed for their row. What an identity was called, its subject, email and telephone
// stay taken for good, as MACs.
//
// On a crash: what a call reported is on disk, together with its message. A key that Doordeck took and whose
// chain was not stored is registered again, with the same outcome, by the next look; a code that Doordeck took
// and whose chain was not stored is not lost either, because the key is proven from then on. A lease that was
// held runs out after half a minute. A command that was in hand is taken again and is the same operation; the
// commands behind it wait for a few seconds.
//
// An operation that was answered is on disk, and so is that something is about to be sent before it leaves. So an
// unlock that may have left ends as unknown and is never sent again. A share or revoke that may have left is settled
// by the door's list of users, or sent again with an id of its own; until what was lost on the way cannot arrive
// any more, nothing that it could undo counts as done. A dead worker's lane is free after 15 seconds.
package sharing
