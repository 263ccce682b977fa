package dashboard

import (
	"strings"

	"gatehouse/internal/egress"
	"gatehouse/webhooks"
)

// meanings say what an outcome is, for those who have to do something about it.
var meanings = map[webhooks.Outcome]string{
	webhooks.OutcomeDelivered:                "It answered with 2xx: it has the message.",
	webhooks.OutcomeRedirected:               "It answered with a redirect. Those are not followed: give the endpoint the address that it leads to.",
	webhooks.OutcomeGone:                     "It answered 410, which disables the endpoint.",
	webhooks.OutcomeBusy:                     "It asked for patience (429 or 503).",
	webhooks.OutcomeRefused:                  "It refused the message (4xx). Look at its secret and its path.",
	webhooks.OutcomeFailed:                   "It broke down over the message (5xx). Its own log tells more.",
	webhooks.OutcomeOdd:                      "It answered with a status that no answer has.",
	webhooks.OutcomeUnsigned:                 "Its secret cannot be opened, and nothing was sent. Rotate the secret.",
	webhooks.OutcomeMissing:                  "The message is not there any more, and nothing was sent.",
	webhooks.OutcomeCutOff:                   "The gateway died meanwhile. The endpoint may have got the message.",
	webhooks.Outcome(egress.FailureURL):      "Nothing may be sent to its URL. Change the URL, or let GATEHOUSE_EGRESS_ALLOW name the address.",
	webhooks.Outcome(egress.FailureDNS):      "The name in its URL leads nowhere.",
	webhooks.Outcome(egress.FailureRefused):  "Its address is not one that may be sent to. GATEHOUSE_EGRESS_ALLOW can name it.",
	webhooks.Outcome(egress.FailureConnect):  "Nobody took the connection. Is it running, and does a firewall let the gateway through?",
	webhooks.Outcome(egress.FailureTLS):      "Its certificate is not trusted. GATEHOUSE_EGRESS_CA_FILE can name who issued it.",
	webhooks.Outcome(egress.FailureTimeout):  "It did not answer within 15 seconds. It may have got the message: receivers should answer first and work later.",
	webhooks.Outcome(egress.FailureAnswer):   "The connection broke, or what came was not HTTP. It may have got the message.",
	webhooks.Outcome(egress.FailureCanceled): "The gateway was stopped meanwhile; it sends it again.",
}

func meaning(o webhooks.Outcome) string { return meanings[o] }

// brief are outcomes in the few words that a list has room for, where the outcome's own would say too little.
var brief = map[webhooks.Outcome]string{
	webhooks.OutcomeOdd:                     "odd status",
	webhooks.OutcomeUnsigned:                "no secret to sign with",
	webhooks.OutcomeMissing:                 "message gone",
	webhooks.Outcome(egress.FailureURL):     "URL not allowed",
	webhooks.Outcome(egress.FailureDNS):     "name not found",
	webhooks.Outcome(egress.FailureRefused): "address not allowed",
	webhooks.Outcome(egress.FailureConnect): "no connection",
	webhooks.Outcome(egress.FailureTLS):     "TLS failed",
	webhooks.Outcome(egress.FailureTimeout): "no answer in time",
}

func briefly(o webhooks.Outcome) string {
	if said, ok := brief[o]; ok {
		return said
	}
	return strings.ReplaceAll(string(o), "_", " ")
}

// outcomeTone is how an outcome looks.
func outcomeTone(o webhooks.Outcome) string {
	switch o {
	case webhooks.OutcomeDelivered:
		return "good"
	case webhooks.OutcomeCutOff, webhooks.OutcomeBusy, webhooks.Outcome(egress.FailureCanceled):
		return "warn"
	}
	return "bad"
}
