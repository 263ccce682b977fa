package egress

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"unicode"
)

// Failure says why there is no answer. It is fit for a column and for a metric's label.
type Failure string

// All there are.
const (
	// FailureURL: the URL is not one that CheckURL passes, now. Nothing was sent.
	FailureURL Failure = "url"
	// FailureDNS: the name does not resolve. Nothing was sent.
	FailureDNS Failure = "dns"
	// FailureRefused: the name resolves to no address that may be dialled. Nothing was sent.
	FailureRefused Failure = "refused_address"
	// FailureConnect: nobody took the connection. Nothing was sent.
	FailureConnect Failure = "connect"
	// FailureTLS: the handshake failed, or a certificate was not believed, on either side.
	FailureTLS Failure = "tls"
	// FailureTimeout: there was no status line in time. The server may have got the request.
	FailureTimeout Failure = "timeout"
	// FailureAnswer: the connection broke, or what came is not HTTP. The server may have got the request.
	FailureAnswer Failure = "broken_answer"
	// FailureCanceled: the caller's context ended. It says nothing about the server.
	FailureCanceled Failure = "canceled"
)

// Failures lists every Failure.
func Failures() []Failure {
	return []Failure{FailureURL, FailureDNS, FailureRefused, FailureConnect, FailureTLS, FailureTimeout, FailureAnswer, FailureCanceled}
}

// maxDetail bounds what a stranger's server can put into an error, in bytes.
const maxDetail = 200

// Error is a request without an answer. Its text is printable and short and holds no URL, header, body or resolved
// address: it may be stored and shown to whoever made the endpoint.
type Error struct {
	Failure Failure
	detail  string
	ended   error // the caller's context's, where it ended
}

func (e *Error) Error() string { return string(e.Failure) + ": " + e.detail }

// Unwrap lets errors.Is find context.Canceled and context.DeadlineExceeded of the caller's context.
func (e *Error) Unwrap() error { return e.ended }

// failed makes an error. What package net or tls says may begin with the failure's own name, which is not said twice.
func failed(f Failure, detail string) *Error {
	return &Error{Failure: f, detail: printable(strings.TrimPrefix(detail, string(f)+": "))}
}

// printable keeps names from foreign certificates within bounds.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}

// dialFailure tells what went wrong before there was a connection.
func dialFailure(err error, permitted bool) *Error {
	if r, ok := errors.AsType[refusal](err); ok {
		if permitted {
			return failed(FailureConnect, "no address that may be dialled takes the connection")
		}
		return failed(FailureRefused, r.Error())
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsTimeout {
			return failed(FailureDNS, "the name server did not answer in time")
		}
		return failed(FailureDNS, dns.Err)
	}
	if timedOut(err) {
		return failed(FailureTimeout, "no connection in time")
	}
	return failed(FailureConnect, inner(err))
}

func handshakeFailure(err error) *Error {
	if timedOut(err) {
		return failed(FailureTimeout, "no TLS handshake in time")
	}
	return failed(FailureTLS, inner(err))
}

// exchangeFailure tells what went wrong with a connection at hand. The error's own text may quote what the server sent.
func exchangeFailure(caller, limited context.Context, err error, wantsCertificate bool) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if caller.Err() != nil {
		return &Error{Failure: FailureCanceled, detail: "given up by the gateway", ended: caller.Err()}
	}
	if limited.Err() != nil {
		return failed(FailureTimeout, "no answer within 15 s")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return failed(FailureTLS, inner(err))
	}
	if wantsCertificate {
		return failed(FailureTLS, "the connection ended after the server had asked for a client certificate")
	}
	return failed(FailureAnswer, "the connection ended, or what came is not HTTP")
}

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return (ok && n.Timeout()) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// inner is an error's text without the addresses that package net puts around it.
func inner(err error) string {
	for {
		op, ok := errors.AsType[*net.OpError](err)
		if !ok {
			return err.Error()
		}
		err = op.Err
	}
}
