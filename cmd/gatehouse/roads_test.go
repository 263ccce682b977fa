package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatehouse/doordeck/doordecksim"
	"gatehouse/sharing"
)

// outcomes are the final answers that the gateway's messages hold, by the callers' ids.
func (g *gateway) outcomes(t *testing.T) map[string][]sharing.Answer {
	t.Helper()
	found := map[string][]sharing.Answer{}
	for after := ""; ; {
		var page struct {
			Items []struct{ Message struct{ Data sharing.Answer } }
			Next  string
		}
		g.read("/v1/messages?limit=500&subject=gatehouse.operation.%3E&after="+after).json(t, &page)
		for _, m := range page.Items {
			if a := m.Message.Data; a.Status.Final() {
				found[a.ID] = append(found[a.ID], a)
			}
		}
		if after = page.Next; after == "" {
			return found
		}
	}
}

// commander publishes commands until each is stored in the stream, through whatever happens to the server.
func commander(t *testing.T, url string, pace time.Duration, commands []published, more ...nats.Option) {
	conn, err := nats.Connect(url, append([]nats.Option{
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, more...)...)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for _, c := range commands {
		pause(0, pace)
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			m, err := conn.Request(c.subject, []byte(c.body), time.Second)
			if err == nil && strings.Contains(string(m.Data), `"seq":`) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("a command was never stored: %v", err)
				return
			}
		}
	}
}

type published struct{ subject, body string }

// Every command that the stream has taken is done once, and in its order, through kill -9 at any moment: the door's
// lists of users are exactly what was asked for.
func TestKill9WhileCommanding(t *testing.T) {
	t.Parallel()
	g, addr := listening(t, nil)
	c := newDoordeck(t, g)
	const publishers, each, eachTimes = 5, 20, 5
	people := func(p, n int) string { return fmt.Sprintf("guest-%d-%02d", p, n) }
	for p := range publishers {
		for n := range each {
			subject := people(p, n)
			if _, err := c.AddUser(doordecksim.User{Subject: subject, Name: subject, Email: subject + "@example.test", EmailVerified: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	file := g.minted(t, "app", "--command", "acme:share,revoke")
	locks := []string{doordecksim.LockFront, doordecksim.LockLoading}
	want := map[string]bool{} // lock and subject
	var ids []string
	var wg sync.WaitGroup
	for p := range publishers {
		var commands []published
		for i := range each * eachTimes {
			n, turn := i%each, i/each
			subject, lock, kind := people(p, n), locks[n%2], []string{"share", "revoke"}[turn%2]
			if turn == eachTimes-1 && n%3 == 0 {
				kind = "revoke"
			}
			id := fmt.Sprintf("%s-%d", subject, turn)
			ids = append(ids, id)
			want[lock+" "+subject] = kind == "share"
			commands = append(commands, published{"gatehouse.command.acme." + kind + ".app", fmt.Sprintf(
				`{"id":"%s","lock":"%s","valid_for":"1h","invitees":[{"foreign_key":"%s"}]}`, id, lock, subject)})
		}
		wg.Go(func() {
			// Some are published between all the kills.
			commander(t, "nats://"+addr, time.Duration(rounds(t))*20*time.Millisecond, commands, nats.UserCredentials(file), nats.CustomInboxPrefix("_INBOX.app"))
		})
	}
	for range rounds(t) {
		pause(100*time.Millisecond, 1200*time.Millisecond)
		g.kill()
		g.start()
	}
	wg.Wait()
	var told map[string][]sharing.Answer
	eventually(t, 120*time.Second, func() string {
		told = g.outcomes(t)
		if len(told) < len(ids) {
			return fmt.Sprintf("%d of %d commands have ended", len(told), len(ids))
		}
		return ""
	})
	statuses := map[sharing.Status]int{}
	for _, id := range ids {
		if len(told[id]) != 1 {
			t.Errorf("%s has ended %d times", id, len(told[id]))
			continue
		}
		a := told[id][0]
		statuses[a.Status]++
		if !slices.Contains([]sharing.Status{sharing.Applied, sharing.Confirmed, sharing.Cancelled}, a.Status) || a.Caller != "app" {
			t.Errorf("%+v", a)
		}
	}
	if n := len(told); n != len(ids) {
		t.Errorf("%d operations have ended, want %d", n, len(ids))
	}
	for _, lock := range locks {
		has := map[string]bool{}
		for _, m := range c.Users(lock) {
			u, _ := c.User(m.User)
			has[u.Subject] = true
		}
		for key, wanted := range want {
			if l, subject, _ := strings.Cut(key, " "); l == lock && has[subject] != wanted {
				t.Errorf("%s has %s: %v, want %v", subject, lock, has[subject], wanted)
			}
		}
	}
	t.Logf("%d commands: %v; %d operations were sent", len(ids), statuses, len(c.Ledger()))
}

// An unlock that was published while the gateway was away is not done when it is back.
func TestAnUnlockOutlivesNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	n := newNATS(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": n.url(), "GATEHOUSE_NATS_OPERATIONS": "on"})
	c := newDoordeck(t, g)
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	g.kill()
	commander(t, n.url(), time.Millisecond, []published{{"gatehouse.command.acme.unlock.app", `{"id":"late","lock":"` + doordecksim.LockFront + `"}`}})
	time.Sleep(10500 * time.Millisecond) // it grows too old
	g.start()
	commander(t, n.url(), time.Millisecond, []published{{"gatehouse.command.acme.unlock.app", `{"id":"now","lock":"` + doordecksim.LockFront + `"}`}})
	eventually(t, 30*time.Second, func() string {
		told := g.outcomes(t)
		if len(told["late"]) != 1 || len(told["now"]) != 1 {
			return fmt.Sprint(told)
		}
		if told["late"][0].Status != sharing.Expired || told["now"][0].Status != sharing.Applied {
			t.Fatal(told)
		}
		return ""
	})
	if n := c.Unlocks(doordecksim.LockFront); n != 1 {
		t.Errorf("the door was opened %d times", n)
	}
}

// An external server whose permissions pin the caller. Without GATEHOUSE_NATS_OPERATIONS=on nobody answers.
func TestOperationsOverAnExternalNATS(t *testing.T) {
	t.Parallel()
	addr := pinnedNATS(t)
	g := newGateway(t, map[string]string{"GATEHOUSE_NATS_URL": "nats://gateway:gateway-secret@" + addr})
	c := newDoordeck(t, g)
	g.start()
	g.identity("acme", doordecksim.AdminAda)
	refused := make(chan error, 16)
	conn, err := nats.Connect("nats://app:app-secret@"+addr, unhurried(), nats.CustomInboxPrefix("_INBOX.app"), nats.MaxReconnects(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	unlock := []byte(`{"lock":"` + doordecksim.LockFront + `"}`)
	if m, err := conn.Request("gatehouse.ask.acme.unlock.app", unlock, time.Second); err == nil {
		t.Errorf("it is off, and answers %s", m.Data)
	}
	g.stop()
	g.env["GATEHOUSE_NATS_OPERATIONS"] = "on"
	g.start()
	var answer sharing.Answer
	eventually(t, 30*time.Second, func() string {
		m, err := conn.Request("gatehouse.ask.acme.unlock.app", unlock, 10*time.Second)
		if err != nil {
			return err.Error()
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Status != sharing.Applied || answer.Caller != "app" {
			t.Fatalf("%v %s", m.Header, m.Data)
		}
		return ""
	})
	for _, subject := range []string{"gatehouse.ask.acme.unlock.other", "gatehouse.ask.acme.revoke.app", "gatehouse.ask.other.unlock.app", "gatehouse.command.acme.unlock.app"} {
		if m, err := conn.Request(subject, unlock, 300*time.Millisecond); err == nil {
			t.Errorf("%s: %s", subject, m.Data)
		}
		select {
		case err := <-refused:
			if !strings.Contains(err.Error(), "Permissions Violation") {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s is not refused", subject)
		}
	}
	if n := c.Unlocks(doordecksim.LockFront); n != 1 {
		t.Errorf("the door was opened %d times", n)
	}
	code, stdout, _ := command(t, g.env, "doctor")
	if !strings.Contains(stdout, "its own permissions decide") {
		t.Errorf("doctor ends with %d and says %s", code, stdout)
	}
	g.stop()
	g.env["GATEHOUSE_NATS_OPERATIONS"] = "perhaps"
	g.fails(t, 2, "GATEHOUSE_NATS_OPERATIONS: want on or off")
}

// pinnedNATS is a nats-server with the gateway's account, and one of a program that may ask for unlocks.
func pinnedNATS(t *testing.T) (addr string) {
	t.Helper()
	program, err := buildNATS()
	if err != nil {
		t.Fatal(err)
	}
	addr = freeAddr(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(config, []byte(`listen: "`+addr+`"
jetstream { store_dir: "`+dir+`", max_file_store: 1TB }
accounts {
  GATEHOUSE {
    jetstream: enabled
    users: [ { user: gateway, password: gateway-secret } ]
    exports: [ { service: "gatehouse.ask.>" }, { service: "gatehouse.command.>" } ]
  }
  APPS_app {
    imports: [ { service: { account: GATEHOUSE, subject: "gatehouse.ask.acme.unlock.app" } } ]
    users: [ { user: app, password: app-secret, permissions: {
      publish: { allow: [ "gatehouse.ask.acme.unlock.app" ] }
      subscribe: { allow: [ "_INBOX.app.>" ] }
    } } ]
  }
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, time.Minute, func() string {
		conn, err := nats.Connect("nats://gateway:gateway-secret@" + addr)
		if err != nil {
			return err.Error()
		}
		conn.Close()
		return ""
	})
	return addr
}
