package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	oracle "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"gatehouse/standardwebhooks"
)

// arrived is a delivery as an endpoint got it.
type arrived struct {
	header http.Header
	body   []byte
}

// tried sends the endpoint its test message and returns the status that it answered.
func tried(t *testing.T, g *gateway, id string) int {
	t.Helper()
	var attempt struct{ Status int }
	g.call(http.MethodPost, "/v1/endpoints/"+id+"/test", "").json(t, &attempt)
	return attempt.Status
}

// Deliveries are verified by libraries that know nothing of this gateway, the one in Go and the one in
// JavaScript, also while two secrets sign.
func TestDeliveriesAreVerifiedByTheLibraries(t *testing.T) {
	need(t, "node")
	need(t, "npm")
	g := newGateway(t, map[string]string{"GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"}).start()
	came := make(chan arrived, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		came <- arrived{r.Header, body}
	}))
	t.Cleanup(server.Close)
	var made, rotated struct{ ID, Secret string }
	g.call(http.MethodPost, "/v1/endpoints", `{"url":"`+server.URL+`","subjects":["gatehouse.>"]}`).json(t, &made)
	type judged struct {
		Header map[string]string `json:"header"`
		Body   string            `json:"body"`
		Secret string            `json:"secret"`
		OK     bool              `json:"ok"`
	}
	var all []judged
	judge := func(a arrived, secret string, ok bool) {
		t.Helper()
		h, err := oracle.NewWebhook(secret)
		must(t, err)
		if err := h.Verify(a.body, a.header); (err == nil) != ok {
			t.Errorf("the Go library says %v, want %v", err, ok)
		}
		header := map[string]string{}
		for _, name := range []string{standardwebhooks.IDHeader, standardwebhooks.TimestampHeader, standardwebhooks.SignatureHeader} {
			header[name] = a.header.Get(name)
		}
		all = append(all, judged{header, string(a.body), secret, ok})
	}
	deliver := func() arrived {
		t.Helper()
		if status := tried(t, g, made.ID); status != http.StatusOK {
			t.Fatalf("the attempt was answered %d", status)
		}
		return <-came
	}
	judge(deliver(), made.Secret, true)
	g.call(http.MethodPost, "/v1/endpoints/"+made.ID+"/rotate-secret", "").json(t, &rotated)
	both := deliver()
	judge(both, made.Secret, true)
	judge(both, rotated.Secret, true)
	judge(both, standardwebhooks.NewSecret().Reveal(), false)
	input, err := json.Marshal(all)
	must(t, err)
	if out := judgedByNode(t, input); out != "4 webhooks judged as expected\n" {
		t.Errorf("node says %q", out)
	}
}

// judgedByNode runs the library's verifier in a directory of its own.
func judgedByNode(t *testing.T, input []byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "verify.mjs"} {
		text, err := os.ReadFile(filepath.Join("../../standardwebhooks/nodetest", name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	var out []byte
	for _, args := range [][]string{{"npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"}, {"node", "verify.mjs"}} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		var errs bytes.Buffer
		cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(input), &errs
		var err error
		if out, err = cmd.Output(); err != nil {
			t.Fatalf("%v: %v\n%s%s", args, err, out, errs.String())
		}
	}
	return string(out)
}

// The receivers that the documentation shows take what the gateway delivers, by either set of headers.
func TestTheReceiverExamplesTakeDeliveries(t *testing.T) {
	built, err := build("receiver", "gatehouse/examples/receiver/go")
	must(t, err)
	g := newGateway(t, map[string]string{"GATEHOUSE_EGRESS_ALLOW": "127.0.0.0/8"}).start()
	for language, program := range map[string][]string{
		"go": {built}, "python": {"python3", "../../examples/receiver/python/receiver.py"}, "node": {"node", "../../examples/receiver/node/receiver.mjs"},
	} {
		t.Run(language, func(t *testing.T) {
			need(t, program[0])
			var made struct{ ID, Secret string }
			g.call(http.MethodPost, "/v1/endpoints", `{"url":"http://127.0.0.1:9/","subjects":["gatehouse.>"]}`).json(t, &made)
			secret, err := standardwebhooks.ParseSecret(made.Secret)
			must(t, err)
			r := newReceiver(t, program, secret)
			for _, path := range []string{"/webhooks", "/doorflow"} {
				g.call(http.MethodPatch, "/v1/endpoints/"+made.ID, `{"url":"`+r.url+path+`"}`).json(t, &struct{}{})
				eventually(t, 30*time.Second, func() string { // another request may still have the endpoint as it was
					if status := tried(t, g, made.ID); status != http.StatusNoContent {
						return "the test message was not taken: " + http.StatusText(status) + " " + r.out.String()
					}
					return ""
				})
			}
		})
	}
}
