// Package oauth is DoorFlow's authorization-code flow: a client of its token endpoints, and the connect
// links that bring a customer's browser there and back.
//
// A link is made by an app through the API and opened by a person. Its page says who asks and for what; a
// button leads to DoorFlow with a one-use state, which is bound to that browser by a cookie, and PKCE
// S256. The callback spends the state before it looks at anything else. Without return_url it connects
// the account and says so. With return_url it keeps the tokens with the link, sealed, for ten minutes, and
// sends the browser to the app, which completes the link when it knows the person. A link is spent by the
// connection it makes, in the same commit; a denied or failed one may be tried again until it expires.
//
// Tables: connect_links, oauth_states. States and codes are stored as hashes, tokens and PKCE verifiers
// sealed for their row.
//
// On a crash: a link that says `connected` has its connection on disk, for both are one commit. A crash
// between the callback and that commit loses the code, and the person tries again; tokens that DoorFlow
// gave out in that moment are never used. Tokens of a link that was not completed stay sealed in its row
// until they have been revoked.
//
// The package does not keep or refresh tokens. It hands grants to a Connector, and is itself what the
// tokens package refreshes and revokes with.
package oauth
