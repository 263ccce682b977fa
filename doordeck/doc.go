// Package doordeck speaks with Doordeck's cloud API and signs the operations that its locks obey. It knows
// nothing of the gateway around it.
//
// There are two signatures, and they must not be confused:
//
//   - An auth token says who calls. An Issuer signs it with the application's key, for an OpenID subject of
//     its own choosing, and the Client sends it as a bearer token.
//   - An operation says what a lock shall do. A Signer signs it with the ephemeral key of one Doordeck user,
//     whose id and certificate chain came with registering that key. Its issuer is the Doordeck user id, never
//     the OpenID subject.
//
// A share, for an identity whose key is registered: Issuer.Token, Client.FindAll, Signer.Sign with AddUser,
// Client.Execute. The package's example does it.
//
// Nothing here is stored and nothing is tried twice: a crash loses what was under way, and whether to ask
// again is for the caller, who must sign afresh (Doordeck refuses an operation's id that it has seen) and must
// not repeat an unlock whose outcome is not known. The errors of calls are *Error.
//
// Tokens, keys and signed operations are types that print as REDACTED; their contents are reached through
// methods named Reveal.
//
// Sources: https://portal.sentryinteractive.com/docs/cloud-api/ and Doordeck's own Kotlin SDK,
// https://github.com/doordeck/doordeck-headless-sdk.
package doordeck
