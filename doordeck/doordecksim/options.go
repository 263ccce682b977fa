package doordecksim

import (
	"crypto/x509"
	"log/slog"
	"net/http"
	"time"
)

// Options describe the simulated cloud. The zero value of every field has a usable meaning.
type Options struct {
	// Now is the clock; nil means time.Now. Advance and Faults.ClockOffset come on top.
	Now func() time.Time
	// Applications may sign OpenID tokens. None means one with DefaultIssuer and three keys of its own, which
	// Sim.SigningKey gives out. People and locks are seeded for the first.
	Applications []Application
	// Empty leaves out the seeded people and locks.
	Empty bool
	// Roots are certificates that the chains of signed operations may end in, besides the simulation's own.
	Roots []*x509.Certificate
	// Strict refuses what old clients did: tokens as application/json, segments in another form than
	// base64url without padding, and a clock that is not exact (Leeway is 0).
	Strict bool
	// Leeway is how far nbf and iat may lie ahead; default 60 s.
	Leeway time.Duration
	// LeafLife is how long a certificate for an ephemeral key is good; default 30 days.
	LeafLife time.Duration
	// CodeLife is how long a verification code is good; default 5 min.
	CodeLife time.Duration
	// MaxPending bounds a user's codes at one time; default 5.
	MaxPending int
	// VerifyNoContent answers a sent code with 204, as one document has it, instead of naming the method.
	VerifyNoContent bool
	// AddStatus, BatchStatus and OtherStatus answer a share, a batch and every other operation that was done;
	// default 204, 204 and 200.
	AddStatus, BatchStatus, OtherStatus int
	// QueueUnlocks queues an unlock that is good for more than a minute, which is a 400 otherwise.
	QueueUnlocks bool
	// KeepLastAdmin refuses with 409 to take the last administrator off a lock.
	KeepLastAdmin bool
	// QueueDelay is how long a queued operation waits although its lock is reachable; default none.
	QueueDelay time.Duration
	// NewCode makes verification codes; nil means six random digits.
	NewCode func() string
	// SendCode stands for the mail and the text message: it gets every code. It may be called from any
	// goroutine. nil sends nothing; the codes can be had from Sim.Code and /sim/codes.
	SendCode func(Code)
	Log      *slog.Logger // nil discards
}

func withDefaults(o Options) Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Leeway = orElse(o.Leeway, 60*time.Second)
	if o.Strict {
		o.Leeway = 0
	}
	o.LeafLife = orElse(o.LeafLife, 30*24*time.Hour)
	o.CodeLife = orElse(o.CodeLife, 5*time.Minute)
	o.MaxPending = orElse(o.MaxPending, 5)
	o.AddStatus = orElse(o.AddStatus, http.StatusNoContent)
	o.BatchStatus = orElse(o.BatchStatus, http.StatusNoContent)
	o.OtherStatus = orElse(o.OtherStatus, http.StatusOK)
	if o.NewCode == nil {
		o.NewCode = sixDigits
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func orElse[T ~int | ~int64](value, otherwise T) T {
	if value <= 0 {
		return otherwise
	}
	return value
}
