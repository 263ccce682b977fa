package passthrough

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/audit"
	"gatehouse/tokens"
)

const (
	// exchangeFor bounds the way to DoorFlow and back, once the caller's body is there.
	exchangeFor = 25 * time.Second
	maxAnswer   = 16 << 20
	// readAhead is how much of an answer is read before any of it is passed on: one that breaks off earlier
	// can still be answered as an error.
	readAhead = 64 << 10
	noteFor   = 5 * time.Second
)

// Handlers are the route /v1/connections/:account/doorflow/api/3/*. They return errors of this package and
// of tokens, and *invalid.Error; the server chooses the statuses.
type Handlers struct {
	// Base is where DoorFlow's API is reached.
	Base *url.URL
	// Client speaks with it as one account. Its errors are those of tokens.Keeper.Client.
	Client func(account string) *http.Client
	// Connection finds an account's connection, or tokens.ErrNotFound.
	Connection func(ctx context.Context, account string) (tokens.Connection, error)
	Audit      *audit.Log
	// Accounts returns the accounts that the caller is held to, nil for all; a nil function means all.
	Accounts func(echo.Context) []string
	Log      *slog.Logger

	within time.Duration // exchangeFor where it is 0
}

// Handle passes a request through, of whichever method the server has routed here. The server bounds the
// size of its body, and how many are under way.
func (h *Handlers) Handle(c echo.Context) error {
	r := c.Request()
	target, err := h.target(c)
	if err != nil {
		return err
	}
	e := &exchange{target: target, method: r.Method, header: requestHeader(r.Header)}
	if !e.reads() {
		if err := e.receive(r); err != nil {
			return err
		}
	}
	within := cmp.Or(h.within, exchangeFor)
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	// The body may have come slowly, and there must be time left to say how it ended.
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(within + noteFor))
	resp, err := h.audited(ctx, e)
	if err == nil {
		defer resp.Body.Close()
		err = h.answer(c, e, resp)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		h.warn(ctx, "a request was not passed through", e, err.Error())
	}
	return err
}

// warn logs what went wrong on the way, in words of our own.
func (h *Handlers) warn(ctx context.Context, what string, e *exchange, reason string, args ...any) {
	h.Log.Warn(what, append([]any{"account", e.target.Account, "request_id", audit.ActorFrom(ctx).RequestID, "method", e.method, "reason", reason}, args...)...)
}

// target judges the path, and whether the caller may use the connection. An account that the caller is not
// allowed looks like one that is not there.
func (h *Handlers) target(c echo.Context) (Target, error) {
	target, err := ParseTarget(c.Request().RequestURI)
	if err != nil {
		return Target{}, err
	}
	if h.Accounts != nil {
		if allowed := h.Accounts(c); allowed != nil && !slices.Contains(allowed, target.Account) {
			return Target{}, tokens.ErrNotFound
		}
	}
	connection, err := h.Connection(c.Request().Context(), target.Account)
	if err == nil && connection.Status != tokens.StatusActive {
		err = &NotActive{connection.Status}
	}
	return target, err
}

// audited sends the request. A write is recorded before it leaves, or it does not leave; and how it ended
// before anybody is told.
func (h *Handlers) audited(ctx context.Context, e *exchange) (*http.Response, error) {
	client := h.Client(e.target.Account)
	if e.reads() {
		resp, _, _, err := e.send(ctx, client, h.Base)
		return resp, err
	}
	entry := audit.Entry{
		Actor: audit.ActorFrom(ctx), Action: "doorflow.write", Account: e.target.Account, Target: e.method + " " + e.target.Sent, Outcome: audit.Started,
	}
	if e.target.Scope(e.method) == ScopeDoors {
		entry.Action = "doorflow.door"
	}
	started, err := h.Audit.Write(ctx, entry)
	if err != nil {
		return nil, err
	}
	resp, status, outcome, err := e.send(ctx, client, h.Base)
	entry.Started, entry.Status, entry.Outcome = started, status, outcome
	// It happened, whether or not there is time left.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteFor)
	defer cancel()
	if _, failed := h.Audit.Write(noting, entry); failed != nil {
		h.Log.Error("the outcome of a write to DoorFlow could not be recorded",
			"account", entry.Account, "request_id", entry.Actor.RequestID, "started", started, "outcome", outcome, "status", status, "error", failed)
	}
	return resp, err
}

// answer passes DoorFlow's answer on. Once it has begun it can only be broken off, which the client notices.
func (h *Handlers) answer(c echo.Context, e *exchange, resp *http.Response) error {
	body := bufio.NewReaderSize(resp.Body, readAhead)
	_, err := body.Peek(readAhead)
	length := resp.ContentLength
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		length = int64(body.Buffered())
	case !e.reads():
		return ErrBroken
	default:
		return unread(err)
	}
	w := c.Response()
	answerHeader(w.Header(), resp.Header, h.Base, e.target.Account)
	if length >= 0 && resp.StatusCode != http.StatusNoContent {
		w.Header().Set(echo.HeaderContentLength, strconv.FormatInt(length, 10))
	}
	w.WriteHeader(resp.StatusCode)
	n, err := io.Copy(w, io.LimitReader(body, maxAnswer))
	if err == nil && n == maxAnswer {
		if _, more := body.ReadByte(); more == nil {
			err = ErrTooLarge
		}
	}
	if err == nil {
		return nil
	}
	reason := kind(err)
	if errors.Is(err, ErrTooLarge) {
		reason = "too large"
	} else if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "write" {
		reason = "the client has gone"
	}
	h.warn(c.Request().Context(), "an answer of DoorFlow's was broken off", e, reason, "status", resp.StatusCode, "bytes", n)
	panic(http.ErrAbortHandler)
}
