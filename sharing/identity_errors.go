package sharing

import (
	"errors"
	"time"
)

var (
	// ErrOff says that Doordeck is not configured.
	ErrOff = errors.New("no Doordeck application is configured")
	// ErrNoIdentity says that there is no identity of that name, or none any more.
	ErrNoIdentity = errors.New("there is no such identity")
	// ErrTooManyIdentities says that there are as many identities as there may be.
	ErrTooManyIdentities = errors.New("there are too many identities")
	// ErrReserved refuses to make a Doordeck user with the subject or an address of an identity, which would
	// overwrite what Doordeck knows of it.
	ErrReserved = errors.New("the person's subject or address is an identity's")
	// ErrNotPending says that no key waits to be verified.
	ErrNotPending = errors.New("the identity does not wait for a code")
	// ErrNoCode says that another code has to be sent, after too many that were wrong.
	ErrNoCode = errors.New("too many wrong codes; have another sent")
	// ErrCodeWrong says that Doordeck does not take the code: it is wrong, or older than five minutes.
	ErrCodeWrong = errors.New("the code is wrong or has expired")
	// ErrBusy says that another call is working on the identity and takes long.
	ErrBusy = errors.New("the identity is being worked on")
	// ErrNoDoor says that the identity has no such door.
	ErrNoDoor = errors.New("the identity has no such door")
	// ErrNotDoorAdmin says that the identity is no administrator of the door.
	ErrNotDoorAdmin = errors.New("the identity is no administrator of the door")
	// ErrDoordeckAway says that Doordeck does not answer; an *AwayError is one or the other.
	ErrDoordeckAway = errors.New("no answer from Doordeck")
	// ErrDoordeckBusy says that Doordeck was asked too often.
	ErrDoordeckBusy = errors.New("too much was asked of Doordeck")
	// ErrDoordeckRefuses says that Doordeck refused a call as it was, and would again.
	ErrDoordeckRefuses = errors.New("refused by Doordeck")

	// errMoved says that the row is no longer the one that was read.
	errMoved = errors.New("the identity has changed meanwhile")
)

// NotReadyError says that nothing may be signed as an identity at the moment.
type NotReadyError struct{ Identity, Status string }

func (e *NotReadyError) Error() string {
	return "identity " + e.Identity + " is not ready: its status is " + e.Status
}

// TakenError says that another identity has, or had, the same.
type TakenError struct {
	// Field is name, subject, email or telephone.
	Field string
}

func (e *TakenError) Error() string { return "the " + e.Field + " is taken by another identity" }

// AwayError says that Doordeck cannot answer now, or wants to be left alone for a time.
type AwayError struct {
	// Wait is how long to wait before asking again.
	Wait time.Duration
	// TooMany tells that Doordeck was asked too often.
	TooMany bool

	cause error
}

func (e *AwayError) sentinel() error {
	if e.TooMany {
		return ErrDoordeckBusy
	}
	return ErrDoordeckAway
}

func (e *AwayError) Error() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	return e.sentinel().Error()
}

// Is tells ErrDoordeckAway and ErrDoordeckBusy.
func (e *AwayError) Is(target error) bool { return target == e.sentinel() }

func (e *AwayError) Unwrap() error { return e.cause }

// RetryAfter is Wait, for the server that answers.
func (e *AwayError) RetryAfter() time.Duration { return e.Wait }
