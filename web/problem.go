package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/apikeys"
	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb"
	"gatehouse/oauth"
	"gatehouse/passthrough"
	"gatehouse/sessions"
	"gatehouse/sharing"
	"gatehouse/tokens"
	"gatehouse/webhooks"
)

// Problem is the body of every answer that is an error (RFC 9457, application/problem+json).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Instance is the request's id.
	Instance string `json:"instance,omitempty"`
	// Field names what was wrong in a request that was refused for one of its fields.
	Field string `json:"field,omitempty"`
	// ConnectionStatus is why an account's connection cannot be used.
	ConnectionStatus string `json:"connection_status,omitempty"`
	// IdentityStatus is why nothing can be signed as an identity.
	IdentityStatus string `json:"identity_status,omitempty"`

	retryAfter time.Duration
}

// statusClientGone is what logs and metrics say when nobody waits for the answer any more; no standard
// status means that, and nginx has made this number known.
const statusClientGone = 499

// sentinels is the table of errors that have a status of their own. A row is all that a new one needs.
// What a client reads stands here and not in the error, whose text is for the log.
var sentinels = []struct {
	err        error
	status     int
	slug       string
	detail     string
	retryAfter time.Duration
}{
	{errUnauthorized, http.StatusUnauthorized, "unauthorized", "send a valid key as Authorization: Bearer KEY", 0},
	{errWrongKey, http.StatusUnauthorized, "wrong-key", "this is no key that works; it may have been revoked, or have expired", 0},
	{errForbidden, http.StatusForbidden, "forbidden", "the key does not have the scope that this needs", 0},

	{errKeyRate, http.StatusTooManyRequests, "rate-limited", "this key asks for more than it may; RateLimit says how much that is", 0},
	{errAddressRate, http.StatusTooManyRequests, "rate-limited", "your address asks for more than it may; RateLimit says how much that is", 0},
	{errGuessing, http.StatusTooManyRequests, "too-many-attempts", "too many wrong keys came from your address", 0},
	{errKeyStreams, http.StatusTooManyRequests, "too-many-streams", "this key has as many streams open as it may", 5 * time.Second},
	{errHeaders, http.StatusRequestHeaderFieldsTooLarge, "too-many-headers", "a request may have 100 headers", 0},
	{errCrowded, http.StatusTooManyRequests, "crowded", "too many requests of your address are under way", time.Second},
	{errLargeBodies, http.StatusTooManyRequests, "overloaded", "too many large bodies are being read; send it again", time.Second},

	{events.ErrOverloaded, http.StatusTooManyRequests, "overloaded", "too much is waiting to be stored; send it again", time.Second},
	{events.ErrStorage, http.StatusServiceUnavailable, "storage", "it could not be stored; send it again", 5 * time.Second},
	{events.ErrClosed, http.StatusServiceUnavailable, "shutting-down", "the gateway is shutting down; send it again", 5 * time.Second},
	{events.ErrNotFound, http.StatusNotFound, "not-found", "there is no such message, or it is older than the retention", 0},
	{events.ErrNotReplayable, http.StatusConflict, "not-replayable", "the stored message cannot be said again", 0},
	{events.ErrTooManyStreams, http.StatusTooManyRequests, "too-many-streams", "too many streams are open", 5 * time.Second},

	{apikeys.ErrNotFound, http.StatusNotFound, "not-found", "there is no such API key", 0},
	{apikeys.ErrLastAdmin, http.StatusConflict, "last-admin-key", "without this key nobody could make keys any more; make another one with the scope admin first", 0},
	{apikeys.ErrTooMany, http.StatusConflict, "too-many-keys", "there are as many keys as there may be; revoke some", 0},

	{sessions.ErrLink, http.StatusGone, "sign-in-link", "this sign-in link has been used, or is older than ten minutes; make another one with gatehouse dashboard link", 0},
	{sessions.ErrTooManyLinks, http.StatusConflict, "too-many-links", "this key has 20 unused sign-in links; use one of them, or wait ten minutes", 0},
	{sessions.ErrNotFound, http.StatusNotFound, "not-found", "your key has no such session, or it has ended", 0},
	{errCrossOrigin, http.StatusForbidden, "cross-origin", "this was sent from another site; open the dashboard itself and do it there", 0},

	{audit.ErrNotFound, http.StatusNotFound, "not-found", "there is no such entry of the audit log", 0},
	{audit.ErrHeld, http.StatusForbidden, "forbidden", "the chain goes over everything, and the key is held to some accounts or identities", 0},
	{audit.ErrVerifying, http.StatusTooManyRequests, "verifying", "the audit log is being verified already", 10 * time.Second},

	// A sender never learns which check failed.
	{webhooks.ErrUnauthorized, http.StatusUnauthorized, "unauthorized", "", 0},
	{webhooks.ErrTooLarge, http.StatusRequestEntityTooLarge, "too-large", "the body may have 1 MiB", 0},
	{webhooks.ErrIncomplete, http.StatusBadRequest, "incomplete", "the body ended too early", 0},
	{webhooks.ErrNoEndpoint, http.StatusNotFound, "not-found", "there is no such endpoint", 0},
	{webhooks.ErrNoDelivery, http.StatusNotFound, "not-found", "there is no such delivery, or it is older than the retention", 0},
	{webhooks.ErrEndpointDisabled, http.StatusConflict, "endpoint-disabled", "nothing is sent to this endpoint while it is disabled; enable it first", 0},
	{webhooks.ErrMessageGone, http.StatusConflict, "message-gone", "the delivery's message is older than the retention", 0},
	{webhooks.ErrTesting, http.StatusTooManyRequests, "testing", "8 endpoints are being tested already; send it again", 5 * time.Second},
	{webhooks.ErrTooManyEndpoints, http.StatusConflict, "too-many-endpoints", "there are 1000 endpoints; delete some", 0},
	{doorflow.ErrUnparsable, http.StatusBadRequest, "unparsable", "the body must be JSON: notifications, or an array of them", 0},

	{oauth.ErrLinkNotFound, http.StatusNotFound, "not-found", "there is no such connect link", 0},
	{oauth.ErrLinkSpent, http.StatusConflict, "link-spent", "the connect link has been used", 0},
	{oauth.ErrLinkExpired, http.StatusGone, "link-expired", "the connect link has expired; make a new one", 0},
	{oauth.ErrLinkNotPending, http.StatusConflict, "link-not-pending", "the connect link does not wait to be completed", 0},
	{oauth.ErrCodeWrong, http.StatusForbidden, "code-wrong", "the code does not belong to this connect link", 0},

	{natsauth.ErrExists, http.StatusConflict, "nats-credential-exists", "there is an active NATS credential of this name; revoke it first", 0},
	{natsauth.ErrNotFound, http.StatusNotFound, "not-found", "there is no such NATS credential", 0},
	{natsauth.ErrTooMany, http.StatusConflict, "too-many-nats-credentials", "there are 1000 active NATS credentials; revoke some first", 0},
	{natsauth.ErrExternal, http.StatusConflict, "nats-external", natsauth.ErrExternal.Error(), 0},
	{natsauth.ErrUnavailable, http.StatusServiceUnavailable, "jetstream-unavailable", "JetStream did not make the durable consumer; nothing was minted", 5 * time.Second},

	{tokens.ErrNotFound, http.StatusNotFound, "not-found", "there is no connection of this account", 0},
	{tokens.ErrNotConnected, http.StatusConflict, "not-connected", "the account is not connected to DoorFlow", 0},
	{tokens.ErrNeedsReconnect, http.StatusConflict, "needs-reconnect", "the account must be connected to DoorFlow again", 0},
	{tokens.ErrFewerScopes, http.StatusConflict, "fewer-scopes", "the account is connected with more scopes; disconnect it first", 0},
	{errBusy, http.StatusTooManyRequests, "busy", "too many requests to DoorFlow are under way; send it again", time.Second},
	{passthrough.ErrIncomplete, http.StatusBadRequest, "incomplete", "the body ended too early; nothing was done", 0},
	{passthrough.ErrTokenRefused, http.StatusBadGateway, "token-refused", "DoorFlow refuses the account's access token; nothing was done", 0},
	{passthrough.ErrUnreachable, http.StatusBadGateway, "doorflow-unreachable", "DoorFlow cannot be reached; nothing was sent", 5 * time.Second},
	{passthrough.ErrUnknown, http.StatusGatewayTimeout, "outcome-unknown", "it was sent to DoorFlow, and no answer came: look whether it was done before you send it again", 0},
	{passthrough.ErrNoAnswer, http.StatusGatewayTimeout, "doorflow-silent", "DoorFlow did not answer in time", 5 * time.Second},
	{passthrough.ErrBroken, http.StatusBadGateway, "doorflow-broken", "DoorFlow's answer broke off or makes no sense; a write may have been done: look before you send it again", 0},
	{passthrough.ErrRedirect, http.StatusBadGateway, "doorflow-redirect", "DoorFlow answered with a redirect, which is not followed", 0},
	{passthrough.ErrTooLarge, http.StatusBadGateway, "doorflow-too-large", "DoorFlow's answer is over 16 MiB; ask for pages", 0},

	{sharing.ErrOff, http.StatusServiceUnavailable, "doordeck-off", "this gateway has no Doordeck application: set GATEHOUSE_DOORDECK_ISSUER, GATEHOUSE_DOORDECK_SIGNING_KEY_FILE and GATEHOUSE_DOORDECK_KEY_ID", 0},
	{sharing.ErrNoIdentity, http.StatusNotFound, "not-found", "there is no such identity", 0},
	{sharing.ErrNoOperation, http.StatusNotFound, "not-found", "there is no such operation, or it is older than the retention", 0},
	{sharing.ErrForbidden, http.StatusForbidden, "forbidden", "the key does not have the scopes that this operation needs: operations:write for a share or revoke, operations:admin for the role ADMIN, operations:provision to make people known, operations:unlock", 0},
	{sharing.ErrOtherOperation, http.StatusConflict, "id-used", "this id stands for another operation that you asked for; choose another id", 0},
	{sharing.ErrTooManyOperations, http.StatusTooManyRequests, "too-many-operations", "as many operations of this identity wait as may; send it again when some have ended", 10 * time.Second},
	{sharing.ErrTooManyIdentities, http.StatusConflict, "too-many-identities", "there are as many identities as there may be; delete some", 0},
	{sharing.ErrReserved, http.StatusConflict, "reserved", "the person's subject or address is an identity's", 0},
	{sharing.ErrNotPending, http.StatusConflict, "not-pending", "the identity does not wait for a code; its status says what it is", 0},
	{sharing.ErrNoCode, http.StatusConflict, "no-code", "too many wrong codes were tried; have another one sent with verify", 0},
	{sharing.ErrCodeWrong, http.StatusForbidden, "code-wrong", "Doordeck does not take the code: it is wrong, or older than five minutes", 0},
	{sharing.ErrBusy, http.StatusTooManyRequests, "busy", "the identity is being worked on; send it again", 2 * time.Second},
	{sharing.ErrNoDoor, http.StatusNotFound, "not-found", "there is no such door, or the identity may not see it", 0},
	{sharing.ErrNotDoorAdmin, http.StatusForbidden, "not-door-admin", "the identity is no administrator of the door", 0},
	{sharing.ErrDoordeckBusy, http.StatusTooManyRequests, "doordeck-busy", "Doordeck has been asked too often; wait", 30 * time.Second},
	{sharing.ErrDoordeckAway, http.StatusServiceUnavailable, "doordeck-away", "Doordeck cannot be reached or does not answer; send it again", 5 * time.Second},
	{sharing.ErrDoordeckRefuses, http.StatusBadGateway, "doordeck-refuses", "Doordeck refuses this gateway or this request; the gateway's log and doctor tell more", 0},

	{tokens.ErrUnavailable, http.StatusServiceUnavailable, "doorflow-unavailable", "DoorFlow gives no access token at the moment", 10 * time.Second},
}

// problemOf chooses the status for an error, and says whether the error is one that was expected.
func problemOf(err error) (p Problem, expected bool) {
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return newProblem(s.status, s.slug, s.detail, retryAfter(err, s.retryAfter)), true
		}
	}
	if inactive, ok := errors.AsType[*passthrough.NotActive](err); ok {
		p := newProblem(http.StatusConflict, "not-active", "the account's connection to DoorFlow is "+inactive.Status+", and must be active", 0)
		p.ConnectionStatus = inactive.Status
		return p, true
	}
	if unready, ok := errors.AsType[*sharing.NotReadyError](err); ok {
		p := newProblem(http.StatusConflict, "identity-not-ready", "nothing can be signed as this identity: it is "+unready.Status, 0)
		p.IdentityStatus = unready.Status
		return p, true
	}
	if taken, ok := errors.AsType[*sharing.TakenError](err); ok {
		p := newProblem(http.StatusConflict, "taken", "another identity has this "+taken.Field+", or had it before it was deleted", 0)
		p.Field = taken.Field
		return p, true
	}
	if fault, ok := errors.AsType[*invalid.Error](err); ok {
		p := newProblem(http.StatusBadRequest, "invalid", fault.Detail, 0)
		p.Field = fault.Field
		return p, true
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge, "too-large", "the body may have "+size(large.Limit), 0), true
	}
	if refused, ok := errors.AsType[*echo.HTTPError](err); ok && refused.Code >= 400 && refused.Code < 500 {
		return newProblem(refused.Code, "", "", retryAfter(err, 0)), true
	}
	if errors.Is(err, context.Canceled) { // by us: the client's going away is seen before
		return newProblem(http.StatusServiceUnavailable, "shutting-down", "send it again", 5*time.Second), true
	}
	if sqldb.Broken(err) {
		return newProblem(http.StatusServiceUnavailable, "unavailable", "the database does not answer; try again", 5*time.Second), false
	}
	return newProblem(http.StatusInternalServerError, "internal", "", retryAfter(err, 0)), false
}

// size is a limit as people say it.
func size(bytes int64) string {
	if bytes < 1<<20 {
		return strconv.FormatInt(bytes>>10, 10) + " KiB"
	}
	return strconv.FormatInt(bytes>>20, 10) + " MiB"
}

func newProblem(status int, slug, detail string, retryAfter time.Duration) Problem {
	p := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, retryAfter: retryAfter}
	if slug != "" {
		p.Type = "/problems/" + slug
	}
	if status == http.StatusInternalServerError {
		p.Title = "internal error"
	}
	return p
}

// retryAfter is how long the client should wait: what the error says, else what the table says.
func retryAfter(err error, usual time.Duration) time.Duration {
	if e, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok {
		return e.RetryAfter()
	}
	return usual
}

// problem answers an error. Errors that nobody expected are logged here, and the client learns nothing
// but the request's id.
func (s *Server) problem(err error, c echo.Context) {
	ctx := c.Request().Context()
	if errors.Is(ctx.Err(), context.Canceled) {
		if !c.Response().Committed {
			c.Response().WriteHeader(statusClientGone) // for the log and the metric; nobody reads it
		}
		return
	}
	p, expected := problemOf(err)
	if !expected && !errors.Is(err, errPanic) {
		s.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("request_id", RequestID(ctx)),
			slog.String("route", routeOf(c)), slog.Any("error", err))
	}
	if c.Response().Committed {
		return
	}
	p.Instance = RequestID(ctx)
	header := c.Response().Header()
	if p.retryAfter > 0 {
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	if s.problemPage(c, p) {
		return
	}
	if p.Status == http.StatusUnauthorized && c.Path() != WebhookPath {
		header.Set(echo.HeaderWWWAuthenticate, `Bearer realm="gatehouse"`)
	}
	if lacking, ok := errors.AsType[lacksScope](err); ok { // RFC 6750, section 3.1
		header.Set(echo.HeaderWWWAuthenticate, `Bearer realm="gatehouse", error="insufficient_scope", scope="`+string(lacking)+`"`)
	}
	writeProblem(c, p)
}

func writeProblem(c echo.Context, p Problem) {
	if c.Request().Method == http.MethodHead {
		_ = c.NoContent(p.Status)
		return
	}
	body, err := json.Marshal(p)
	if err != nil { // texts and numbers: cannot be
		_ = c.NoContent(p.Status)
		return
	}
	_ = c.Blob(p.Status, "application/problem+json", body) // if the client is gone, so be it
}
