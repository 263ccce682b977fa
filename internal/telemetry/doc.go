// Package telemetry is how the gateway is watched: the logger, traces, and what its metrics say of the
// build. It makes sure that what is watched holds no secrets: attributes whose names promise one are
// redacted, and neither logs nor spans hold the query of a URL, which is where codes and ack tokens are.
//
// It owns no tables and loses nothing but spans on a crash.
package telemetry
