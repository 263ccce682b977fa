package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/events"
)

// JetStream's memory of message ids lasts two minutes. These tests shorten it, so that nothing here can
// lean on it: every outage is longer.
const shortMemory = 100 * time.Millisecond

func shorten(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := js.Stream(ctx, events.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.Duplicates = shortMemory
	if _, err := js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
}

// lastID is the newest message of the stream.
func lastID(t testing.TB, js jetstream.JetStream) *jetstream.RawStreamMsg {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := js.Stream(ctx, events.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(ctx, stream.CachedInfo().State.LastSeq)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// forgotten makes sure that JetStream itself would have taken the message twice: it does so now.
func forgotten(t testing.TB, js jetstream.JetStream, m *jetstream.RawStreamMsg) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
	if err != nil {
		t.Fatal(err)
	}
	if ack.Duplicate {
		t.Error("JetStream remembered the message's id: this test proves nothing about the gateway")
	}
}

// A backup of the data directory's JetStream store is put back, or the store is lost, and the database is
// as new as it was.
func TestEmbeddedStorePutBackWhileDown(t *testing.T) {
	t.Parallel()
	for name, empty := range map[string]bool{"older": false, "empty": true} {
		t.Run(name, func(t *testing.T) {
			store, older := "jetstream", filepath.Join(t.TempDir(), "older")
			g := newGateway(t, nil).start()
			l := newLoad()
			l.begin(t, senders, g)
			l.awaitAnswers(t, 300)
			g.kill()
			var kept *jetstream.RawStreamMsg
			withEmbedded(t, g, func(js jetstream.JetStream) {
				shorten(t, js)
				kept = lastID(t, js)
			})
			copyTree(t, filepath.Join(g.data, store), older)
			g.start()
			l.awaitAnswers(t, 300)
			g.kill()
			if empty {
				if err := os.RemoveAll(filepath.Join(g.data, store)); err != nil {
					t.Fatal(err)
				}
			} else {
				copyTree(t, older, filepath.Join(g.data, store))
				withEmbedded(t, g, func(js jetstream.JetStream) { putBack(t, l, readStream(t, js)) })
				withStore(t, older, func(js jetstream.JetStream) { forgotten(t, js, kept) })
			}
			g.start()
			l.awaitAnswers(t, 100)
			l.end()
			l.verify(t, completeEmbedded(t, g, l), nil)
		})
	}
}

// putBack makes sure that the stream lacks something now.
func putBack(t testing.TB, l *load, s *seen) {
	t.Helper()
	if l.missing(s) == 0 {
		t.Fatal("the older copy lacks nothing: this test proves nothing")
	}
}

func TestNATSStorePutBack(t *testing.T) {
	for _, row := range []struct {
		name     string
		up       bool // the gateway stays up meanwhile
		complete bool // the store is lost altogether
	}{
		{"while the gateway was down", false, false},
		{"while the gateway was up", true, false},
		{"lost while the gateway was up", true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			older := filepath.Join(t.TempDir(), "older")
			n := newNATS(t)
			g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": n.url()}).start()
			conn, js := n.connect()
			shorten(t, js)
			conn.Close()
			l := newLoad()
			l.begin(t, senders, g)
			l.awaitAnswers(t, 300)
			n.kill()
			copyTree(t, n.store, older)
			n.start()
			conn, js = n.connect()
			kept := lastID(t, js)
			conn.Close()
			// Only what has been acknowledged can be lost by going back.
			eventually(t, time.Minute, func() string {
				if s := n.read(); s.messages < 400 {
					return fmt.Sprintf("%d messages in the stream", s.messages)
				}
				return ""
			})
			if !row.up {
				g.kill()
			}
			n.kill()
			outage()
			if row.complete {
				if err := os.RemoveAll(n.store); err != nil {
					t.Fatal(err)
				}
			} else {
				copyTree(t, older, n.store)
			}
			n.start()
			if !row.up {
				putBack(t, l, n.read())
				g.start()
			}
			l.awaitAnswers(t, 100)
			l.end()
			l.verify(t, n.complete(l), nil)
			if row.up {
				l.wantOnly(t, 200) // NATS is not what a webhook waits for
			}
			if !row.complete {
				conn, js := n.connect()
				defer conn.Close()
				forgotten(t, js, kept)
			}
		})
	}
}

// outage lets NATS be away for a while; CRASH_OUTAGE makes it long, to see with one's own eyes what the
// shortened memory shows in less time.
func outage() {
	d, err := time.ParseDuration(os.Getenv("CRASH_OUTAGE"))
	if err != nil {
		d = 3 * shortMemory
	}
	time.Sleep(d)
}
