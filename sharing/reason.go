package sharing

import (
	"errors"
	"net/http"

	"gatehouse/doordeck"
)

// Why something failed or expired, or has not been done yet. The words are a contract with callers.
const (
	whyNoIdentity   = "no_identity"            // the identity has been deleted
	whyNotReady     = "identity_not_ready"     // nothing may be signed as it
	whyUnreachable  = "doordeck_unreachable"   // no connection to Doordeck
	whyUnavailable  = "doordeck_unavailable"   // Doordeck failed, or did not answer
	whyBusy         = "doordeck_busy"          // Doordeck was asked too often
	whyOffline      = "door_offline"           // the door is not connected
	whyNoAnswer     = "door_no_answer"         // the door did not answer in time
	whyRefused      = "refused"                // Doordeck says no, and does not say why
	whyNoLock       = "lock_not_found"         // there is none, or the identity does not see it
	whyNotAdmin     = "not_administrator"      // the identity is no administrator of the lock
	whyNoSuchPerson = "not_in_directory"       // Doordeck does not know the person, by what they were named by
	whyToken        = "identity_token_refused" // Doordeck does not take the identity token
	whyProvision    = "provision_refused"      // Doordeck does not make the person known
	whyReserved     = "reserved"               // the person has the subject or address of an identity
	whySelf         = "own_identity"           // the person is the identity, which would lose the lock
	whyTwice        = "named_twice"            // the person was named before, for something else
	whyUnsignable   = "unsignable"             // what the directory says of the person cannot be signed
	whyEarlier      = "earlier_queued"         // something that was asked earlier waits for the door
	whyOvertaken    = "overtaken"              // something that was asked later takes its place
	whyAgeUnknown   = "age_unknown"            // it seems to come from the future
	whyUndone       = "undone"                 // something that was sent earlier came after it; it is sent again
)

// classOf is the class of a failure of a call.
func classOf(err error) doordeck.Class {
	if e, ok := errors.AsType[*doordeck.Error](err); ok {
		return e.Class
	}
	return doordeck.Transient
}

// unsent tells whether Doordeck cannot have seen the call.
func unsent(err error) bool {
	e, ok := errors.AsType[*doordeck.Error](err)
	return ok && e.Unsent
}

// underWay tells whether a call that failed may still reach the door: no answer came, or it was that of somebody
// in between, or the door has not answered.
func underWay(err error) bool {
	e, ok := errors.AsType[*doordeck.Error](err)
	return !ok || e.Status == 0 || e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
}

// why is the word for a failure of a call.
func why(err error) string {
	switch classOf(err) {
	case doordeck.Offline:
		return whyOffline
	case doordeck.NoAnswer:
		return whyNoAnswer
	case doordeck.TooMany:
		return whyBusy
	case doordeck.Transient, doordeck.Conflict:
		if unsent(err) {
			return whyUnreachable
		}
		return whyUnavailable
	}
	return whyRefused
}
