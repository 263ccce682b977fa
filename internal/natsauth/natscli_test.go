package natsauth_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gatehouse/internal/natsauth"
)

// A minted file is a standard one: the nats command-line client works with it as it is.
func TestTheNATSCommandLineClient(t *testing.T) {
	if _, err := exec.LookPath("nats"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the nats command-line client is needed in CI")
		}
		t.Skip("skipped: the nats command-line client is not installed (test.sh builds it)")
	}
	s := newSite(t)
	s.answerAsks(t)
	creds := s.mint(t, natsauth.Grant{Name: "app", Events: []string{"hX9aQ2"}, Ask: map[string][]string{"acme": {"doors"}}, Durable: true})
	home := t.TempDir()
	client := func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "nats", append([]string{
			"--server", s.url(), "--creds", creds, "--inbox-prefix", "_INBOX.app", "--js-api-prefix", natsauth.APIPrefix,
		}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home)
		return cmd
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	sub := client(ctx, "sub", "gatehouse.event.hX9aQ2.>", "--count", "1")
	var heard bytes.Buffer
	sub.Stdout, sub.Stderr = &heard, &heard
	must(t, sub.Start())
	stop := make(chan struct{})
	said := make(chan struct{})
	go func() { // until it has subscribed and heard
		defer close(said)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = s.bus.JS.PublishMsg(context.Background(), &nats.Msg{Subject: "gatehouse.event.hX9aQ2.access.granted", Data: []byte("Admitted Ana")})
			}
		}
	}()
	err := sub.Wait()
	close(stop)
	<-said
	if err != nil || !strings.Contains(heard.String(), "Admitted Ana") {
		t.Fatalf("sub: %v\n%s", err, &heard)
	}

	for _, row := range []struct {
		want string
		args []string
	}{
		{"Admitted Ana", []string{"consumer", "next", "GATEHOUSE", "app", "--count", "1", "--ack"}},
		{`"Nats-Service-Error"`, []string{"request", "gatehouse.ask.acme.doors.app", "{}"}}, // the stand-in's first answer
		{`{"lock":"x"}`, []string{"request", "gatehouse.ask.acme.doors.app", "{}"}},
		{"", []string{"consumer", "info", "GATEHOUSE", "app", "--json"}},
	} {
		out, err := client(ctx, row.args...).CombinedOutput()
		if err != nil && !strings.Contains(row.want, "Error") || !strings.Contains(string(out), strings.Trim(row.want, `"`)) {
			t.Errorf("%v: %v\n%s", row.args, err, out)
		}
	}
	for _, args := range [][]string{
		{"pub", "gatehouse.event.hX9aQ2.access.granted", "forged"},
		{"stream", "purge", "GATEHOUSE", "-f"},
		{"stream", "rm", "GATEHOUSE", "-f"},
		{"consumer", "rm", "GATEHOUSE", "app", "-f"},
		{"stream", "ls"},
	} {
		before := s.stored(t)
		out, _ := client(ctx, append(args, "--timeout", "1s")...).CombinedOutput() // nobody answers what is refused
		if got := s.stored(t); got != before || len(out) == 0 {
			t.Errorf("%v: the stream was %s and is %s\n%s", args, before, got, out)
		}
	}
}
