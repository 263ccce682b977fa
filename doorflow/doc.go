// Package doorflow speaks DoorFlow's protocols and knows nothing of the gateway around it: the webhook
// signature (Sign, Verify), the webhook payload (ParseNotifications, Notification.Target) and the API
// client that fetches what a notification points at.
//
// The package holds no tokens. A Client is handed an *http.Client whose transport adds the bearer token
// of one account; the package makes sure that such a request can only go to the configured API.
//
// Sources: https://developer.doorflow.com (guides, API reference) and DoorFlow's own TypeScript SDK,
// https://github.com/doorflow/doorflow-sdk-typescript.
package doorflow
