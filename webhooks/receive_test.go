package webhooks_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/doorflow"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/webhooks"
)

// eventItem is a notification of an event.
func eventItem(id int, ack string) string {
	return fmt.Sprintf(`{"action":"CREATE","resource":"https://api.doorflow.com/api/3/events/%d?ack_token=%s",`+
		`"resource_type":"Event","resource_id":"%d","account_id":"hX9aQ2","ack_token":"%s"}`, id, ack, id, ack)
}

func TestReceiverStoresWhatIsProven(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		g.take(t, "["+eventItem(1, "Qk7rT2xL1")+","+eventItem(2, "Qk7rT2xL2")+"]", eventItem(3, "Qk7rT2xL3"), "[]")
		if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE state = 'open' AND account = 'hX9aQ2' AND resource_type = 'Event'`); n != 3 {
			t.Errorf("%d open notifications, want 3", n)
		}
		var stored struct{ Path, Ack_token, Message_id string }
		if err := db.Get(t.Context(), &stored, `SELECT path, ack_token, message_id FROM notifications WHERE resource_id = '3'`); err != nil {
			t.Fatal(err)
		}
		if stored.Path != "/api/3/events/3" || stored.Ack_token != "Qk7rT2xL3" {
			t.Errorf("stored %+v", stored)
		}
		said := g.bodies(t, "gatehouse.notification.hX9aQ2.event.create")
		if len(said) != 3 || strings.Contains(strings.Join(said, ""), "Qk7rT2xL") {
			t.Fatalf("said %d messages: %s", len(said), said)
		}
		var m events.Message
		if err := json.Unmarshal([]byte(said[2]), &m); err != nil {
			t.Fatal(err)
		}
		if m.ID != stored.Message_id || m.Type != "gatehouse.notification.event.create" || m.Subject != "events/3" || m.Account != "hX9aQ2" ||
			m.Source != "/doorflow/accounts/hX9aQ2" || m.Origin != "webhook" || m.Flag != "" {
			t.Errorf("said %+v", m)
		}
		if n := g.count(t, `SELECT COUNT(*) FROM webhook_seen WHERE account = 'hX9aQ2'`); n != 1 {
			t.Errorf("%d rows tell when the account's webhooks last came", n)
		}
		if len(g.arrived) != 2 || g.arrived[0] != "hX9aQ2" {
			t.Errorf("woken for %q, want once for each request with items", g.arrived)
		}
	})
}

func TestReceiverRefuses(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	good := eventItem(1, "Qk7rT2xLp")
	headers := func(change func(http.Header)) *http.Request {
		req := signed(good)
		change(req.Header)
		return req
	}
	chunked := func(body string) *http.Request {
		req := signed(body)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), -1
		return req
	}
	large := `["` + strings.Repeat("x", 1<<20-3) + `"]`
	old := fmt.Sprint(time.Now().Add(-time.Hour).Unix())
	for _, tt := range []struct {
		name   string
		req    *http.Request
		err    error
		reason string
	}{
		{"no signature", headers(func(h http.Header) { h.Del("Signature") }), webhooks.ErrUnauthorized, "signature_missing"},
		{"malformed signature", headers(func(h http.Header) { h.Set("Signature", "sha256=x") }), webhooks.ErrUnauthorized, "signature_malformed"},
		{"wrong signature", headers(func(h http.Header) { h.Set("Signature", strings.Repeat("a", 64)) }), webhooks.ErrUnauthorized, "signature_mismatch"},
		{"malformed timestamp", headers(func(h http.Header) { h.Set("Timestamp", "soon") }), webhooks.ErrUnauthorized, "timestamp_malformed"},
		{"stale", headers(func(h http.Header) {
			h.Set("Timestamp", old)
			h.Set("Signature", doorflow.Sign([]byte(secret), old, []byte(good)))
		}), webhooks.ErrUnauthorized, "timestamp_stale"},
		{"not JSON", signed("action=CREATE"), doorflow.ErrUnparsable, "unparsable"},
		{"empty", signed(""), doorflow.ErrUnparsable, "unparsable"},
		{"10,001 items", signed("[" + strings.Repeat("{},", 10_000) + "{}]"), doorflow.ErrUnparsable, "unparsable"},
		{"announced too large", signed(large), webhooks.ErrTooLarge, "too_large"},
		{"chunked too large", chunked(large), webhooks.ErrTooLarge, "too_large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := g.deliver(t, tt.req); !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if !strings.Contains(g.lines.String(), `"reason":"`+tt.reason+`"`) {
				t.Errorf("the log does not say %s", tt.reason)
			}
		})
	}
	if n := g.count(t, `SELECT COUNT(*) FROM notifications`); n != 0 {
		t.Errorf("%d notifications stored", n)
	}
	g.take(t, large[:1<<19]+`"]`, good)
	if err := g.deliver(t, chunked(good)); err != nil {
		t.Errorf("chunked: %v", err)
	}
}

func TestReceiverCounts(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	g.take(t, "["+eventItem(1, "Qk7rT2xL1")+",{}]", eventItem(1, "Qk7rT2xL1"))
	if err := g.deliver(t, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("[]"))); err == nil {
		t.Fatal("took what is not signed")
	}
	for metric, want := range map[string]float64{
		`gatehouse_webhook_items_total{double}`:                            1,
		`gatehouse_webhook_items_total{flagged}`:                           1,
		`gatehouse_webhook_items_total{new}`:                               2,
		`gatehouse_webhook_requests_total{stored,}`:                        2,
		`gatehouse_webhook_requests_total{unauthorized,signature_missing}`: 1,
	} {
		if got := metrics(t, g.registry)[metric]; got != want {
			t.Errorf("%s is %v, want %v", metric, got, want)
		}
	}
}

func TestReceiverLogHoldsNoSecret(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	g.take(t, "["+eventItem(1, "Qk7rT2xLp")+`,{"account_id":"x\n","ack_token":"Qk7rT2xLp"}]`)
	_ = g.deliver(t, signed(`{"ack_token":"Qk7rT2xLp"`))
	g.stop()
	if err := g.deliver(t, signed(eventItem(2, "Qk7rT2xLp"))); !errors.Is(err, events.ErrClosed) {
		t.Errorf("after the log's end: %v", err)
	}
	got := g.lines.String()
	for _, want := range []string{`"outcome":"stored"`, `"items":2`, `"flagged":1`, `"account":"hX9aQ2"`, `"reason":"unparsable"`, `"reason":"shutting_down"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(got, "Qk7rT2xLp") || strings.Contains(got, secret) {
		t.Errorf("a secret is in the log:\n%s", got)
	}
	if lines := strings.Count(strings.TrimSpace(got), "\n") + 1; lines != 3 {
		t.Errorf("%d lines for 3 requests", lines)
	}
}

// Whatever an item holds, a proven request is answered 200, and costs nobody else's item anything.
func TestReceiverKeepsOddItems(t *testing.T) {
	const nul = `\u0000`
	type item = map[string]string
	good := item{
		"action": `"CREATE"`, "resource": `"https://api.doorflow.com/api/3/events/1"`, "resource_type": `"Event"`, "resource_id": `"1"`,
		"account_id": `"hX9aQ2"`, "ack_token": `"Qk7rT2xLp"`,
	}
	items := []string{`1`, `"x"`, `null`, `true`, `[]`, `[[{}]]`, `{}`, "\"\xff\"", `"` + nul + `"`}
	for name := range good {
		for _, odd := range []string{
			`"a` + nul + `b"`, "\"a\xffb\"", `"\ud800"`, `"` + strings.Repeat("é", 5000) + `"`, `1`, strings.Repeat("1", 5000), `null`, `{}`, `[]`, `""`, `"a.b *>"`,
		} {
			var fields []string
			for other, value := range good {
				if other == name {
					value = odd
				}
				fields = append(fields, `"`+other+`":`+value)
			}
			items = append(items, "{"+strings.Join(fields, ",")+"}")
		}
	}
	items = append(items,
		`{"resource":"https://api.doorflow.com/api/3/events/1?ack_token=%00","action":"CREATE","resource_type":"Event","resource_id":"1","account_id":"x"}`,
		`{"resource":"https://api.doorflow.com/api/3/events/1?ack_token=%ff","action":"CREATE","resource_type":"Event","resource_id":"1","account_id":"x"}`,
		`{"resource":"https://api.doorflow.com/api/3/events/1?ack_token=a&callback=%ff%00","action":"CREATE","resource_type":"Event","resource_id":"1","account_id":"x"}`,
		`{"ack_token":1,"resource_id":31,"x":true}`,
		`{"account_id":"`+strings.Repeat("x", 300<<10)+`","x":"`+strings.Repeat("y", 300<<10)+`"}`,
	)
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		for _, it := range items {
			g.take(t, "["+it+"]")
		}
		g.take(t, "["+strings.Join(items[:len(items)-1], ",")+","+eventItem(77, "Zt4wB8nYc")+"]")
		for _, body := range g.bodies(t, "gatehouse.") {
			if !json.Valid([]byte(body)) || len(body) > 300<<10 {
				t.Errorf("%d bytes, valid %v: %.200s", len(body), json.Valid([]byte(body)), body)
			}
		}
		rows, said := g.count(t, `SELECT COUNT(*) FROM notifications`), g.count(t, `SELECT COUNT(*) FROM messages`)
		if rows != said || rows < 60 {
			t.Errorf("%d rows, %d messages of %d items", rows, said, len(items)+1)
		}
		if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE resource_id = '77' AND state = 'open'`); n != 1 {
			t.Error("the good item among the odd ones is not there")
		}
		if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE flag <> '' AND (state <> 'flagged' OR ack_token <> '' OR path <> '')`); n != 0 {
			t.Errorf("%d flagged notifications might be fetched", n)
		}
	})
}

func TestReceiverFlagsWhatIsNotConnected(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	g.take(t, strings.ReplaceAll(eventItem(1, "Qk7rT2xLp"), "hX9aQ2", "zz"))
	if said := g.bodies(t, "gatehouse.notification.zz."); len(said) != 1 || !strings.Contains(said[0], `"flag":"not_connected"`) {
		t.Fatalf("said %s", said)
	}
	if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE state = 'open' AND flag = ''`); n != 1 {
		t.Error("it is not kept to be fetched once the account connects")
	}
}

func TestReceiverStoresDoublesOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		one, two := eventItem(1, "Qk7rT2xL1"), eventItem(2, "Qk7rT2xL2")
		g.take(t, "["+one+","+one+","+two+","+one+"]", two, "["+two+","+one+"]")
		for id, want := range map[string]int{"1": 4, "2": 3} {
			if n := g.count(t, `SELECT deliveries FROM notifications WHERE resource_id = ?`, id); n != want {
				t.Errorf("event %s: %d deliveries, want %d", id, n, want)
			}
		}
		if n := g.count(t, `SELECT COUNT(*) FROM messages`); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
		// What was fetched is fetched again, because DoorFlow does not count it as acknowledged.
		if _, err := db.Writer().ExecContext(t.Context(), `UPDATE notifications SET state = 'done', attempts = 3`); err != nil {
			t.Fatal(err)
		}
		g.take(t, one)
		if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE resource_id = '1' AND state = 'open' AND attempts = 0`); n != 1 {
			t.Error("a double did not open the notification again")
		}
		if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE state = 'done'`); n != 1 {
			t.Error("a double opened another notification")
		}
	})
}

// A request of many items, of which some are new, some were there, and some come more than once.
func TestReceiverTellsDoublesInLargeRequests(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		g := open(t, db)
		list := func(from, to int, times int) string {
			var all []string
			for range times {
				for id := from; id < to; id++ {
					all = append(all, eventItem(id, fmt.Sprintf("ack%06d", id)))
				}
			}
			return strings.Join(all, ",")
		}
		g.take(t, "["+list(0, 300, 1)+"]")
		g.take(t, "["+list(200, 500, 1)+","+list(250, 350, 2)+"]")
		for _, tt := range []struct {
			name     string
			from, to int
			want     int
		}{
			{"came once", 0, 200, 1},
			{"came twice", 200, 250, 2},
			{"came again, and twice more", 250, 300, 4},
			{"new, three times at once", 300, 350, 3},
			{"new", 350, 500, 1},
		} {
			n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE CAST(resource_id AS INTEGER) >= ? AND CAST(resource_id AS INTEGER) < ? AND deliveries = ?`,
				tt.from, tt.to, tt.want)
			if n != tt.to-tt.from {
				t.Errorf("%s: %d rows of %d have %d deliveries", tt.name, n, tt.to-tt.from, tt.want)
			}
		}
		if n := g.count(t, `SELECT COUNT(*) FROM messages`); n != 500 {
			t.Errorf("%d messages, want 500", n)
		}
		if n := g.count(t, `SELECT COUNT(*) FROM notifications n WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = n.message_id)`); n != 0 {
			t.Errorf("%d notifications name a message that was not said", n)
		}
	})
}

// The same body arrives at two replicas, many times at once.
func TestReceiverStoresParallelDoublesOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		replicas := []*gateway{open(t, db)}
		if db.Postgres() {
			replicas = append(replicas, open(t, db))
		}
		var items []string
		for id := range 20 {
			items = append(items, eventItem(id, fmt.Sprintf("ack%06d", id)))
		}
		var senders sync.WaitGroup
		for i := range 100 {
			senders.Go(func() {
				rotated := append(append([]string{}, items[i%20:]...), items[:i%20]...)
				if err := replicas[i%len(replicas)].deliver(t, signed("["+strings.Join(rotated, ",")+"]")); err != nil {
					t.Error(err)
				}
			})
		}
		senders.Wait()
		g := replicas[0]
		if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE deliveries = 100`); n != 20 {
			t.Errorf("%d rows came 100 times, want 20", n)
		}
		if n := g.count(t, `SELECT COUNT(*) FROM messages`); n != 20 {
			t.Errorf("%d messages, want 20", n)
		}
	})
}

func TestReceiverOverTheNetwork(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	answers := make(chan error, 1)
	e := echo.New()
	e.POST("/", g.receiver.Handle)
	e.HTTPErrorHandler = func(err error, c echo.Context) { answers <- err }
	server := httptest.NewServer(e)
	defer server.Close()
	send := func(head, body string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		sign(h, body)
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nSignature: %s\r\nTimestamp: %s\r\n%s\r\n\r\n", h.Get("Signature"), h.Get("Timestamp"), head)
		return conn
	}
	t.Run("chunked", func(t *testing.T) {
		body := eventItem(1, "Qk7rT2xLp")
		conn := send("Transfer-Encoding: chunked", body)
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", body[:5], len(body)-5, body[5:])
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp, err)
		}
	})
	t.Run("ends too soon", func(t *testing.T) {
		conn := send("Content-Length: 100", "[]")
		_, _ = conn.Write([]byte("[]"))
		_ = conn.Close()
		if err := <-answers; !errors.Is(err, webhooks.ErrIncomplete) {
			t.Fatalf("error %v", err)
		}
	})
}

func TestReceiverWhoseSenderHasGone(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.deliver(t, signed(eventItem(1, "Qk7rT2xLp")).WithContext(ctx)); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestReceiverWithoutDatabase(t *testing.T) {
	g := open(t, sqldbtest.SQLite(t))
	g.take(t, eventItem(1, "Qk7rT2xL1"))
	if _, err := g.db.Writer().ExecContext(t.Context(), `ALTER TABLE messages RENAME TO away`); err != nil {
		t.Fatal(err)
	}
	if err := g.deliver(t, signed(eventItem(2, "Qk7rT2xL2"))); !errors.Is(err, events.ErrStorage) {
		t.Fatalf("error %v", err)
	}
	if _, err := g.db.Writer().ExecContext(t.Context(), `ALTER TABLE away RENAME TO messages`); err != nil {
		t.Fatal(err)
	}
	g.take(t, eventItem(2, "Qk7rT2xL2"))
	if n := g.count(t, `SELECT COUNT(*) FROM notifications WHERE deliveries = 1`); n != 2 {
		t.Errorf("%d notifications, want 2: what failed must have left nothing", n)
	}
}
