package natsauth_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatehouse/events"
	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
)

var hears = natsauth.Grant{Name: "app", Events: []string{"hX9aQ2"}, Durable: true}

// gone waits until a connection is closed, as long as is promised. What this machine stands still for is not counted.
func (a *app) gone(t testing.TB) {
	t.Helper()
	const look = 5 * time.Millisecond
	for rest := 2 * time.Second; !a.IsClosed(); rest -= look {
		if rest <= 0 {
			t.Fatal("the connection is open after 2 seconds")
		}
		time.Sleep(look)
	}
}

// shut wants a file to open nothing.
func (s *site) shut(t testing.TB, creds string) {
	t.Helper()
	a, err := s.dial("app", creds)
	if err == nil {
		a.Close()
		t.Fatal("it was let in")
	}
	if !errors.Is(err, nats.ErrAuthorization) && !strings.Contains(strings.ToLower(err.Error()), "auth") {
		t.Fatalf("refused for another reason: %v", err)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	s, elsewhere := newSite(t), newSite(t)
	good := s.mint(t, hears)
	s.connect(t, "app", good)
	file, err := os.ReadFile(good)
	must(t, err)
	tampered := func(change func(token []string)) string {
		text := string(file)
		for line := range strings.Lines(text) {
			if parts := strings.Split(strings.TrimSpace(line), "."); len(parts) == 3 {
				change(parts)
				text = strings.Replace(text, strings.TrimSpace(line), strings.Join(parts, "."), 1)
			}
		}
		path := filepath.Join(t.TempDir(), "tampered.creds")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	rewrite := func(old, with string) string {
		return tampered(func(token []string) {
			claims, err := base64.RawURLEncoding.DecodeString(token[1])
			must(t, err)
			if !bytes.Contains(claims, []byte(old)) {
				t.Fatalf("the token has no %s", old)
			}
			token[1] = base64.RawURLEncoding.EncodeToString(bytes.Replace(claims, []byte(old), []byte(with), 1))
		})
	}
	for name, creds := range map[string]string{
		"another operator's":  elsewhere.mint(t, hears),
		"changed permissions": rewrite(`"pub":{}`, `"pub":{"allow":[">"]}`),
		"changed name":        rewrite(`"name":"app"`, `"name":"bpp"`),
		"changed signature":   tampered(func(token []string) { token[2] = strings.Repeat("A", len(token[2])) }),
		"no signature, algorithm": tampered(func(token []string) {
			token[0], token[2] = base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"none"}`)), ""
		}),
		"another user's key": swapSeed(t, good, elsewhere.mint(t, natsauth.Grant{Name: "other", Events: []string{"*"}})),
	} {
		t.Run(name, func(t *testing.T) { s.shut(t, creds) })
	}
	t.Run("nothing", func(t *testing.T) {
		for name, option := range map[string]nats.Option{"no credentials": nats.Name("x"), "a password": nats.UserInfo("gatehouse", "gatehouse"), "a token": nats.Token("x")} {
			if conn, err := nats.Connect(s.url(), option); err == nil {
				conn.Close()
				t.Errorf("%s was let in", name)
			}
		}
	})
}

// swapSeed makes a file of one's token and another's key.
func swapSeed(t *testing.T, token, seed string) string {
	t.Helper()
	a, err := os.ReadFile(token)
	must(t, err)
	b, err := os.ReadFile(seed)
	must(t, err)
	head, _, _ := strings.Cut(string(a), "-----BEGIN USER NKEY SEED")
	_, tail, _ := strings.Cut(string(b), "-----BEGIN USER NKEY SEED")
	path := filepath.Join(t.TempDir(), "swapped.creds")
	must(t, os.WriteFile(path, []byte(head+"-----BEGIN USER NKEY SEED"+tail), 0o600))
	return path
}

func TestRevoking(t *testing.T) {
	db, dir := sqldbtest.SQLite(t), t.TempDir()
	s := open(t, db, dir)
	old := s.mint(t, hears)
	a, other := s.connect(t, "app", old), s.connect(t, "other", s.mint(t, natsauth.Grant{Name: "other", Events: []string{"*"}}))
	s.say(t, "gatehouse.event.hX9aQ2.access.granted", "1")
	must(t, a.fetch(t, 1)[0].DoubleAck(t.Context()))
	if _, _, err := s.Mint(t.Context(), hears, time.Time{}); !errors.Is(err, natsauth.ErrExists) {
		t.Fatalf("minting a name that is live: %v", err)
	}
	must(t, s.Revoke(t.Context(), "app", natsauth.All))
	a.gone(t)
	s.shut(t, old)
	if n := s.stream(t, events.StreamName).State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
	if err := s.Revoke(t.Context(), "app", natsauth.All); !errors.Is(err, natsauth.ErrNotFound) {
		t.Errorf("revoking again: %v", err)
	}
	if !other.IsConnected() {
		t.Error("another credential was disconnected")
	}

	again := s.mint(t, hears) // the name is free, the old file stays shut
	s.shut(t, old)
	if m := s.connect(t, "app", again).fetch(t, 1)[0]; string(m.Data()) != "1" {
		t.Errorf("the new consumer began with %s: it has the old one's place", m.Data())
	}
	s.stop()
	s = open(t, db, dir)
	s.shut(t, old)
	s.connect(t, "app", again)
}

func TestExpiry(t *testing.T) {
	db, dir := sqldbtest.SQLite(t), t.TempDir()
	s := open(t, db, dir)
	_, file, err := s.Mint(t.Context(), hears, time.Now().Add(6*time.Second))
	must(t, err)
	creds := save(t, file)
	a := s.connect(t, "app", creds)
	page, _, err := s.List(t.Context(), "", 10, natsauth.All)
	must(t, err)
	time.Sleep(time.Until(page[0].ExpiresAt)) // the server counts by its own clock
	a.gone(t)
	time.Sleep(time.Until(page[0].ExpiresAt.Add(time.Second))) // a token is good through the second it names
	s.shut(t, creds)
	page, _, err = s.List(t.Context(), "", 10, natsauth.All)
	must(t, err)
	if page[0].Status != natsauth.StatusExpired {
		t.Errorf("it is listed as %s", page[0].Status)
	}
	must(t, s.Settle(t.Context()))
	if n := s.stream(t, events.StreamName).State.Consumers; n != 0 {
		t.Errorf("%d consumers are left", n)
	}
	s.stop()
	s = open(t, db, dir)
	s.shut(t, creds)
	s.connect(t, "app", s.mint(t, hears)) // the name is free without revoking
	s.shut(t, creds)
}

func TestARestartChangesNothing(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		dir := t.TempDir()
		s := open(t, db, dir)
		creds := s.mint(t, hears)
		for _, n := range []string{"1", "2"} {
			s.say(t, "gatehouse.event.hX9aQ2.access.granted", n)
		}
		must(t, s.connect(t, "app", creds).fetch(t, 1)[0].DoubleAck(t.Context()))
		before := s.stored(t)
		s.stop()
		s = open(t, db, dir)
		if got := s.stored(t); got != before {
			t.Errorf("the stream was %s, and is %s", before, got)
		}
		a := s.connect(t, "app", creds)
		if m := a.fetch(t, 1)[0]; string(m.Data()) != "2" {
			t.Errorf("it was given %s: the consumer lost its place", m.Data())
		}
	})
}

// A crash may leave half of what nats-server keeps of a stream or a consumer: its description without
// the checksum. The next start makes it anew, whole.
func TestWhatACrashLeftHalfIsMadeAnew(t *testing.T) {
	for _, torn := range []string{"streams/GATEHOUSE/meta.sum", "streams/GATEHOUSE/obs/app/meta.sum"} {
		t.Run(torn, func(t *testing.T) {
			db, dir := sqldbtest.SQLite(t), t.TempDir()
			s := open(t, db, dir)
			creds := s.mint(t, hears)
			s.stop()
			found, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", torn))
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			must(t, os.Remove(found[0]))
			s = open(t, db, dir)
			for _, n := range []string{"1", "2"} {
				s.say(t, "gatehouse.event.hX9aQ2.access.granted", n)
			}
			must(t, s.connect(t, "app", creds).fetch(t, 1)[0].DoubleAck(t.Context()))
			s.stop()
			if _, err := os.Stat(found[0]); err != nil {
				t.Errorf("it was not completed: %v", err)
			}
			s = open(t, db, dir)
			if m := s.connect(t, "app", creds).fetch(t, 1)[0]; string(m.Data()) != "2" {
				t.Errorf("it was given %s: the consumer lost its place", m.Data())
			}
		})
	}
}

// What is changed while no gateway runs, and what a crash leaves between a row and its consumer, is in line
// after a start.
func TestConsumersFollowTheRows(t *testing.T) {
	db, dir := sqldbtest.SQLite(t), t.TempDir()
	s := open(t, db, dir)
	for _, name := range []string{"revoked-alone", "lost-consumer", "stays"} {
		g := hears
		g.Name = name
		s.mint(t, g)
	}
	must(t, s.bus.JS.DeleteConsumer(t.Context(), events.StreamName, "lost-consumer"))
	_, err := s.bus.JS.CreateConsumer(t.Context(), events.StreamName, jetstream.ConsumerConfig{
		Durable: "lost-row", Metadata: map[string]string{"gatehouse.credential": "ABC"},
	})
	must(t, err)
	_, err = s.bus.JS.CreateConsumer(t.Context(), events.StreamName, jetstream.ConsumerConfig{Durable: "an-operator-made-it"})
	must(t, err)
	s.stop()

	alone := natsauth.New(natsauth.Config{DB: db, Log: quiet})
	must(t, alone.Revoke(t.Context(), "revoked-alone", natsauth.All))
	_, file, err := alone.Mint(t.Context(), natsauth.Grant{Name: "minted-alone", Events: []string{"hX9aQ2"}, Durable: true}, time.Time{})
	must(t, err)

	s = open(t, db, dir)
	got := map[string]bool{}
	names := s.consumers(t)
	for _, name := range names {
		got[name] = true
	}
	for _, want := range []string{"minted-alone", "lost-consumer", "stays", "an-operator-made-it"} {
		if !got[want] {
			t.Errorf("there is no consumer %s", want)
		}
	}
	if len(names) != 4 {
		t.Errorf("consumers: %v", names)
	}
	s.say(t, "gatehouse.event.hX9aQ2.access.granted", "1")
	s.connect(t, "minted-alone", save(t, file)).fetch(t, 1)
}

func (s *site) consumers(t testing.TB) []string {
	t.Helper()
	stream, err := s.bus.JS.Stream(t.Context(), events.StreamName)
	must(t, err)
	var names []string
	list := stream.ConsumerNames(t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	must(t, list.Err())
	return names
}

func TestWithoutItsConsumerNothingIsMinted(t *testing.T) {
	s := newSite(t)
	must(t, s.bus.JS.DeleteStream(t.Context(), events.StreamName))
	if _, _, err := s.Mint(t.Context(), hears, time.Time{}); !errors.Is(err, natsauth.ErrUnavailable) {
		t.Fatal(err)
	}
	if page, _, err := s.List(t.Context(), "", 10, natsauth.All); err != nil || len(page) != 0 {
		t.Fatalf("%v are listed, %v", page, err)
	}
	must(t, s.bus.Declare(t.Context()))
	s.connect(t, "app", s.mint(t, hears))
}

// The embedded server is started again when its disk was full. Credentials, and the port, outlive that.
func TestTheServerIsStartedAgain(t *testing.T) {
	s := newSite(t)
	creds, revoked := s.mint(t, hears), s.mint(t, natsauth.Grant{Name: "gone", Events: []string{"*"}})
	must(t, s.Revoke(t.Context(), "gone", natsauth.All))
	before := s.url()
	s.server.Stop()
	must(t, s.server.Start())
	if s.url() != before {
		t.Errorf("it listens on %s, and did on %s", s.url(), before)
	}
	s.connect(t, "app", creds)
	s.shut(t, revoked)
}
