package main_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	gatehouse "gatehouse/cmd/gatehouse"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/doorflow/doorflowsim"
)

// demoIn runs the demo in an empty directory, with another one for what it makes.
func demoIn(t *testing.T, args ...string) (cmd *exec.Cmd, made string) {
	t.Helper()
	made = t.TempDir()
	cmd = exec.CommandContext(t.Context(), binary, append([]string{"demo"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = environment(map[string]string{"TMPDIR": made, "TERM": "dumb"})
	t.Cleanup(func() {
		for _, dir := range []string{made, cmd.Dir} {
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("the demo leaves %v behind in %s (%v)", left, dir, err)
			}
		}
	})
	return cmd, made
}

// The whole story is told and true, by two demos at the same time, where the usual port is taken.
func TestDemoOnce(t *testing.T) {
	t.Parallel() // it mostly waits
	if l, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil {
		defer l.Close()
	}
	story := []*regexp.Regexp{
		regexp.MustCompile(`Harbour Makers allows the gateway`),
		regexp.MustCompile(`every door event is delivered there too, signed\.`),
		regexp.MustCompile(`Ada Achterberg\. Doordeck takes it at once: ready`),
		regexp.MustCompile(`Ben Brannigan.* 423`),
		regexp.MustCompile(`mails him a code: \d{6}`),
		regexp.MustCompile(`proves the new key: ready`),
		regexp.MustCompile(`Ana Pereira types a PIN at the Workshop`),
		regexp.MustCompile(`Admitted Ana Pereira using PIN, at the Workshop`),
		regexp.MustCompile(`Applied: the Meeting Room opens for Ana Pereira until \d\d:\d\d`),
		regexp.MustCompile(`Queued: .*`),
		regexp.MustCompile(`two signed operations, for 25 and 15 people`),
		regexp.MustCompile(`All 20 webhooks were proven`),
		regexp.MustCompile(`The building has got each once`),
		regexp.MustCompile(`Confirmed: the Tool Store opens for Bram de Wit`),
		regexp.MustCompile(`All of this was checked at both clouds, and is true`),
	}
	var both sync.WaitGroup
	for range 2 {
		cmd, _ := demoIn(t, "--once")
		both.Go(func() {
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || stderr.Len() > 0 {
				t.Errorf("%v: %s", err, stderr.String())
			}
			rest := string(out)
			for _, line := range story {
				at := line.FindStringIndex(rest)
				if at == nil {
					t.Errorf("there is no %s where it belongs in\n%s", line, out)
					return
				}
				rest = rest[at[1]:]
			}
			if uuid := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-`); uuid.Match(out) || strings.Contains(string(out), "604219") {
				t.Errorf("it shows an id or a PIN:\n%s", out)
			}
		})
	}
	both.Wait()
}

// What is not true at the clouds is named, whatever the gateway says of it.
func TestDemoSaysWhatIsMissing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	tests := []struct {
		name, says string
		patience   time.Duration
		spoil      func(*doorflowsim.Sim, *doordecksim.Sim)
	}{
		{
			"webhooks are not signed well", "A visitor comes in: Ana Pereira's event was to come over NATS; after 12s it had not", 12 * time.Second,
			func(df *doorflowsim.Sim, _ *doordecksim.Sim) { df.Faults().WrongKey(-1) },
		},
		{
			"nobody asks for a code", "Two administrators: the identity ben is ready, not verification_required", time.Minute,
			func(_ *doorflowsim.Sim, dd *doordecksim.Sim) { dd.ForgetKeys(gatehouse.DemoBen) },
		},
		{
			"a code is said to be sent", "Two administrators: no code was sent to Ben, although the gateway says so", time.Minute,
			func(_ *doorflowsim.Sim, dd *doordecksim.Sim) {
				dd.Faults().Inject(doordecksim.Fault{Route: doordecksim.RouteVerify, N: -1, Status: http.StatusOK, Body: `{"method":"EMAIL"}`})
			},
		},
		{
			"a share is said to be done", "A visitor comes in: the gateway says that Ana Pereira has the Meeting Room, and Doordeck's list of its users does not show her", time.Minute,
			func(_ *doorflowsim.Sim, dd *doordecksim.Sim) {
				dd.Faults().Fail(doordecksim.RouteExecute, -1, http.StatusNoContent)
			},
		},
		{
			"shares are refused", "A visitor comes in: the share of the Meeting Room with Ana Pereira ended as failed, not as applied", time.Minute,
			func(_ *doorflowsim.Sim, dd *doordecksim.Sim) {
				dd.Faults().Fail(doordecksim.RouteExecute, -1, http.StatusForbidden)
			},
		},
		{
			"the hall takes no batches", "Forty guests at once: two operations signed by Ben were to reach Doordeck, for 25 and 15 people; what came was for [1 1 1 1", time.Minute,
			func(_ *doorflowsim.Sim, dd *doordecksim.Sim) {
				if err := dd.SetCapability(gatehouse.DemoHall, doordecksim.BatchSharing, doordecksim.Unsupported); err != nil {
					panic(err)
				}
			},
		},
		{
			"nobody can tell who has a door", "The door is back: the share of the Tool Store, which is back, was to become confirmed; after 12s it had not", 12 * time.Second,
			func(_ *doorflowsim.Sim, dd *doordecksim.Sim) {
				dd.Faults().Fail(doordecksim.RouteLockUsers, -1, http.StatusServiceUnavailable)
			},
		},
	}
	t.Run("together", func(t *testing.T) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				var out strings.Builder
				err := gatehouse.DemoOnce(t.Context(), &out, test.patience, test.spoil)
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("it says %v, want %s\n%s", err, test.says, out.String())
				}
			})
		}
	})
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
		t.Errorf("they leave %v behind", left)
	}
}

// After the story it goes on. What it says to try works, and Ctrl-C ends it.
func TestDemoGoesOn(t *testing.T) {
	t.Parallel() // it mostly waits
	cmd, _ := demoIn(t)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	lines := bufio.NewScanner(stdout)
	until := func(wanted string) []string {
		t.Helper()
		for lines.Scan() {
			printed.WriteString(lines.Text() + "\n")
			if m := regexp.MustCompile(wanted).FindStringSubmatch(lines.Text()); m != nil {
				return m
			}
		}
		t.Fatalf("there is no line like %s in\n%s", wanted, printed.String())
		return nil
	}
	link := until(`^   (http://\S+/sign-in/\S+)$`)[1]
	at := until(`export GATEHOUSE_URL=(\S+) GATEHOUSE_TOKEN=(\S+)`)
	env := map[string]string{"GATEHOUSE_URL": at[1], "GATEHOUSE_TOKEN": at[2]}
	until("Ctrl-C ends it")
	invited := printed.String()
	until(`Meeting Room   share with (Ana|Bram|Chidi) .*: applied`)
	tried := 0
	for _, m := range regexp.MustCompile(`(?m)^   gatehouse (.*?)(   ?\S.*)?$`).FindAllStringSubmatch(invited, -1) {
		if strings.HasPrefix(m[1], "messages tail") {
			continue // it has no end
		}
		code, out, stderr := command(t, env, strings.Fields(m[1])...)
		if code != 0 || out == "" {
			t.Errorf("gatehouse %s ends with %d and says %s%s", m[1], code, out, stderr)
		}
		tried++
	}
	if page := string(get(t, link)); !strings.Contains(page, "<button") {
		t.Errorf("the link does not lead to a button: %s", page)
	}
	if tried != 8 {
		t.Errorf("%d commands are to be tried, want 8:\n%s", tried, invited)
	}
	until(`Meeting Room   unlock: applied`)
	until(`Meeting Room   share with Guest 1: applied`)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, stdout) // until it has ended
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// However it ends, it leaves nothing behind.
func TestDemoIsInterrupted(t *testing.T) {
	for _, test := range []struct {
		name, says string
		end        func(*exec.Cmd, io.Closer) error
	}{
		{"by Ctrl-C", "it was interrupted before the story had ended", func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Signal(os.Interrupt) }},
		{"by a reader that goes away", "printing: ", func(_ *exec.Cmd, out io.Closer) error { return out.Close() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd, made := demoIn(t, "--once")
			var stderr strings.Builder
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
				t.Fatal(line, err)
			}
			if dirs, _ := os.ReadDir(made); len(dirs) != 1 {
				t.Errorf("it works in %v", dirs)
			}
			if err := test.end(cmd, stdout); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), test.says) {
				t.Errorf("%v: %s", err, stderr.String())
			}
		})
	}
}
