package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/invalid"
)

// ErrTooManyStreams says that as many streams are open as may be.
var ErrTooManyStreams = errors.New("events: too many streams are open")

const maxStreams = 64

// pace is the tempo of streams.
type pace struct {
	// look is how often the database is asked for what other replicas wrote; rest, how soon after a look
	// the next may follow, so that a burst of commits is read in batches.
	look, rest, heartbeat time.Duration
	// slow is how long one event may take to be written.
	slow time.Duration
}

func usualPace() pace {
	return pace{look: time.Second, rest: 50 * time.Millisecond, heartbeat: 15 * time.Second, slow: 10 * time.Second}
}

// Stream is GET /v1/messages/stream: server-sent events from now on, or from where Last-Event-ID (or
// ?after=) says that the client has come. It ends when the client is gone, too slow, or the request's
// context ends, as it must when the server stops.
func (h *Handlers) Stream(c echo.Context) error { return h.Follow(c, asJSON) }

// asJSON is how a message is sent to programs.
func asJSON(buf *bytes.Buffer, m Stored) error {
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	return enc.Encode(m.item())
}

// Follow is Stream with data of another form, which render writes; it may have several lines.
func (h *Handlers) Follow(c echo.Context, render func(*bytes.Buffer, Stored) error) error {
	select {
	case h.streams <- struct{}{}:
		defer func() { <-h.streams }()
	default:
		return ErrTooManyStreams
	}
	filter, err := h.filter(c)
	if err != nil {
		return err
	}
	from, err := h.startOf(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	f, err := h.History.follow(ctx, filter, from)
	if err != nil {
		return err
	}
	s := openStream(c, h.pace, h.cursors)
	s.render = render
	if err := s.beat(f.at); err == nil {
		err = s.follow(ctx, h.History.log, f)
		if err != nil && ctx.Err() == nil && !s.broken {
			return err
		}
	}
	return nil // the client is gone, and nobody is there to be told
}

// startOf reads where the client has come to. A browser that reconnects sends the header, and its word is
// newer than that of the URL.
func (h *Handlers) startOf(c echo.Context) (*bookmark, error) {
	name, value := "Last-Event-ID", c.Request().Header.Get("Last-Event-ID")
	if value == "" {
		name, value = "after", c.QueryParam("after")
	}
	if value == "" {
		return nil, nil
	}
	value, ok := h.cursors.reveal(ofStream, value)
	at, err := parseBookmark(value)
	if err != nil || !ok {
		return nil, invalid.Field(name, "is not the id of an event that this stream sent")
	}
	return &at, nil
}

// stream writes server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
type stream struct {
	pace    pace
	cursors cursors
	render  func(*bytes.Buffer, Stored) error
	w       http.ResponseWriter
	rc      *http.ResponseController
	buf     bytes.Buffer
	data    bytes.Buffer
	broken  bool
}

func openStream(c echo.Context, p pace, cs cursors) *stream {
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would keep events back
	c.Response().WriteHeader(http.StatusOK)
	s := &stream{pace: p, cursors: cs, w: c.Response(), rc: http.NewResponseController(c.Response().Writer)}
	// The server's time limit for reading a request would end the stream too.
	_ = s.rc.SetReadDeadline(time.Time{})
	return s
}

func (s *stream) follow(ctx context.Context, l *Log, f *follower) error {
	look, heartbeat := time.NewTicker(s.pace.look), time.NewTicker(s.pace.heartbeat)
	defer look.Stop()
	defer heartbeat.Stop()
	for {
		news := l.Committed() // before looking, so that no commit falls in between
		err := f.catchUp(ctx, func(m Stored) error {
			if err := ctx.Err(); err != nil { // whoever may no longer listen hears nothing of what was read before
				return err
			}
			return s.message(f.at, m)
		})
		if err == nil {
			err = s.flush()
		}
		if err == nil {
			err = rest(ctx, s.pace.rest)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-look.C:
		case <-heartbeat.C:
			if err := s.beat(f.at); err != nil {
				return err
			}
		}
	}
}

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// message writes one event, with a data field for each line.
func (s *stream) message(at bookmark, m Stored) error {
	id, err := s.cursors.hide(ofStream, at.String())
	if err != nil {
		return err
	}
	s.buf.Reset()
	s.buf.WriteString("id: " + id + "\nevent: message\n")
	s.data.Reset()
	if err := s.render(&s.data, m); err != nil {
		return err
	}
	// A carriage return ends a line too, and what follows would be a field of whoever wrote it.
	for line := range bytes.Lines(bytes.ReplaceAll(s.data.Bytes(), []byte("\r"), []byte("\n"))) {
		s.buf.WriteString("data: ")
		s.buf.Write(bytes.TrimRight(line, "\n"))
		s.buf.WriteByte('\n')
	}
	s.buf.WriteByte('\n')
	return s.write()
}

// beat writes a comment, which keeps proxies from closing the connection, and the bookmark, which takes
// the client past messages that its filter leaves out. Without data no event is dispatched.
func (s *stream) beat(at bookmark) error {
	id, err := s.cursors.hide(ofStream, at.String())
	if err != nil {
		return err
	}
	s.buf.Reset()
	s.buf.WriteString(": heartbeat\nid: " + id + "\n\n")
	if err := s.write(); err != nil {
		return err
	}
	return s.flush()
}

func (s *stream) write() error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(s.pace.slow))
	_, err := s.w.Write(s.buf.Bytes())
	s.broken = s.broken || err != nil
	return err
}

// flush sends what is buffered and lifts the deadline: on HTTP/2 it would end the stream by itself.
func (s *stream) flush() error {
	err := s.rc.Flush()
	if err == nil {
		_ = s.rc.SetWriteDeadline(time.Time{})
	}
	s.broken = s.broken || err != nil
	return err
}
