package events_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/events"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

// serve puts the handlers on a server that gives a request 150 ms to be read.
func serve(t *testing.T, h *events.Handlers) string {
	t.Helper()
	e := echo.New()
	e.GET("/v1/messages", h.List)
	e.GET("/v1/messages/stream", h.Stream)
	e.GET("/v1/messages/odd", func(c echo.Context) error {
		return h.Follow(c, func(b *bytes.Buffer, _ events.Stored) error {
			b.WriteString("one\revent: x\r\rid: y\r\nlast\r")
			return nil
		})
	})
	e.GET("/v1/messages/:id", h.Get)
	e.POST("/v1/messages/:id/replay", h.Replay)
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		status := http.StatusInternalServerError
		if _, ok := errors.AsType[*invalid.Error](err); ok {
			status = http.StatusBadRequest
		} else if errors.Is(err, events.ErrNotFound) {
			status = http.StatusNotFound
		} else if errors.Is(err, events.ErrTooManyStreams) {
			status = http.StatusTooManyRequests
		}
		_ = c.String(status, err.Error())
	}
	srv := httptest.NewUnstartedServer(e)
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = serverLimit, serverLimit
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL + "/v1/messages"
}

func quickHandlers(h *events.History) *events.Handlers {
	handlers := events.NewHandlers(h, cover)
	handlers.SetPace(50*time.Millisecond, 50*time.Millisecond, 10*time.Second)
	return handlers
}

// serverLimit is how long a request may take the server, unless it is a stream. A busy machine may need most of it for others.
const serverLimit = 3 * time.Second

// listener is a client of the stream.
type listener struct {
	t     *testing.T
	lines *bufio.Scanner
	last  string // the last id
	close func()
}

func listen(t *testing.T, address, last string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	transport := &http.Transport{}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	l := &listener{t: t, lines: bufio.NewScanner(resp.Body)}
	l.lines.Buffer(nil, 1<<20)
	l.close = func() { cancel(); _ = resp.Body.Close(); transport.CloseIdleConnections() }
	t.Cleanup(l.close)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	l.next() // the heartbeat that tells where the stream begins
	return l
}

// next reads one event and returns the id of its message, "" for a heartbeat.
func (l *listener) next() string {
	l.t.Helper()
	message := ""
	for l.lines.Scan() {
		field, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch field {
		case "id":
			l.last = value
		case "data":
			var item struct{ ID string }
			if err := json.Unmarshal([]byte(value), &item); err != nil {
				l.t.Fatalf("data is not one line of JSON: %v", err)
			}
			message = item.ID
		case "event":
			if value != "message" {
				l.t.Fatalf("event %q", value)
			}
		case "":
			if l.lines.Text() == "" {
				return message
			}
		}
	}
	l.t.Fatalf("the stream ended: %v", l.lines.Err())
	return ""
}

// take reads n messages.
func (l *listener) take(n int) []string {
	l.t.Helper()
	var got []string
	for len(got) < n {
		if id := l.next(); id != "" {
			got = append(got, id)
		}
	}
	return got
}

// sameSet takes what was said first, so that a call may say it and then wait for it.
func sameSet(t *testing.T, want, got []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Fatalf("%d messages, want these %d, each once", len(got), len(want))
	}
}

func TestStreamResumesAcrossWritersAndRestarts(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		a, b := openLog(t, db, events.LogConfig{}), openLog(t, db, events.LogConfig{})
		run(t, a.Run)
		stopB := run(t, b.Run)
		say(t, a, 5) // before anybody listened
		address := serve(t, quickHandlers(events.NewHistory(db, a))) + "/stream"

		first := listen(t, address, "")
		said := append(say(t, a, 40), say(t, b, 40)...)
		got := first.take(30) // leaves in the middle
		first.close()

		said = append(said, say(t, b, 20)...)
		stopB()
		fence(t, db, b.Holder())
		c := runLog(t, db) // the process of b comes back as a new writer
		said = append(append(said, say(t, c, 20)...), say(t, a, 20)...)

		second := listen(t, address, first.last)
		got = append(got, second.take(60)...)
		second.close()
		said = append(said, say(t, c, 5)...)

		third := listen(t, address+"?after="+url.QueryEscape(second.last), "")
		got = append(got, third.take(len(said)-len(got))...)
		sameSet(t, said, got)
		end := say(t, a, 1)
		sameSet(t, end, third.take(1)) // and nothing twice in between
	})
}

func fence(t *testing.T, db *sqldb.DB, holder string) {
	t.Helper()
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(t.Context(), `UPDATE writers SET fenced = 1 WHERE holder = ?`, holder); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestStreamOfAnotherReplicasMessages(t *testing.T) {
	db := sqldbtest.SQLite(t)
	a, b := runLog(t, db), runLog(t, db)
	l := listen(t, serve(t, quickHandlers(events.NewHistory(db, a)))+"/stream", "")
	sameSet(t, say(t, b, 3), l.take(3))
}

func TestStreamFiltersAndMovesOnAllTheSame(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		log := runLog(t, db)
		handlers := quickHandlers(events.NewHistory(db, log))
		address := serve(t, handlers) + "/stream?account=b&subject=gatehouse.event.*.access.granted"
		l := listen(t, address, "")
		start := l.last
		tell(t, log, "a", 10)
		tell(t, log, "b", 20)
		sameSet(t, []string{tell(t, log, "b", 10)}, l.take(1))
		tell(t, log, "a", 10)
		for before := handlers.Bookmark(l.last); handlers.Bookmark(l.last) == before; {
			l.next() // a heartbeat brings the bookmark behind what was left out
		}
		l.close()
		if handlers.Bookmark(l.last) == handlers.Bookmark(start) {
			t.Error("the bookmark did not move")
		}
		l = listen(t, address, l.last)
		sameSet(t, []string{tell(t, log, "b", 10)}, l.take(1))
	})
}

func TestStreamOutlivesTheServersTimeLimits(t *testing.T) {
	db := sqldbtest.SQLite(t)
	log := runLog(t, db)
	l := listen(t, serve(t, quickHandlers(events.NewHistory(db, log)))+"/stream", "")
	for until := time.Now().Add(serverLimit + time.Second); time.Now().Before(until); {
		l.next() // heartbeats
	}
	sameSet(t, say(t, log, 1), l.take(1))
}

// Whoever can bring a carriage return into what is shown cannot write a field of the stream.
func TestStreamKeepsForeignTextInItsField(t *testing.T) {
	db := sqldbtest.SQLite(t)
	log := runLog(t, db)
	l := listen(t, serve(t, quickHandlers(events.NewHistory(db, log)))+"/odd", "")
	say(t, log, 1)
	var data []string
	for l.lines.Scan() {
		line := l.lines.Text()
		if field, value, _ := strings.Cut(line, ":"); field == "data" {
			data = append(data, strings.TrimPrefix(value, " "))
		} else if line == "" && data != nil {
			break
		}
	}
	if want := []string{"one", "event: x", "", "id: y", "", "last"}; !slices.Equal(data, want) {
		t.Errorf("the data is %q, want %q", data, want)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	db := sqldbtest.SQLite(t)
	address := serve(t, quickHandlers(events.NewHistory(db, openLog(t, db, events.LogConfig{})))) + "/stream"
	open := make([]*listener, 64)
	for i := range open {
		open[i] = listen(t, address, "")
	}
	if status, _ := get(t, address); status != http.StatusTooManyRequests {
		t.Fatalf("a stream too many got %d", status)
	}
}

func TestSlowClientIsLetGo(t *testing.T) {
	db := sqldbtest.SQLite(t)
	log := runLog(t, db)
	handlers := events.NewHandlers(events.NewHistory(db, log), cover)
	handlers.SetPace(50*time.Millisecond, time.Hour, 100*time.Millisecond)
	ended := make(chan error, 1)
	e := echo.New()
	e.GET("/", func(c echo.Context) error { err := handlers.Stream(c); ended <- err; return err })
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	listen(t, srv.URL, "") // and reads no more
	for deadline := time.After(20 * time.Second); ; {
		big := events.NewMessage(events.ConnectionTopic("a", "active"), time.Now(), []byte(`"`+strings.Repeat("x", 200<<10)+`"`))
		encoded, err := big.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Do(t.Context(), func(_ context.Context, tx *events.Tx) error { tx.Append(encoded); return nil }); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("ended with %v", err)
			}
			return
		case <-deadline:
			t.Fatal("the stream goes on")
		default:
		}
	}
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	return request(t, "GET", address)
}

func request(t *testing.T, method, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestMessagesOverHTTP(t *testing.T) {
	db := sqldbtest.SQLite(t)
	log := runLog(t, db)
	history := events.NewHistory(db, log)
	handlers := events.NewHandlers(history, cover)
	handlers.Accounts = func(echo.Context) []string { return []string{"a"} }
	address := serve(t, handlers)
	hidden, id := tell(t, log, "b", 10), tell(t, log, "a", 10)

	stored, err := history.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, address); status != http.StatusOK || !strings.Contains(body, `"message":`+string(stored.Body)+`}`) || strings.Contains(body, hidden) {
		t.Errorf("list: %d %s; want the message in the bytes it was stored in, and no other", status, body)
	}
	if status, body := get(t, address+"/"+id); status != http.StatusOK || !strings.Contains(body, string(stored.Body)) {
		t.Errorf("get: %d %s", status, body)
	}
	if status, body := request(t, "POST", address+"/"+id+"/replay"); status != http.StatusCreated || !strings.Contains(body, `"replay_of":"`+id+`"`) {
		t.Errorf("replay: %d %s", status, body)
	}
	for path, want := range map[string]int{
		"/" + hidden:  http.StatusNotFound,
		"/nonsense":   http.StatusNotFound,
		"?limit=0":    http.StatusBadRequest,
		"?limit=501":  http.StatusBadRequest,
		"?limit=1e2":  http.StatusBadRequest,
		"?since=noon": http.StatusBadRequest,
		"?since=" + url.QueryEscape("2026-01-01T00:00:00+02:00"): http.StatusOK,
		"?subject=a..b":         http.StatusBadRequest,
		"?subject=%ff":          http.StatusBadRequest,
		"?account=%00":          http.StatusBadRequest,
		"?account=b":            http.StatusOK,
		"?after=!":              http.StatusBadRequest,
		"/stream?after=!":       http.StatusBadRequest,
		"/stream?subject=a.>.b": http.StatusBadRequest,
		"/stream?after=" + strings.Repeat("A", 9<<10): http.StatusBadRequest,
	} {
		if status, body := get(t, address+path); status != want {
			t.Errorf("%.60s: %d %s, want %d", path, status, body, want)
		}
	}
	if status, _ := request(t, "POST", address+"/"+hidden+"/replay"); status != http.StatusNotFound {
		t.Errorf("replaying another account's message: %d", status)
	}
}

func FuzzBookmark(f *testing.F) {
	for _, s := range []string{"", "AQ", "AQAA", "AQUAAQ", fmt.Sprint(strings.Repeat("_", 50))} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := events.ReparseBookmark(s)
		if err != nil {
			return
		}
		if twice, err := events.ReparseBookmark(once); err != nil || twice != once {
			t.Fatalf("%q became %q, then %q (%v)", s, once, twice, err)
		}
	})
}

// revoking is a client whose request ends with the first message that it is given.
type revoking struct {
	*httptest.ResponseRecorder
	revoke   context.CancelFunc
	messages int
}

func (r *revoking) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "data: ") {
		r.messages++
		r.revoke()
	}
	return len(p), nil
}

func (*revoking) SetReadDeadline(time.Time) error  { return nil }
func (*revoking) SetWriteDeadline(time.Time) error { return nil }

// What was read from the log before the request ended, as it does when its key is revoked, is not sent.
func TestStreamSendsNothingAfterItsEnd(t *testing.T) {
	db := sqldbtest.SQLite(t)
	log := runLog(t, db)
	handlers := quickHandlers(events.NewHistory(db, log))
	l := listen(t, serve(t, handlers)+"/stream", "")
	for range 5 {
		tell(t, log, "a", 10)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &revoking{ResponseRecorder: httptest.NewRecorder(), revoke: cancel}
	r := httptest.NewRequest("GET", "/v1/messages/stream?after="+l.last, nil).WithContext(ctx)
	if err := handlers.Stream(echo.New().NewContext(r, w)); err != nil {
		t.Fatal(err)
	}
	if w.messages != 1 {
		t.Errorf("%d messages were sent, want the one that ended it", w.messages)
	}
}
