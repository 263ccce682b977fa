package webhooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
)

// maxBody is how large a webhook may be, in bytes.
const maxBody = 1 << 20

var (
	// ErrUnauthorized is all a sender learns of a request that could not be proven.
	ErrUnauthorized = errors.New("webhooks: the request is not proven to be DoorFlow's")
	// ErrTooLarge is a body over 1 MiB.
	ErrTooLarge = errors.New("webhooks: the body is larger than 1 MiB")
	// ErrIncomplete is a body that ended, or stalled, before it was whole.
	ErrIncomplete = errors.New("webhooks: the body could not be read to its end")
)

// ReceiverConfig is what a Receiver needs.
type ReceiverConfig struct {
	DB       *sqldb.DB
	Log      *events.Log
	Verifier *doorflow.Verifier
	API      *url.URL // what notifications may point at
	// Connected tells whether an account has an active connection. It must be quick; a notification of
	// an account it does not know is kept all the same.
	Connected func(account string) bool
	// Arrived is called with the accounts whose new items have been stored.
	Arrived    func(account string)
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Now        func() time.Time
}

// Receiver answers POST /webhooks/doorflow.
type Receiver struct {
	ReceiverConfig
	inbox   *inbox
	rows    *events.Bulk[*item]
	metrics *receiverMetrics
	last    atomic.Int64 // Unix milliseconds of the last request that was proven
}

// NewReceiver makes one.
func NewReceiver(ctx context.Context, c ReceiverConfig) (*Receiver, error) {
	in, err := newInbox(ctx, c.DB)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	r := &Receiver{ReceiverConfig: c, inbox: in}
	r.rows = events.NewBulk(c.Log, in.write, func(it *item) int { return len(it.message.Body) + len(it.note.Raw) + 512 })
	r.last.Store(c.Now().UnixMilli())
	r.metrics = newReceiverMetrics(c.Registerer, func() float64 { return float64(c.Now().UnixMilli()-r.last.Load()) / 1000 })
	return r, nil
}

// report is the one wide line that is logged for each request.
type report struct {
	outcome, reason           string
	secret, bytes, items      int
	fresh, doubles, flagged   int
	account                   string
	started                   time.Time
	verified, parsed, written time.Duration
}

// Handle takes one webhook: prove the raw bytes, store what they say, answer. It returns nil only after
// the commit.
func (r *Receiver) Handle(c echo.Context) error {
	rep := report{started: time.Now(), outcome: "stored", secret: -1}
	err := r.accept(c, &rep)
	r.metrics.done(&rep)
	r.log(c, &rep, err)
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusOK)
}

func (r *Receiver) accept(c echo.Context, rep *report) error {
	body, err := readBody(c.Request())
	rep.bytes = len(body)
	if err != nil {
		rep.outcome, rep.reason = "refused", reasonOf(err)
		return err
	}
	rep.secret, err = r.Verifier.Verify(c.Request().Header, body)
	rep.verified = time.Since(rep.started)
	if err != nil {
		rep.outcome, rep.reason = "unauthorized", reasonOf(err)
		return ErrUnauthorized
	}
	now := r.Now()
	r.last.Store(now.UnixMilli())
	notes, err := doorflow.ParseNotifications(body)
	if err != nil {
		rep.outcome, rep.reason = "refused", reasonOf(err)
		return err
	}
	items, err := r.prepare(notes, now, rep)
	rep.parsed = time.Since(rep.started)
	if err != nil {
		rep.outcome, rep.reason = "refused", reasonOf(err)
		return err
	}
	if len(items) == 0 {
		return nil
	}
	if err := r.rows.Do(c.Request().Context(), items); err != nil {
		rep.outcome, rep.reason = "not_stored", reasonOf(err)
		return err
	}
	rep.written = time.Since(rep.started)
	r.inbox.noted(items)
	r.stored(items, rep)
	return nil
}

// readBody reads a body of at most 1 MiB.
func readBody(req *http.Request) ([]byte, error) {
	if req.ContentLength > maxBody {
		return nil, ErrTooLarge
	}
	var body bytes.Buffer
	// Memory follows what has come, not what was announced.
	body.Grow(int(min(max(req.ContentLength, 0)+bytes.MinRead, 16<<10)))
	if _, err := body.ReadFrom(io.LimitReader(req.Body, maxBody+1)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	if body.Len() > maxBody {
		return nil, ErrTooLarge
	}
	return body.Bytes(), nil
}

func (r *Receiver) prepare(notes []doorflow.Notification, now time.Time, rep *report) ([]*item, error) {
	items := make([]*item, len(notes))
	for i, n := range notes {
		target, flag := n.Target(r.API)
		if flag != "" {
			rep.flagged++
		}
		var err error
		if items[i], err = newItem(n, target, flag, r.Connected(n.AccountID), now); err != nil {
			return nil, err
		}
	}
	if rep.items = len(items); rep.items > 0 {
		rep.account = notes[0].AccountID
	}
	return items, nil
}

// stored counts what was new and wakes who waits for it.
func (r *Receiver) stored(items []*item, rep *report) {
	woken := ""
	for i, it := range items {
		if it.double {
			rep.doubles++
		} else {
			rep.fresh++
		}
		if account := it.note.AccountID; it.flag == "" && (i == 0 || account != woken) {
			woken = account
			r.Arrived(account)
		}
	}
}

// slow is from when on it is said where a request's time went.
const slow = 250 * time.Millisecond

// log writes the request's one line. Nothing in it is secret; the account is escaped.
func (r *Receiver) log(c echo.Context, rep *report, err error) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
	}
	ctx := c.Request().Context()
	if !r.Logger.Enabled(ctx, level) {
		return
	}
	took := time.Since(rep.started)
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("outcome", rep.outcome), slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
		slog.String("remote", c.RealIP()), slog.String("account", events.Token(rep.account)),
		slog.Int("bytes", rep.bytes), slog.Int("items", rep.items), slog.String("took_ms", millis(took)))
	// What is the same nearly always is said when it is not.
	for _, n := range [...]struct {
		name  string
		count int
	}{{"doubles", rep.doubles}, {"flagged", rep.flagged}, {"secret_index", rep.secret}} {
		if n.count > 0 {
			attrs = append(attrs, slog.Int(n.name, n.count))
		}
	}
	if took > slow {
		attrs = append(attrs, slog.String("verified_ms", millis(rep.verified)), slog.String("parsed_ms", millis(rep.parsed)),
			slog.String("stored_ms", millis(rep.written)))
	}
	if err != nil {
		attrs = append(attrs, slog.String("reason", rep.reason))
	}
	if errors.Is(err, events.ErrStorage) {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	r.Logger.LogAttrs(ctx, level, "webhook", attrs...)
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 3, 64)
}

type refusal struct {
	err           error
	outcome, word string
}

// refusals are why a request is not stored, with what is counted then.
func refusals() []refusal {
	return []refusal{
		{doorflow.ErrSignatureMissing, "unauthorized", "signature_missing"},
		{doorflow.ErrSignatureMalformed, "unauthorized", "signature_malformed"},
		{doorflow.ErrSignatureMismatch, "unauthorized", "signature_mismatch"},
		{doorflow.ErrTimestampMalformed, "unauthorized", "timestamp_malformed"},
		{doorflow.ErrTimestampStale, "unauthorized", "timestamp_stale"},
		{doorflow.ErrUnparsable, "refused", "unparsable"},
		{ErrTooLarge, "refused", "too_large"},
		{ErrIncomplete, "refused", "body_incomplete"},
		{events.ErrOverloaded, "not_stored", "overloaded"},
		{events.ErrStorage, "not_stored", "storage"},
		{events.ErrClosed, "not_stored", "shutting_down"},
		{context.Canceled, "not_stored", "sender_gone"},
	}
}

// reasonOf is the bounded word for why a request was not stored. It goes into the log and a metric, never
// to the sender.
func reasonOf(err error) string {
	for _, known := range refusals() {
		if errors.Is(err, known.err) {
			return known.word
		}
	}
	return "other"
}
