package natsauth_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/natsauth"
)

// What a client may take of the server is bounded, also before it has said who it is.
func TestTheListenerIsBounded(t *testing.T) {
	s := newSite(t)
	t.Run("a connection that says nothing", func(t *testing.T) {
		conn, err := net.Dial("tcp", s.server.Addr())
		must(t, err)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		said, err := io.ReadAll(conn)
		if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() || !strings.Contains(string(said), "Authentication Timeout") {
			t.Errorf("%q, %v", said, err)
		}
	})
	t.Run("a line without end", func(t *testing.T) {
		conn, err := net.Dial("tcp", s.server.Addr())
		must(t, err)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, _ = io.WriteString(conn, "CONNECT {"+strings.Repeat(" ", 64<<10))
		said, err := io.ReadAll(conn)
		if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() {
			t.Errorf("%q, %v", said, err)
		}
	})
	t.Run("messages and subscriptions", func(t *testing.T) {
		a := s.connect(t, "app", s.mint(t, natsauth.Grant{Name: "app", Ask: map[string][]string{"acme": {"doors"}}}))
		if a.MaxPayload() != 1<<20 {
			t.Errorf("a message may have %d bytes", a.MaxPayload())
		}
		for n := range 1030 {
			_, err := a.SubscribeSync(fmt.Sprintf("_INBOX.app.%d", n))
			must(t, err)
		}
		must(t, a.Flush())
		if err := a.LastError(); err == nil || !strings.Contains(err.Error(), "maximum subscriptions") {
			t.Errorf("1030 subscriptions: %v", err)
		}
	})
	t.Run("connections of one credential", func(t *testing.T) {
		creds := s.mint(t, natsauth.Grant{Name: "many", Events: []string{"*"}})
		for range 64 {
			s.connect(t, "many", creds)
		}
		if a, err := s.dial("many", creds); err == nil {
			a.Close()
			t.Error("a 65th was let in")
		}
	})
}
