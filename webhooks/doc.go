// Package webhooks receives DoorFlow's signed webhooks, fetches the facts behind them, and finds what they
// did not bring. It also owns the endpoints: URLs that want to hear what the gateway says.
//
// Receiver proves a request and hands its items to the log; it answers 200 only after the commit that
// holds them. Fetcher opens each notification of a connected account: it gets the resource, which also
// acknowledges the notification, and says the event in the same commit that closes the notification.
// Catchup compares DoorFlow's list of events with what has been said, says the rest, and notices when an
// account's webhooks stop coming. Credentials have no such list: what webhooks lose of them stays lost.
//
// Endpoints makes, changes and lists endpoints, keeps their secrets sealed, and judges their health by what becomes of
// deliveries. Every replica goes by the endpoints as they are committed, without delay: see Endpoints.Current.
//
// Deliveries makes what is said into rows, one for each message and endpoint, sends them signed, tries again by a schedule,
// and parks what nobody takes. It reads the log by cursors of its own and needs no NATS.
//
// Tables: notifications, events, credentials, webhook_seen, catchup, endpoints, endpoint_version, deliveries,
// delivery_attempts, delivery_hours, delivery_cursors, delivery_bodies.
//
// On a crash:
//   - What was answered 200 is on disk, once for each key, with the message that reports it.
//   - A notification whose fetch was under way is fetched again. Its event is keyed by the account and the
//     event's own id in the commit that says it, so it is said once however often it was fetched.
//   - A comparison that was under way begins again where the last complete one stood. The place never runs
//     ahead of what is stored, and keys outlive what a comparison can reach back to.
//   - A change of an endpoint is one commit with its audit entry and with the message that reports it, so an endpoint
//     is never disabled in silence. A secret whose answer was lost is lost: rotate it.
//   - Every message that an endpoint wants is a delivery to it once, by the commit that moves the cursor over it. An
//     attempt is counted in a commit before it is made, so that whatever dies, an endpoint gets a message at least once,
//     under the same id, and no more often than attempts are counted. What was under way is sent again at the next start,
//     or by another replica when its claim has run out.
//
// Webhooks tell only that something changed; when they come, in which order, and how often is up to the
// sender. The package relies on none of it.
package webhooks
