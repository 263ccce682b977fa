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
// Operations are asked for over HTTP and, with the authority that the subject of a message states, over NATS: Service
// answers requests, Commands takes what a stream keeps. Of a command that has been acknowledged, the operation or
// the message that it has failed is on disk.
//
// Tables: identities, identity_claims, refused_commands. Keys are sealed for their row. What an identity was called, its subject,
// email and telephone stay taken for good, as MACs.
//
// On a crash: what a call reported is on disk, together with its message. A key that Doordeck took and whose
// chain was not stored is registered again, with the same outcome, by the next look; a code that Doordeck took
// and whose chain was not stored is not lost either, because the key is proven from then on. A lease that was
// held runs out after half a minute. A command that was in hand is taken again and is the same operation; the
// commands behind it wait for a few seconds.
package sharing
