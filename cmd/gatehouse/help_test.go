package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	main "gatehouse/cmd/gatehouse"
)

// The examples in the help are a shell script. Here other programs stand for gatehouse and jq, and the first notes
// what it is called with.
func TestExamplesAreOfEveryCommandAndCanBeUsed(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{
		"gatehouse": "#!/bin/sh\nprintf '%s\\0' \"$@\" >>$CALLS; echo >>$CALLS\n",
		"jq":        "#!/bin/sh\necho some-id\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, ".config/fish/completions"), 0o700); err != nil {
		t.Fatal(err)
	}
	calls := filepath.Join(dir, "calls")
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin, cmd.Dir = strings.NewReader(main.Examples), dir
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "CALLS=" + calls}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("%v\n%s", err, out) // such as a file that is not there
	}
	said, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, call := range bytes.Split(bytes.TrimSuffix(said, []byte("\n")), []byte("\n")) {
		args := strings.Split(strings.TrimSuffix(string(call), "\x00"), "\x00")
		path, err := main.Parse(args)
		if err != nil {
			t.Errorf("%q: %v", args, err)
		}
		used[path] = true
	}
	for _, path := range main.Leaves() {
		if !used[path] {
			t.Errorf("no example uses %s", path)
		}
		if len(main.ExamplesOf(path)) == 0 {
			t.Errorf("the help of %s shows no example", path)
		}
	}
	if len(used) < 50 {
		t.Errorf("only %d commands were found", len(used))
	}
}
