// Package doorflowsim stands in for DoorFlow's cloud in tests and demonstrations: the OAuth endpoints, the
// parts of API version 3 that a gateway uses, and signed webhooks with retries.
//
// It is a test fixture. Every account, person, door and number in it is invented, and nothing in it was
// recorded from DoorFlow. DoorFlow's developer terms bar offering third parties an API substantially the
// same as its own, so this package must never be run as a service for anybody; nor do its timings say
// anything about DoorFlow's performance. Serve it on a loopback or private address only: the control
// surface below /sim/ has no authentication.
//
// A Sim is an http.Handler for one origin. Nothing happens in the background except in Run, which delivers
// webhooks. The clock is real time plus an offset that Advance moves. All state is in memory, bounded, and
// lost at the end of the process.
//
// # What DoorFlow documents
//
// Endpoints, scopes, field names and status codes follow the OpenAPI description and the guides at
// https://developer.doorflow.com; the webhook signature follows src/webhooks/verify.ts in DoorFlow's own SDK,
// https://github.com/doorflow/doorflow-sdk-typescript. Where those disagree the OpenAPI description wins.
//
// # What is inferred, and where it can be switched
//
//   - Refresh: immediate revocation is documented, the grace period is how Doorkeeper, the server that
//     DoorFlow's replies resemble, can also behave: Options.Rotation.
//   - The signing key: the sources name the client secret and a webhook secret: Options.WebhookSecret.
//   - Webhook timeout, retry schedule, whether a retry is signed anew, resource or resource_url: Options.
//     That an exhausted delivery is given up, and that a retry keeps its ack_token, is our choice.
//   - Pagination header names and the type of the account's id: Faults.PaginationHeaders, IntegerAccountID.
//   - That a page may be shorter than was asked for, and event codes be refused: Faults.PageLimit,
//     RefuseEventCodes.
//   - Rate limits: only the sync limit is documented. Faults.RateLimitAPI makes the others up.
//   - Event codes: the ranges are documented, the single codes within 10-18, 20-29 and 31-37 are not.
//   - The path of a PerimeterEvent (events), the scope that lets it be sent (that of events), and what a
//     fetch with ack_token of a destroyed resource answers (404, counted as acknowledged).
//   - Removing a person removes that person's credentials, each with its webhook.
//   - Admission requests are answered at once, as code 15 (admitted), 51 (denied) or 52 (offline);
//     Faults.StallAdmissions leaves them to time out.
//   - The wording of error descriptions, and the Basic scheme at the token endpoint.
//
// Unknown, and left out: notification rules, shifts, encryption keys, mobile passes, redelivery of what was
// received but never fetched, and disabling of an endpoint that keeps failing.
package doorflowsim
