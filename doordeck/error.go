package doordeck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// Class says what a failure means for the caller. There are few, so a class may be a metric's label.
type Class string

// The classes. Doordeck publishes no more about the failures of a signed operation than Offline, NoAnswer and
// Conflict; a caller must not read a reason into which of the others it gets there.
const (
	Unauthorized Class = "unauthorized" // 401: the auth token is missing, wrong or expired
	Forbidden    Class = "forbidden"    // 403: no permission; in Check, a wrong or expired code
	NotFound     Class = "not_found"    // 404, 410: unknown, or not visible to the caller
	Locked       Class = "locked"       // 423: Register wants the key verified by a code first
	Conflict     Class = "conflict"     // 409: this operation's id has been used already
	TooMany      Class = "too_many"     // 429: wait; in Verify, codes that were sent before are still open
	Offline      Class = "offline"      // 503 of Execute: the door is not connected
	NoAnswer     Class = "no_answer"    // 504 of Execute: the door did not answer in time; it may have obeyed
	Transient    Class = "transient"    // 408, 425, other 5xx, network failures, answers that make no sense
	Invalid      Class = "invalid"      // everything else: asking again as it is would fail again
)

// Retryable tells whether the same request, signed afresh with a new id, may do better later. It says nothing
// about whether the first one was carried out: an unlock is not to be repeated.
func (c Class) Retryable() bool {
	return c == TooMany || c == Offline || c == NoAnswer || c == Transient
}

// Error is a call that did not succeed. Its text can be logged: it holds no token, code, key or URL, and of
// the answer's body nothing but a short cleaned message.
type Error struct {
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Code is Doordeck's own, often finer than the status ("404.12"); empty where the answer has none.
	Code string
	// Message is what Doordeck said, on one line and cut short, or what is wrong with its answer. Empty where
	// it said nothing or repeated a secret.
	Message string
	// RetryAfter is how long Doordeck asks to wait, at most a day; 0 where it does not say.
	RetryAfter time.Duration
	Class      Class
	// Unsent says that no connection came about, so that Doordeck cannot have seen the request.
	Unsent bool

	cause error
}

func (e *Error) Error() string {
	text := "Doordeck cannot be reached"
	if e.Status != 0 {
		text = "Doordeck answered " + strconv.Itoa(e.Status)
		if e.Code != "" && e.Code != strconv.Itoa(e.Status) {
			text = "Doordeck answered " + e.Code
		}
	}
	switch {
	case e.Message != "":
		return text + ": " + e.Message
	case e.cause != nil:
		return text + ": " + e.cause.Error()
	}
	return text
}

// Unwrap gives the network's error, so that context.Canceled and the like can be told.
func (e *Error) Unwrap() error { return e.cause }

// classes are the statuses that mean something of their own.
var classes = map[int]Class{
	401: Unauthorized, 403: Forbidden, 404: NotFound, 410: NotFound, 409: Conflict, 423: Locked, 429: TooMany,
	408: Transient, 425: Transient,
}

func classOf(status int, door bool) Class {
	class, known := classes[status]
	switch {
	case known:
		return class
	case door && status == http.StatusServiceUnavailable:
		return Offline
	case door && status == http.StatusGatewayTimeout:
		return NoAnswer
	case status >= 500:
		return Transient
	}
	return Invalid
}

// codeForm is a status, perhaps with a sub-code.
var codeForm = regexp.MustCompile(`^[1-9][0-9]{2}(\.[0-9]{1,6})?$`)

// newError reads an answer that is not a success. Its body may be the documented object, plain text (a
// proxy's), or nothing.
func newError(status int, header http.Header, body []byte, door bool, secrets []string) *Error {
	e := &Error{Status: status, Class: classOf(status, door), RetryAfter: retryAfter(header.Get("Retry-After"))}
	var told map[string]json.RawMessage
	if json.Unmarshal(body, &told) != nil {
		e.Message = clean(string(body), secrets)
		return e
	}
	var code json.Number // takes a number and its text alike
	if json.Unmarshal(told["code"], &code) == nil && codeForm.MatchString(code.String()) {
		e.Code = code.String()
	}
	var message string
	if json.Unmarshal(told["message"], &message) == nil {
		e.Message = clean(message, secrets)
	}
	return e
}

// misread is a success whose body is not what it should be.
func misread(status int, why string) *Error {
	return &Error{Status: status, Class: Transient, Message: why}
}

// unreached wraps an error of net/http. Those quote the URL, and some quote what the other side sent: an error
// that repeats a secret is left out whole.
func unreached(ctx context.Context, err error, secrets []string) *Error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if cause := context.Cause(ctx); errors.Is(cause, errTimeout) || errors.Is(cause, errNoConnection) {
		err = cause
	}
	e := &Error{Class: Transient}
	network, ok := errors.AsType[*net.OpError](err)
	e.Unsent = ok && network.Op == "dial"
	if text := err.Error(); !echoes(text, secrets) && (ok || clean(text, nil) == text) {
		e.cause = err
	} else {
		e.Message = "its answer cannot be read"
	}
	return e
}

// retryAfter reads seconds or a date, and keeps what a stranger says within a day.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil {
		at, err := http.ParseTime(value)
		if err != nil {
			return 0
		}
		seconds = time.Until(at).Seconds()
	}
	if !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, 86400) * float64(time.Second))
}

var errTimeout = fmt.Errorf("no answer within %v: %w", callTimeout, context.DeadlineExceeded)
