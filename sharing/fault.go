package sharing

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
)

var (
	errSubject  = errors.New("the subject is none that a program can have been granted")
	errTooLarge = errors.New("the request is too large")
	errBusy     = errors.New("too many requests are under way")
	errPanicked = errors.New("the request panicked")
	// errAgeUnknown refuses what seems to come from the future: it may be as old as the clocks are apart.
	errAgeUnknown = errors.New("the NATS server's clock is ahead of the gateway's")
)

// whyInvalid is the error of a command that cannot be understood.
const whyInvalid = "invalid_request"

const codeInternal = 500

// fault is what a program on NATS is told of an error. Codes and words are a contract with it.
type fault struct {
	Code   int     `json:"-"`
	Word   string  `json:"error"`
	Field  string  `json:"field,omitempty"`
	Detail string  `json:"detail"`
	Retry  float64 `json:"retry_after,omitempty"` // seconds
}

// faults are the errors that are told by themselves, with the time to wait before asking again, if that helps.
var faults = []struct {
	err    error
	code   int
	word   string
	detail string
	retry  time.Duration
}{
	{errSubject, 400, whyInvalid, "the subject must be gatehouse.ask.{identity}.{operation}.{caller}, with the names as they were granted", 0},
	{errTooLarge, 413, "too_large", "a request may have 256 KiB", 0},
	{errBusy, 429, "busy", "too many requests are under way; ask again", time.Second},
	{errAgeUnknown, 409, whyAgeUnknown, "the NATS server's clock is ahead of the gateway's, so that nobody can tell how old this is; set the clocks", 0},
	{ErrForbidden, 403, "forbidden", "on NATS a share has the role USER and makes nobody known to Doordeck", 0},
	{ErrNoIdentity, 404, whyNoIdentity, "there is no such identity", 0},
	{ErrNoDoor, 404, whyNoLock, "there is no such door, or the identity may not see it", 0},
	{ErrNotDoorAdmin, 403, whyNotAdmin, "the identity is no administrator of the door", 0},
	{ErrOtherOperation, 409, "id_taken", "this caller has used the id for an operation that was different", 0},
	{ErrTooManyOperations, 429, "too_many_operations", "as many operations of the identity wait as may; ask again", 5 * time.Second},
	{ErrDoordeckBusy, 429, whyBusy, "Doordeck has been asked too often; wait", 30 * time.Second},
	{ErrDoordeckAway, 503, whyUnavailable, "Doordeck cannot be reached or does not answer; ask again", 5 * time.Second},
	{ErrDoordeckRefuses, 502, whyRefused, "Doordeck refuses this gateway or this request", 0},
	{events.ErrOverloaded, 429, "overloaded", "too much waits to be stored; ask again", time.Second},
	{events.ErrStorage, 503, "storage", "it could not be stored; ask again", 5 * time.Second},
	{events.ErrClosed, 503, "stopping", "the gateway is stopping; ask again", time.Second},
	{context.Canceled, 503, "stopping", "the gateway is stopping; ask again", time.Second},
	{context.DeadlineExceeded, 503, "timeout", "it took too long; ask again", time.Second},
}

func faultOf(err error) fault {
	for _, f := range faults {
		if errors.Is(err, f.err) {
			return fault{Code: f.code, Word: f.word, Detail: f.detail, Retry: retryAfter(err, f.retry).Seconds()}
		}
	}
	if unready, ok := errors.AsType[*NotReadyError](err); ok {
		return fault{Code: 409, Word: whyNotReady, Detail: "nothing can be signed as this identity: it is " + unready.Status}
	}
	if wrong, ok := errors.AsType[*invalid.Error](err); ok {
		return fault{Code: 400, Word: whyInvalid, Field: wrong.Field, Detail: wrong.Detail}
	}
	if sqldb.Broken(err) {
		return fault{Code: 503, Word: "storage", Detail: "it could not be stored; ask again", Retry: 5}
	}
	return fault{Code: codeInternal, Word: "internal", Detail: "the gateway failed; its log says why"}
}

// retryAfter is how long to wait: what the error says, else what is usual.
func retryAfter(err error, usual time.Duration) time.Duration {
	if e, ok := errors.AsType[*AwayError](err); ok {
		return e.Wait
	}
	return usual
}

// said is the fault in one line.
func (f fault) said() string {
	if f.Field == "" {
		return f.Detail
	}
	return f.Field + ": " + f.Detail
}

func (f fault) body() []byte {
	body, _ := json.Marshal(f) // texts and numbers: cannot fail
	return body
}

// header is how NATS micro services tell errors: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-32.md.
func (f fault) header() nats.Header {
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, f.Word+": "+f.said())
	return nats.Header{micro.ErrorHeader: {line}, micro.ErrorCodeHeader: {strconv.Itoa(f.Code)}}
}
