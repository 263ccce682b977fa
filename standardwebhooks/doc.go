// Package standardwebhooks signs webhooks and verifies them, as the Standard Webhooks specification says
// (version 1.0.0, symmetric signatures, "v1"). It is what Gatehouse signs its deliveries with, and what a receiver
// written in Go may verify them with:
//
//	secret, err := standardwebhooks.ParseSecret(os.Getenv("WEBHOOK_SECRET")) // once, at start
//	…
//	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)) // the bytes as they came
//	…
//	id, err := standardwebhooks.Verify(r.Header, body, time.Now(), standardwebhooks.Tolerance, secret)
//	if err != nil {
//		http.Error(w, "unauthorized", http.StatusUnauthorized)
//		return
//	}
//
// The package uses the standard library alone and keeps nothing: a receiver outside this module copies the
// directory. What is signed is the id, a full stop, the timestamp, a full stop and the body, with HMAC-SHA256.
//
// Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
package standardwebhooks
