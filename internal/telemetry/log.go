package telemetry

import (
	"context"
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes one line per record, as JSON or (format "text") as key=value,
// with times in UTC, and redacts secrets on their way out. Redacting is a second line of defence: code
// that holds a secret holds a vault.Secret, which shows itself to nobody.
func NewLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(&redactor{next: slog.NewTextHandler(w, options)})
	}
	return slog.New(&redactor{next: slog.NewJSONHandler(w, options)})
}

// redactor cleans records before the next handler formats them. It is not a ReplaceAttr function because
// that slows every line down, while a record that is clean already passes here as it is.
type redactor struct {
	next slog.Handler
	// secret tells that this is the inside of a group whose name promises secrets.
	secret bool
}

func (h *redactor) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *redactor) Handle(ctx context.Context, r slog.Record) error {
	r.Time, r.Message = r.Time.UTC(), Scrub(r.Message)
	dirty := false
	r.Attrs(func(a slog.Attr) bool {
		_, changed := h.clean(a)
		dirty = dirty || changed
		return !dirty
	})
	if !dirty {
		return h.next.Handle(ctx, r)
	}
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		a, _ = h.clean(a)
		clean.AddAttrs(a)
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h *redactor) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &redactor{next: h.next.WithAttrs(h.cleanAll(attrs)), secret: h.secret}
}

func (h *redactor) WithGroup(name string) slog.Handler {
	return &redactor{next: h.next.WithGroup(name), secret: h.secret || isSecretName(name)}
}
