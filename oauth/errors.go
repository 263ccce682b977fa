package oauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"golang.org/x/oauth2"
)

// Class says what a failure of DoorFlow's OAuth endpoints means to us.
type Class int

const (
	// Transient failures may pass: no answer, 429, 5xx, an answer that cannot be read.
	Transient Class = iota
	// Revoked: DoorFlow no longer takes the code or refresh token (invalid_grant).
	Revoked
	// Misconfigured: DoorFlow does not take our client id or secret.
	Misconfigured
	// Rejected: DoorFlow refuses the request for another reason.
	Rejected
)

func (c Class) String() string {
	return [...]string{"transient", "revoked", "misconfigured", "rejected"}[c]
}

// Error is a failed call of an OAuth endpoint. It holds nothing of the request or of the reply's body but
// a known error code.
type Error struct {
	Class  Class
	Op     string // exchanging, refreshing, revoking, token info
	Code   string // an OAuth error code, or what went wrong
	Status int    // of the reply, 0 without one
}

func (e *Error) Error() string {
	s := "oauth: " + e.Op + ": " + e.Class.String() + ": " + e.Code
	if e.Status != 0 {
		s += " (status " + strconv.Itoa(e.Status) + ")"
	}
	return s
}

// Revoked tells whether the grant is gone for good.
func (e *Error) Revoked() bool { return e.Class == Revoked }

// Misconfigured tells whether the fault is in this gateway's settings.
func (e *Error) Misconfigured() bool { return e.Class == Misconfigured }

// fromReply classifies a reply by its status and error code. Only codes that RFC 6749, RFC 6750 and
// DoorFlow's description know are repeated: a body is foreign text and may quote what we sent.
func fromReply(op string, status int, code string) *Error {
	e := &Error{Class: Rejected, Op: op, Status: status, Code: code}
	switch code {
	case "invalid_grant", "invalid_client", "unauthorized_client", "invalid_token", "invalid_request", "invalid_scope",
		"unsupported_grant_type", "unsupported_token_type", "server_error", "temporarily_unavailable", "rate_limited":
	default:
		e.Code = "unexpected_reply"
	}
	refused := status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden
	switch {
	case !refused: // 5xx, 429, redirects, proxies: whatever the body says
		e.Class = Transient
	case e.Code == "invalid_grant":
		e.Class = Revoked
	case e.Code == "invalid_client", e.Code == "unauthorized_client":
		e.Class = Misconfigured
	case e.Code == "unexpected_reply":
		e.Class = Transient
	}
	return e
}

// fromFailure maps what x/oauth2 and net/http return. Their texts can quote replies and URLs, so only the
// kind of failure is kept.
func fromFailure(op string, err error) *Error {
	if reply, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		status := 0
		if reply.Response != nil {
			status = reply.Response.StatusCode
		}
		return fromReply(op, status, reply.ErrorCode)
	}
	return &Error{Class: Transient, Op: op, Code: kindOf(err)}
}

func kindOf(err error) string {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	if errors.Is(err, context.Canceled) {
		return "cancelled"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("cannot resolve %s", dns.Name)
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return cert.Error()
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network.Error()
	}
	return "no usable reply"
}
