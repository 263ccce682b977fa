package sharing

// Status is what has become of an operation, or of one of its people.
type Status string

const (
	// Accepted: it is stored, and nothing has been sent.
	Accepted Status = "accepted"
	// Running: it is being sent, or what became of it is being found out.
	Running Status = "running"
	// Queued: Doordeck has it and waits for the door.
	Queued Status = "queued"

	// Applied: the door has done it.
	Applied Status = "applied"
	// Confirmed: it was queued, and the door's list of users shows it done.
	Confirmed Status = "confirmed"
	// Partial: it was done for some of its people and not for others.
	Partial Status = "partial"
	// Failed: it was not done; the error says why.
	Failed Status = "failed"
	// Expired: its time was over before it could be done.
	Expired Status = "expired"
	// Cancelled: a later operation took its place.
	Cancelled Status = "cancelled"
	// Unknown: an unlock was sent and its outcome not learned. It is never sent again.
	Unknown Status = "unknown"

	// watched is kept of people of whom it is looked again whether it holds: something that was sent earlier
	// may still arrive at the door and undo it. It is shown as Running.
	watched Status = "watched"
)

// Final tells whether nothing follows any more.
func (s Status) Final() bool {
	switch s {
	case Applied, Confirmed, Partial, Failed, Expired, Cancelled, Unknown:
		return true
	}
	return false
}

// shown is the status as callers see it.
func (s Status) shown() Status {
	if s == watched {
		return Running
	}
	return s
}

// stage says what is left to do of an operation. Only what is to be sent holds up the operations behind it.
type stage string

const (
	stageSend   stage = "send"
	stageFollow stage = "follow"
	stageDone   stage = "done"
)

// fold is the status of an operation whose people have these, and what is left to do of it. A success is
// Confirmed when it had to be waited for. Where nobody succeeded, a failure says more than a time that was
// over, and that more than a cancellation.
func fold(people []Status) (Status, stage) {
	has := map[Status]bool{}
	for _, s := range people {
		has[s] = true
	}
	succeeded := has[Applied] || has[Confirmed]
	missed := has[Failed] || has[Expired] || has[Cancelled] || has[Unknown]
	switch {
	case has[Running], has[Accepted] && len(has) > 1:
		return Running, stageSend
	case has[Accepted]:
		return Accepted, stageSend
	case has[Queued]:
		return Queued, stageFollow
	case has[watched]:
		return Running, stageFollow
	case succeeded && missed:
		return Partial, stageDone
	}
	for _, s := range []Status{Confirmed, Applied, Unknown, Failed, Expired} {
		if has[s] {
			return s, stageDone
		}
	}
	return Cancelled, stageDone
}
