// Package webhooks receives DoorFlow's signed webhooks and fetches the facts behind them.
//
// Receiver proves a request and hands its items to the log; it answers 200 only after the commit that
// holds them. Fetcher opens each notification of a connected account: it gets the resource, which also
// acknowledges the notification, and says the event in the same commit that closes the notification.
//
// Tables: notifications, events, credentials, webhook_seen.
//
// On a crash:
//   - What was answered 200 is on disk, once for each key, with the message that reports it.
//   - A notification whose fetch was under way is fetched again. Its event is keyed by the account and the
//     event's own id in the commit that says it, so it is said once however often it was fetched.
//
// Webhooks tell only that something changed; when they come, in which order, and how often is up to the
// sender. The package relies on none of it.
package webhooks
