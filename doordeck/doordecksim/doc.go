// Package doordecksim stands in for Doordeck's cloud in tests and demonstrations: tokens, ephemeral keys and
// their certificate chains, the directory, locks with their users, and signed operations.
//
// It is a test fixture. Every person, lock and key in it is invented, and nothing in it was recorded from
// Doordeck. Its private keys are published in this repository and protect nothing. Serve it on a loopback or
// private address only: the control surface below /sim/ has no authentication.
//
// A Sim is an http.Handler for one origin. Nothing happens in the background except in Run, which lets queued
// operations and doors that fall shut happen on time; without it they happen at the next request or call. The
// clock is Options.Now plus an offset that Advance moves. All state is in memory, bounded, and lost at the end
// of the process. User ids follow from issuer and subject, so they are the same after a restart.
//
// It checks with the standard library alone, so that a mistake in the library a client signs with is not
// made twice.
//
// # What Doordeck documents
//
// Paths, names, chain layout, meanings of 409, 423, 503 and 504, and the split at sixty seconds between done
// now and queued follow https://portal.sentryinteractive.com/docs/cloud-api/ and Doordeck's own SDKs
// (github.com/doordeck). Both forms of signed token that those send are taken: base64url without padding, and
// standard base64 with it.
//
// # What is inferred
//
// Each rule of /execute has a number, which the ledger shows for a refusal. Doordeck publishes no order
// of the checks and only part of the statuses: that a bad signature, chain or role answers 403, an unknown user
// 404, and a wrong field 400 is our choice. So are these:
//
//   - 60 s of leeway for nbf and iat, five codes pending at most, a leaf of 30 days: Options.
//   - A key belongs to whoever had it verified; two users may have the same key.
//   - Redeeming a code ends all other codes of that user. A key of a user without any is verified at once.
//   - A code goes to a verified address of the token only.
//   - Removing somebody who does not have the lock succeeds; somebody the directory does not know is a 404.
//   - An unlock may be good for a minute and the leeway; beyond the minute it is queued like everything else.
//   - A queued operation is applied in order when the lock is reachable, without looking at the role again.
//   - E-mail addresses are compared byte for byte, and the v2 directory leaves out whom it does not find.
//   - An unknown token answers "HTTP 401 Unauthorized"; other messages are our wording and name the reason.
//   - Answers in a vendor version carry that version's content type.
//   - The platform's certificate lives as long as the root, so that the fixture does not end one day.
//
// # The directory's identity key
//
// Where an application finds the RSA key for encrypted identities and which algorithms are allowed is not
// published. Here the key is Sim.IdentityKey, and a JWE of RSA-OAEP or RSA-OAEP-256 with AES-GCM is taken. It
// has to hold an OpenID token that the application's own tokens would be accepted as; anything else is a 400.
//
// Unknown, and left out: sites, tiles, rate limits, logging out ending a chain, platform administration.
package doordecksim
