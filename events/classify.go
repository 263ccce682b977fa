package events

import "strconv"

// Class is what kind of event a resource is: the last two tokens of its subject.
type Class struct{ Class, Name string }

// Classes of credential resources. Those of events come from Classify.
var (
	credentialCreated   = Class{"credential", "created"}
	credentialUpdated   = Class{"credential", "updated"}
	credentialDestroyed = Class{"credential", "destroyed"}
)

// CredentialClass names what a webhook's action did to a credential.
func CredentialClass(action string) Class {
	switch action {
	case "CREATE":
		return credentialCreated
	case "DESTROY":
		return credentialDestroyed
	default:
		return credentialUpdated
	}
}

// Classify names an event by the range its code lies in. Only the ranges are certain; DoorFlow's sources
// disagree about single codes (https://developer.doorflow.com/api-ref/doorflow, guides/webhooks/audit-trail).
func Classify(code int64) Class {
	switch {
	case code >= 10 && code <= 18, code == 70:
		return Class{"access", "granted"}
	case code >= 20 && code <= 29, code >= 71 && code <= 73:
		return Class{"access", "denied"}
	case code >= 30 && code <= 37:
		return Class{"door", strconv.FormatInt(code, 10)}
	default:
		return Class{"other", strconv.FormatInt(code, 10)}
	}
}
