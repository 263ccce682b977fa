package doorflow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// The two headers of a webhook. They carry no prefix; the SDK's src/webhooks/verify.ts reads just these.
const (
	SignatureHeader = "Signature"
	TimestampHeader = "Timestamp"
)

// Why a webhook was not believed. A caller tells the sender nothing but "unauthorized"; these are for
// the log and for a metric's label.
var (
	ErrSignatureMissing   = errors.New("doorflow: Signature or Timestamp header missing or given more than once")
	ErrSignatureMalformed = errors.New("doorflow: Signature is not 64 hexadecimal digits")
	ErrSignatureMismatch  = errors.New("doorflow: Signature matches none of the configured secrets")
	ErrTimestampMalformed = errors.New("doorflow: Timestamp is not 9 to 13 decimal digits")
	ErrTimestampStale     = errors.New("doorflow: Timestamp is outside the tolerance")
)

// Sign returns the Signature header for a body sent with the given Timestamp header: the lower-case
// hexadecimal HMAC-SHA256, keyed with the UTF-8 bytes of the secret, of timestamp, a full stop and body.
func Sign(secret []byte, timestamp string, body []byte) string {
	return hex.EncodeToString(mac(secret, timestamp, body))
}

func mac(secret []byte, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(timestamp))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(make([]byte, 0, sha256.Size))
}

// Verifier decides whether a webhook comes from DoorFlow.
type Verifier struct {
	// Secrets are tried in order, all of them each time, so that the time taken does not tell which
	// one matched. None may be empty: an empty key would sign anybody's request.
	Secrets [][]byte
	// Tolerance is how far the Timestamp may lie from now, in either direction, inclusive.
	Tolerance time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verify checks the headers against the raw body, before anything is parsed: parsing and writing JSON
// again changes bytes. It returns the index of the secret that matched, so that an operator can see when
// an old one is no longer used.
func (v *Verifier) Verify(header http.Header, body []byte) (secret int, err error) {
	signatures, timestamps := header.Values(SignatureHeader), header.Values(TimestampHeader)
	if len(signatures) != 1 || len(timestamps) != 1 {
		return -1, ErrSignatureMissing
	}
	sent, err := ParseTimestamp(timestamps[0])
	if err != nil {
		return -1, err
	}
	given, err := hex.DecodeString(signatures[0])
	if err != nil || len(given) != sha256.Size {
		return -1, ErrSignatureMalformed
	}
	matched := -1
	for i, key := range v.Secrets {
		if len(key) > 0 && hmac.Equal(given, mac(key, timestamps[0], body)) && matched < 0 {
			matched = i
		}
	}
	if matched < 0 {
		return -1, ErrSignatureMismatch
	}
	now := time.Now
	if v.Now != nil {
		now = v.Now
	}
	// Staleness is judged last: only a request that is truly DoorFlow's is worth the word "stale".
	if age := now().Truncate(precision(timestamps[0])).Sub(sent); age > v.Tolerance || age < -v.Tolerance {
		return matched, ErrTimestampStale
	}
	return matched, nil
}

// ParseTimestamp reads a Timestamp header: Unix seconds, or milliseconds when it has 13 digits.
func ParseTimestamp(s string) (time.Time, error) {
	if len(s) < 9 || len(s) > 13 {
		return time.Time{}, ErrTimestampMalformed
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return time.Time{}, ErrTimestampMalformed
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, ErrTimestampMalformed
	}
	if len(s) == 13 {
		return time.UnixMilli(n), nil
	}
	return time.Unix(n, 0), nil
}

// precision is the step of a timestamp's clock. Ours is cut to the same step before comparing, so that
// a tolerance of 300 s accepts the whole 300th second.
func precision(timestamp string) time.Duration {
	if len(timestamp) == 13 {
		return time.Millisecond
	}
	return time.Second
}
