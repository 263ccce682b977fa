package doordecksim

import (
	"crypto/ed25519"
	"net/http"
	"strings"
	"time"
)

const (
	soon      = 60 * time.Second // done at once up to here, queued beyond
	longest   = 14 * day         // and refused beyond this
	jwtType   = "application/jwt"
	maxShares = 25
)

// execution is one signed operation on its way through the checks.
type execution struct {
	*call
	entry  *LedgerEntry
	jwt    *jws
	chain  [][]byte
	key    ed25519.PublicKey // the leaf's
	issuer *user             // whom the leaf's key belongs to
	claims claims
	lock   *lock
	op     operation
}

// claims are those that every operation has.
type claims struct {
	iss, sub, jti string
	nbf, iat, exp float64
	operation     object
	kind          string
}

// refusal is why an operation goes no further.
type refusal struct {
	status int
	reason string
}

func refuse(status int, reason string) *refusal { return &refusal{status, reason} }

func malformed(reason string) *refusal { return refuse(http.StatusBadRequest, reason) }

func forbidden(reason string) *refusal { return refuse(http.StatusForbidden, reason) }

// step is one check. The auth token, which is the first half of the first, has been checked before.
type step struct {
	number int
	name   string
	check  func(*execution) *refusal
}

// steps are all checks in order; the first that fails answers. An operation that passes step 12 and is good for
// more than a minute is queued (13), and goes through 16 when its time comes.
func steps() []step {
	return []step{
		{1, "content type", (*execution).contentType},
		{2, "segments", (*execution).segments},
		{3, "header", (*execution).header},
		{4, "chain", (*execution).prove},
		{5, "signature", (*execution).signature},
		{6, "claims", (*execution).types},
		{7, "parties", (*execution).parties},
		{8, "times", (*execution).times},
		{9, "replay", (*execution).replay},
		{10, "access", (*execution).access},
		{11, "fields", (*execution).fields},
		{12, "people", (*execution).people},
		{13, "queue", (*execution).room},
		{14, "device", (*execution).device},
		{16, "last administrator", (*execution).lastAdmin},
	}
}

// execute decides on a signed operation.
func execute(c *call) reply {
	s := c.sim
	x := &execution{call: c, entry: &LedgerEntry{At: c.now, Lock: strings.ToLower(c.r.PathValue("id")), Caller: c.user.id}}
	answer := x.run()
	x.entry.Status = answer.status
	s.ledger.add(x.entry)
	s.o.Log.Info("operation", "type", x.entry.Operation, "lock", x.entry.Lock, "status", x.entry.Status,
		"outcome", x.entry.Outcome, "step", x.entry.Step, "reason", x.entry.Reason)
	return answer
}

func (x *execution) run() reply {
	for _, step := range steps() {
		if r := step.check(x); r != nil {
			x.entry.Outcome, x.entry.Step, x.entry.Check, x.entry.Reason = Refused, step.number, step.name, r.reason
			return fail(r.status, r.reason)
		}
		if step.number == 13 && x.later() {
			x.enqueue()
			return reply{status: http.StatusAccepted}
		}
	}
	x.sim.apply(x.lock, x.issuer, x.op, x.entry, x.now)
	return x.sim.done(x.claims.kind)
}

// done is the answer to an operation that was applied. A share that answers 200 has a body, as it once did.
func (s *Sim) done(kind string) reply {
	status := s.o.OtherStatus
	switch kind {
	case opAddUser:
		status = s.faults.shareStatus(s.o.AddStatus)
	case opBatch:
		status = s.faults.shareStatus(s.o.BatchStatus)
	}
	if status == http.StatusNoContent {
		return reply{status: status}
	}
	return reply{status: status, body: struct{}{}}
}
