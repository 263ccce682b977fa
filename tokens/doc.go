// Package tokens keeps the connections (one per DoorFlow account) and their tokens, and refreshes them.
//
// Keeper.Token gives an access token that DoorFlow should accept; Keeper.Client is an http.Client that
// adds it. Whoever is told that a token was refused says so with Keeper.Rejected and gets another.
//
// DoorFlow rotates: a refresh returns a new pair and ends the old one at that moment. So for one account
// there is one refresh at a time, in this process by single flight and across processes by a lease, and
// the new pair is on disk before anybody uses it. A refresh goes on when its caller has left, because a
// rotated pair that is dropped is lost. Two numbers guard the rows: `pair` rises with every stored pair,
// `generation` only when a connection is disconnected. A pair is stored only where both are still those
// it was refreshed from; so it can never bring back what was disconnected or undo a reconnection, but it
// does restore a connection that was thought lost meanwhile.
//
// Only invalid_grant, and only when the row still holds the token that was refused, makes a connection
// `reauthorize`. That wipes nothing.
//
// Table: connections (last_webhook_at is read from webhook_seen, silent_since and caught_up_at from catchup). Tokens are sealed for their row.
//
// On a crash: what Put, Disconnect and a refresh reported is on disk, together with the message that says
// so. A refresh that DoorFlow carried out and that was not stored is found out by the next one, which is
// refused; the connection must then be made again. A lease that was held runs out after thirty seconds. A
// revocation that was not confirmed is still in the row, and Run tries it again.
//
// The package does not know the browser's part of OAuth, and learns how to refresh and revoke through the
// Authority interface.
package tokens
