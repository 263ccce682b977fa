package passthrough

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

var (
	// ErrIncomplete says that the caller's body ended too early.
	ErrIncomplete = errors.New("passthrough: the body ended too early")
	// ErrTokenRefused says that DoorFlow refused a new token as well.
	ErrTokenRefused = errors.New("passthrough: DoorFlow refuses the account's token, also a new one")
	// ErrUnreachable says that DoorFlow could not be reached. Nothing was sent.
	ErrUnreachable = errors.New("passthrough: DoorFlow cannot be reached")
	// ErrNoAnswer says that no answer to a read came in time.
	ErrNoAnswer = errors.New("passthrough: DoorFlow did not answer in time")
	// ErrBroken says that an answer broke off, or is none that could be passed on.
	ErrBroken = errors.New("passthrough: DoorFlow's answer broke off or makes no sense")
	// ErrRedirect says that DoorFlow answered with a redirect, which is not followed.
	ErrRedirect = errors.New("passthrough: DoorFlow answered with a redirect")
	// ErrTooLarge says that the answer is over 16 MiB.
	ErrTooLarge = errors.New("passthrough: DoorFlow's answer is too large")
	// ErrUnknown says that a write was sent, and that it was not learned whether it was done.
	ErrUnknown = errors.New("passthrough: whether DoorFlow did it is not known")
)

// NotActive says that the account has a connection that cannot be used.
type NotActive struct{ Status string }

func (e *NotActive) Error() string { return "the connection is " + e.Status }

const (
	kindTimeout   = "timeout"
	kindCancelled = "cancelled"
)

// kind names a failure for the log. The errors of net/http quote what they could not read, and URLs.
func kind(err error) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "name not resolved"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate not trusted"
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return kindTimeout
	}
	if errors.Is(err, context.Canceled) {
		return kindCancelled
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return "no connection"
	}
	return "no usable answer"
}
