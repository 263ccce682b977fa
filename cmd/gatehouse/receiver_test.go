package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow"
	"gatehouse/standardwebhooks"
)

// delivery is a request as Gatehouse's deliveries are, with both sets of headers.
type delivery struct {
	header http.Header
	body   string
}

// newDelivery signs with the newest secret first, as after a rotation.
func newDelivery(t *testing.T, id string, at time.Time, secrets ...standardwebhooks.Secret) *delivery {
	t.Helper()
	d := &delivery{header: http.Header{"Content-Type": {"application/cloudevents+json"}}}
	d.body = fmt.Sprintf(`{"specversion":"1.0","id":%q,"type":"gatehouse.event.access.granted","data":{"person_name":"Åsa & 鍵 \u0026","n":1.0}}`, id)
	must(t, standardwebhooks.Sign(d.header, id, at, []byte(d.body), secrets...))
	timestamp := strconv.FormatInt(at.Unix(), 10)
	d.header.Set(doorflow.TimestampHeader, timestamp)
	d.header.Set(doorflow.SignatureHeader, doorflow.Sign([]byte(secrets[0].Reveal()), timestamp, []byte(d.body)))
	return d
}

func (d *delivery) post(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(d.body))
	must(t, err)
	req.Header = d.header
	resp, err := probe.Do(req)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode
}

// receiver is an example at work.
type receiver struct {
	url string
	out *output
}

// newReceiver starts an example with secrets. It ends with the test.
func newReceiver(t *testing.T, program []string, secrets ...standardwebhooks.Secret) receiver {
	t.Helper()
	var shown []string
	for _, s := range secrets {
		shown = append(shown, s.Reveal())
	}
	cmd, out := exec.CommandContext(t.Context(), program[0], program[1:]...), &output{}
	cmd.Env = environment(map[string]string{"ADDR": "127.0.0.1:0", "WEBHOOK_SECRETS": strings.Join(shown, ","), "PYTHONDONTWRITEBYTECODE": "1"})
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r := receiver{out: out}
	eventually(t, 30*time.Second, func() string {
		m := regexp.MustCompile(`listening on (http://\S+)\n`).FindStringSubmatch(out.String())
		if m == nil {
			return "it does not listen: " + out.String()
		}
		r.url = m[1]
		return ""
	})
	return r
}

// The receivers that the documentation shows, over HTTP: what is ours passes, and nothing else does.
func TestTheReceiverExamples(t *testing.T) {
	t.Parallel()
	built, err := build("receiver", "gatehouse/examples/receiver/go")
	must(t, err)
	for language, program := range map[string][]string{
		"go": {built}, "python": {"python3", "../../examples/receiver/python/receiver.py"}, "node": {"node", "../../examples/receiver/node/receiver.mjs"},
	} {
		t.Run(language, func(t *testing.T) {
			need(t, program[0])
			current, old := standardwebhooks.NewSecret(), standardwebhooks.NewSecret()
			r := newReceiver(t, program, current)
			for _, path := range []string{"/webhooks", "/doorflow"} {
				r.judges(t, path, current, old)
			}
			r.refusesLargeBodies(t, language != "python")
			rotated(t, program, current, old)
			for _, secret := range []string{current.Reveal(), old.Reveal()} {
				if strings.Contains(r.out.String(), secret) {
					t.Error("it prints a secret")
				}
			}
		})
	}
}

// judges sends what must pass, what must not, and what has passed already.
func (r receiver) judges(t *testing.T, path string, current, stranger standardwebhooks.Secret) {
	t.Helper()
	standard, now := path == "/webhooks", time.Now()
	line := func(id any) string {
		return fmt.Sprintf("received %s-%v gatehouse.event.access.granted\n", strings.Trim(path, "/"), id)
	}
	var taken []int // how often, by their numbers
	for _, test := range []struct {
		name   string
		at     time.Time
		by     []standardwebhooks.Secret
		change func(*delivery)
		want   int
	}{
		{"good", now, []standardwebhooks.Secret{current}, nil, 204},
		{"four minutes old", now.Add(-4 * time.Minute), []standardwebhooks.Secret{current}, nil, 204},
		{"four minutes ahead", now.Add(4 * time.Minute), []standardwebhooks.Secret{current}, nil, 204},
		{"stale", now.Add(-6 * time.Minute), []standardwebhooks.Secret{current}, nil, 401},
		{"of the future", now.Add(6 * time.Minute), []standardwebhooks.Secret{current}, nil, 401},
		{"another secret", now, []standardwebhooks.Secret{stranger}, nil, 401},
		{"another body", now, []standardwebhooks.Secret{current}, func(d *delivery) { d.body = strings.Replace(d.body, "1.0}", "1.1}", 1) }, 401},
		{"the same JSON in other bytes", now, []standardwebhooks.Secret{current}, func(d *delivery) { d.body = strings.Replace(d.body, `\u0026`, "&", 1) }, 401},
		{"a newer time", now.Add(-time.Minute), []standardwebhooks.Secret{current}, func(d *delivery) {
			d.header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
			d.header.Set("Timestamp", strconv.FormatInt(now.Unix(), 10))
		}, 401},
		{"another id", now, []standardwebhooks.Secret{current}, func(d *delivery) { d.header.Set("webhook-id", "other") }, map[bool]int{true: 401, false: 204}[standard]},
		{"no headers", now, []standardwebhooks.Secret{current}, func(d *delivery) { d.header = http.Header{} }, 401},
		{"no signature", now, []standardwebhooks.Secret{current}, func(d *delivery) { d.header.Del("webhook-signature"); d.header.Del("Signature") }, 401},
		{"a signature beyond ASCII", now, []standardwebhooks.Secret{current}, func(d *delivery) {
			d.header.Set("webhook-signature", "v1,ä")
			d.header.Set("Signature", "ä")
		}, 401},
		{"no time", now, []standardwebhooks.Secret{current}, func(d *delivery) { d.header.Del("webhook-timestamp"); d.header.Del("Timestamp") }, 401},
		{"the headers of the other set alone", now, []standardwebhooks.Secret{current}, func(d *delivery) {
			for _, name := range map[bool][]string{true: {"webhook-signature", "webhook-timestamp"}, false: {"Signature", "Timestamp"}}[standard] {
				d.header.Del(name)
			}
		}, 401},
	} {
		d := newDelivery(t, fmt.Sprintf("%s-%d", strings.Trim(path, "/"), len(taken)), test.at, test.by...)
		if test.change != nil {
			test.change(d)
		}
		for range 2 { // the second time is a retry
			if got := d.post(t, r.url+path); got != test.want {
				t.Errorf("%s %s: %d, want %d", path, test.name, got, test.want)
			}
		}
		taken = append(taken, map[bool]int{true: 1}[test.want == 204])
	}
	// What it says is here a moment after its answer, and in order: behind the last line there is no other.
	if got := newDelivery(t, strings.Trim(path, "/")+"-last", now, current).post(t, r.url+path); got != 204 {
		t.Errorf("%s the last: %d", path, got)
	}
	eventually(t, 30*time.Second, func() string {
		if !strings.Contains(r.out.String(), line("last")) {
			return "it does not say what it has received last"
		}
		return ""
	})
	for n, want := range taken {
		if strings.Count(r.out.String(), line(n)) != want {
			t.Errorf("%s: want %d times %q in\n%s", path, want, line(n), r.out)
		}
	}
}

// refusesLargeBodies says it would send 2 MiB. Some answer at once, others when there is one byte too many.
func (r receiver) refusesLargeBodies(t *testing.T, reads bool) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "POST /webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 2<<20)
	must(t, err)
	if reads {
		_, err = conn.Write(bytes.Repeat([]byte{' '}, 1<<20+1))
		must(t, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: %d", resp.StatusCode)
	}
}

// rotated is how docs/receiving.md says that secrets are exchanged: for a day both sign one header set, and the new one alone the other.
func rotated(t *testing.T, program []string, current, old standardwebhooks.Secret) {
	t.Helper()
	for _, test := range []struct {
		name               string
		knows              []standardwebhooks.Secret
		standard, doorflow int
	}{
		{"the old secret", []standardwebhooks.Secret{old}, 204, 401},
		{"the new secret", []standardwebhooks.Secret{current}, 204, 204},
		{"both", []standardwebhooks.Secret{old, current}, 204, 204},
	} {
		r := newReceiver(t, program, test.knows...)
		for path, want := range map[string]int{"/webhooks": test.standard, "/doorflow": test.doorflow} {
			if got := newDelivery(t, "rotated", time.Now(), current, old).post(t, r.url+path); got != want {
				t.Errorf("%s with %s: %d, want %d", path, test.name, got, want)
			}
		}
	}
}

// Without a usable secret a receiver would believe anybody, so the examples do not start.
func TestTheReceiverExamplesWantASecret(t *testing.T) {
	t.Parallel()
	built, err := build("receiver", "gatehouse/examples/receiver/go")
	must(t, err)
	for _, program := range [][]string{{built}, {"python3", "../../examples/receiver/python/receiver.py"}, {"node", "../../examples/receiver/node/receiver.mjs"}} {
		need(t, program[0])
		for _, secrets := range []string{"", "whsec_", "whsec_c2hvcnQ=", "secret", standardwebhooks.NewSecret().Reveal() + ","} {
			cmd := exec.CommandContext(t.Context(), program[0], program[1:]...)
			cmd.Env = environment(map[string]string{"ADDR": "127.0.0.1:0", "WEBHOOK_SECRETS": secrets, "PYTHONDONTWRITEBYTECODE": "1"})
			if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), "listening") {
				t.Errorf("%s with %q: %s", program[0], secrets, out)
			}
		}
	}
}

// The documentation prints the examples as they are.
func TestTheDocumentationPrintsTheReceivers(t *testing.T) {
	docs, err := os.ReadFile("../../docs/receiving.md")
	must(t, err)
	for file, language := range map[string]string{"go/verify.go": "go", "python/verify.py": "python", "node/verify.mjs": "js"} {
		source, err := os.ReadFile("../../examples/receiver/" + file)
		must(t, err)
		if !bytes.Contains(docs, append(append([]byte("```"+language+"\n"), source...), "```\n"...)) {
			t.Errorf("docs/receiving.md does not print examples/receiver/%s as it is", file)
		}
	}
}
