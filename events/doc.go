// Package events is what the gateway says and how it gets out: the CloudEvents envelope and the grammar
// of subjects, the log (a transactional outbox with one committer per process), and the relay that
// publishes the log on NATS JetStream.
//
// Tables: writers, messages, relay_checkpoints.
//
// On a crash:
//   - A change whose Do returned nil is on disk, with the messages it reported, or neither is: they are
//     one transaction. A change that was still waiting is not there at all.
//   - Every message in the log reaches the stream once by id. The relay's cursor may lag behind what it
//     published; after a restart it compares the stream with the log and publishes exactly what is missing.
//   - A process that dies leaves a writer whose log another process (or the next start) takes over,
//     fences and finishes.
//
// The package does not know what the messages mean; it never looks into their data.
package events
