package standardwebhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook, in the specification's spelling. Their case does not matter.
const (
	IDHeader        = "webhook-id"
	TimestampHeader = "webhook-timestamp"
	SignatureHeader = "webhook-signature"
)

// Tolerance is how far a webhook's timestamp may lie from now, for those who have no reason for another.
const Tolerance = 5 * time.Minute

const (
	version   = "v1,"
	maxID     = 256
	maxDigits = 12 // of seconds: beyond the year 30000
)

// Why a webhook was not believed. They are for the receiver's log; the sender is told no more than 401.
var (
	// ErrHeaders: a header is missing, given twice or malformed. The error says which.
	ErrHeaders = errors.New("standardwebhooks: bad headers")
	// ErrSignature: no signature is one of these secrets', over these bytes. Often the body was parsed and written again.
	ErrSignature = errors.New("standardwebhooks: no signature fits the body and the secrets")
	// ErrStale: the signature is right, and the timestamp is further from now than the tolerance.
	ErrStale = errors.New("standardwebhooks: the timestamp is outside the tolerance")
)

// Sign sets the three headers of a webhook: its id, which stays the same through all attempts; the time of this
// attempt, in seconds; and one signature for each secret, in their order. It fails on an id other than 1 to 256 of
// the characters A-Z a-z 0-9 _ and -, since a full stop in it would make the signed bytes ambiguous, and without a secret.
func Sign(header http.Header, id string, at time.Time, body []byte, secrets ...Secret) error {
	if !validID(id) {
		return fmt.Errorf("%w: want a %s of 1 to %d of the characters A-Z a-z 0-9 _ -", ErrHeaders, IDHeader, maxID)
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	if _, err := parseTimestamp(timestamp); err != nil {
		return err
	}
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		key := s.key()
		if key == nil {
			return ErrSecret
		}
		signatures[i] = sign(key, id, timestamp, body)
	}
	if len(signatures) == 0 {
		return ErrSecret
	}
	header.Set(IDHeader, id)
	header.Set(TimestampHeader, timestamp)
	header.Set(SignatureHeader, strings.Join(signatures, " "))
	return nil
}

// Verify checks a webhook's headers against the body's bytes as they came, before anything is parsed. It returns
// the webhook's id: the same id is the same message, sent again. One signature by one of the secrets is enough, so that
// either side may rotate; signatures of other versions are passed over. The tolerance is inclusive, in both directions.
// The error is ErrHeaders, ErrSignature or ErrStale, or ErrSecret when a secret is the zero one or none is given.
func Verify(header http.Header, body []byte, now time.Time, tolerance time.Duration, secrets ...Secret) (id string, err error) {
	var timestamp, signatures string
	for _, h := range []struct {
		name string
		to   *string
	}{{IDHeader, &id}, {TimestampHeader, &timestamp}, {SignatureHeader, &signatures}} {
		values := header.Values(h.name)
		if len(values) != 1 || values[0] == "" {
			return "", fmt.Errorf("%w: %s is missing or given more than once", ErrHeaders, h.name)
		}
		*h.to = values[0]
	}
	if !validID(id) {
		return "", fmt.Errorf("%w: %s is not 1 to %d of the characters A-Z a-z 0-9 _ -", ErrHeaders, IDHeader, maxID)
	}
	sent, err := parseTimestamp(timestamp)
	if err != nil {
		return "", err
	}
	matched := false
	for _, s := range secrets { // all of them each time: how long it takes does not tell which one fits
		key := s.key()
		if key == nil {
			return "", ErrSecret
		}
		want := []byte(sign(key, id, timestamp, body))
		for given := range strings.SplitSeq(signatures, " ") {
			matched = hmac.Equal([]byte(given), want) || matched
		}
	}
	switch age := now.Truncate(time.Second).Sub(sent); {
	case len(secrets) == 0:
		return "", ErrSecret
	case !matched:
		return "", ErrSignature
	case age > tolerance || age < -tolerance:
		return "", ErrStale
	}
	return id, nil
}

// sign is one entry of the header. Its text is compared, not what it decodes to, so that a signature has one spelling.
func sign(key []byte, id, timestamp string, body []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return version + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func validID(id string) bool {
	return id != "" && len(id) <= maxID && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

// parseTimestamp reads whole seconds since 1970: digits alone, no sign.
func parseTimestamp(s string) (time.Time, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || len(s) > maxDigits {
		return time.Time{}, fmt.Errorf("%w: %s is not whole seconds since 1970", ErrHeaders, TimestampHeader)
	}
	return time.Unix(int64(n), 0), nil
}
