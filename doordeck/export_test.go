package doordeck

import (
	"net/http"
	"time"
)

// SignAs signs with an id of the caller's choosing, as vectors need.
func (s Signer) SignAs(lock LockID, op Operation, life time.Duration, id string) (Signed, error) {
	return s.sign(lock, op, life, id)
}

// NewError reads an answer that is not a success.
func NewError(status int, header http.Header, body []byte, door bool, secrets ...string) *Error {
	return newError(status, header, body, door, secrets)
}

func NewID() string { return newID() }

// Recent tells whether the clock is still good after so long, on the monotonic clock and on the wall's.
func Recent(age, wall time.Duration) bool { return recent(age, wall) }
