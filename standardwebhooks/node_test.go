package standardwebhooks_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/standardwebhooks"
)

// The specification's library for Node is what many receivers verify with. It may be missing on a desk without
// Node, but never in CI.
func TestTheNodeLibraryVerifies(t *testing.T) {
	skip := t.Skip
	if os.Getenv("CI") == "true" {
		skip = t.Fatal
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			skip("not verifying with the Node library:", err)
		}
	}
	if _, err := os.Stat(filepath.Join("nodetest", "node_modules", "standardwebhooks")); err != nil {
		node(t, nil, "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
	}
	type sent struct {
		Header map[string]string `json:"header"`
		Body   string            `json:"body"`
		Secret string            `json:"secret"`
		OK     bool              `json:"ok"`
	}
	current, old, stranger := standardwebhooks.NewSecret(), standardwebhooks.NewSecret(), standardwebhooks.NewSecret()
	var all []sent
	add := func(body, received string, at time.Time, secret standardwebhooks.Secret, ok bool) {
		header := http.Header{}
		if err := standardwebhooks.Sign(header, vectorID, at, []byte(body), current, old); err != nil {
			t.Fatal(err)
		}
		all = append(all, sent{map[string]string{
			"webhook-id": header.Get("webhook-id"), "webhook-timestamp": header.Get("webhook-timestamp"), "webhook-signature": header.Get("webhook-signature"),
		}, received, secret.Reveal(), ok})
	}
	now := time.Now()
	for _, body := range []string{vectorBody, `{"name":"Åsa 鍵 \u0026 \ud83d\udd11"}`} {
		add(body, body, now, current, true)
		add(body, body, now, old, true)
		add(body, body, now, stranger, false)
		add(body, body+" ", now, current, false)
		add(body, body, now.Add(-10*time.Minute), current, false)
		add(body, body, now.Add(10*time.Minute), current, false)
	}
	input, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if out := node(t, input, "node", "verify.mjs"); string(out) != "12 webhooks judged as expected\n" {
		t.Errorf("node says %q", out)
	}
}

func node(t *testing.T, input []byte, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Stdin = "nodetest", bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			t.Fatalf("%s: %v\n%s%s", program, err, out, exit.Stderr)
		}
		t.Fatal(err)
	}
	return out
}
