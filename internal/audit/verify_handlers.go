package audit

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

var (
	// ErrHeld says that a caller who is held to accounts or identities asked for what is over all of them.
	ErrHeld = errors.New("audit: the caller is held to accounts or identities")
	// ErrVerifying says that a verification is under way, which is work enough for one gateway.
	ErrVerifying = errors.New("audit: a verification is under way")
)

const (
	// tellEvery is how often the caller is told how far a verification has come.
	tellEvery = time.Second
	// tellWithin is how long a caller may take to read a line.
	tellWithin = 30 * time.Second
)

// Progress is how far a verification has come, or at its end the report.
type Progress struct {
	Done   int64   `json:"done,omitempty"`
	Of     int64   `json:"of,omitempty"`
	Report *Report `json:"report,omitempty"`
}

// Verified is what the last verification by this process found, of those that were asked for without heads.
type Verified struct {
	At     time.Time
	Report Report
}

// Last returns it, nil where there is none, or none that the caller may see.
func (h *Handlers) Last(c echo.Context) *Verified {
	if h.held(c) {
		return nil
	}
	return h.verified.Load()
}

func (h *Handlers) held(c echo.Context) bool {
	return h.Accounts != nil && h.Accounts(c) != nil || h.Identities != nil && h.Identities(c) != nil
}

// Heads reads the heads that a request's query has kept. Errors: ErrHeld, *invalid.Error.
func (h *Handlers) Heads(c echo.Context) (kept Heads, err error) {
	if h.held(c) {
		return nil, ErrHeld
	}
	for _, s := range c.QueryParams()["head"] {
		heads, err := ParseHeads(s)
		if err != nil {
			return nil, err
		}
		kept = append(kept, heads...)
	}
	return kept, nil
}

// Verify is GET /v1/audit/verify. An answer that does not end with a report was broken off.
func (h *Handlers) Verify(c echo.Context) error {
	return h.Prove(c, "application/x-ndjson", func(p Progress) error { return json.NewEncoder(c.Response()).Encode(p) })
}

// Prove verifies the log, and tells the caller about once a second how far it is; what is told is an answer of the
// media type. It ends with the request. One is under way at a time.
func (h *Handlers) Prove(c echo.Context, media string, write func(Progress) error) error {
	kept, err := h.Heads(c)
	if err != nil {
		return err
	}
	if !h.verifying.CompareAndSwap(false, true) {
		return ErrVerifying
	}
	defer h.verifying.Store(false)
	rc := http.NewResponseController(c.Response().Writer)
	// The server's time limits are for requests that are answered at once.
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
	c.Response().Header().Set(echo.HeaderContentType, media)
	tell := func(p Progress) {
		_ = rc.SetWriteDeadline(time.Now().Add(tellWithin))
		_ = write(p) // who is gone has ended the request's context
		_ = rc.Flush()
	}
	told := time.Now()
	report, err := h.Log.Verify(c.Request().Context(), kept, func(done, of int64) {
		if time.Since(told) >= tellEvery {
			told = time.Now()
			tell(Progress{Done: done, Of: of})
		}
	})
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		h.verified.Store(&Verified{time.Now(), report})
	}
	tell(Progress{Report: &report})
	return nil
}
