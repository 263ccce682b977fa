package webhooks

import (
	"errors"
	"net/http"

	"gatehouse/internal/egress"
)

// Outcome is how one attempt of a delivery ended, in one word: of those below, or one of egress.Failures where no
// answer came.
type Outcome string

const (
	// OutcomeDelivered is a status of 2xx.
	OutcomeDelivered Outcome = "delivered"
	// OutcomeRedirected is 3xx; redirects are not followed.
	OutcomeRedirected Outcome = "redirected"
	// OutcomeGone is 410, with which an endpoint says that it wants nothing any more.
	OutcomeGone Outcome = "gone"
	// OutcomeBusy is 429 or 503, whose Retry-After is heeded.
	OutcomeBusy Outcome = "busy"
	// OutcomeRefused is any other 4xx.
	OutcomeRefused Outcome = "refused"
	// OutcomeFailed is any other 5xx.
	OutcomeFailed Outcome = "failed"
	// OutcomeOdd is a status that no final answer has.
	OutcomeOdd Outcome = "odd"
	// OutcomeUnsigned: the endpoint's secret cannot be opened, and nothing was sent.
	OutcomeUnsigned Outcome = "unsigned"
	// OutcomeMissing: the message is not there any more, and nothing was sent.
	OutcomeMissing Outcome = "missing"
	// OutcomeCutOff is an attempt that was begun, and of which nobody knows how it ended: the process died.
	OutcomeCutOff Outcome = "cut_off"
	// outcomeCanceled is an attempt that a process gave up because it was stopping.
	outcomeCanceled = Outcome(egress.FailureCanceled)
)

// Outcomes are all words there are, for metrics.
func Outcomes() []Outcome {
	all := []Outcome{
		OutcomeDelivered, OutcomeRedirected, OutcomeGone, OutcomeBusy, OutcomeRefused, OutcomeFailed, OutcomeOdd,
		OutcomeUnsigned, OutcomeMissing, OutcomeCutOff,
	}
	for _, f := range egress.Failures() {
		all = append(all, Outcome(f))
	}
	return all
}

// outcomeOf classes a status.
func outcomeOf(status int) Outcome {
	switch {
	case status >= 200 && status <= 299:
		return OutcomeDelivered
	case status >= 300 && status <= 399:
		return OutcomeRedirected
	case status == http.StatusGone:
		return OutcomeGone
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return OutcomeBusy
	case status >= 400 && status <= 499:
		return OutcomeRefused
	case status >= 500 && status <= 599:
		return OutcomeFailed
	}
	return OutcomeOdd
}

// outcomeOfError classes why there was no answer.
func outcomeOfError(err error) Outcome {
	if failed, ok := errors.AsType[*egress.Error](err); ok {
		return Outcome(failed.Failure)
	}
	return Outcome(egress.FailureAnswer)
}

// verdict is what becomes of a delivery.
type verdict int

const (
	arrived  verdict = iota
	tryAgain         // by the schedule, until that ends
	putBack          // at once, by whoever comes next: it says nothing about the endpoint
	giveUp           // it is parked
)

// verdict is what an outcome means for its delivery. Everything but success is tried again: an endpoint that refuses
// today may have been repaired tomorrow.
func (o Outcome) verdict() verdict {
	switch o {
	case OutcomeDelivered:
		return arrived
	case OutcomeMissing:
		return giveUp
	case outcomeCanceled:
		return putBack
	}
	return tryAgain
}
