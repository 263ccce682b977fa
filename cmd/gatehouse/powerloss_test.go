package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// What a power loss would take cannot be seen from inside a machine that runs. What can be seen is the order
// of the system calls: no answer 200 begins before a sync of the write-ahead log has ended that began after
// the request's rows had been written to it.
func TestNo200BeforeItsSync(t *testing.T) {
	t.Parallel()
	need(t, "strace")
	if out, err := exec.Command("strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("skipped: this machine does not let a process be traced: %s", bytes.TrimSpace(out))
	}
	const wanted = 1000
	path := filepath.Join(t.TempDir(), "trace")
	g := newGateway(t, nil)
	// -D makes the tracer a grandchild, so that the gateway stays the process we signal.
	g.with = []string{
		"strace", "-D", "-f", "-y", "-s", "70000", "-o", path,
		"-e", "trace=read,write,pwrite64,fsync,fdatasync", "-e", "signal=none",
	}
	g.start()
	l := newLoad()
	l.begin(t, 16, g)
	l.awaitAnswers(t, wanted)
	l.end()
	g.stop()
	// The tracer writes the rest of its file when the gateway is gone.
	eventually(t, 20*time.Second, func() string {
		if !bytes.Contains(lastBytes(t, path, 4096), []byte("+++ exited with 0 +++")) {
			return "the trace is not complete"
		}
		return ""
	})
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tr, err := readTrace(file)
	if err != nil {
		t.Fatal(err)
	}
	l.wantOnly(t, 200)
	faults, checked := 0, 0
	for _, token := range l.confirmed() {
		checked++
		if err := tr.check(token); err != nil {
			if faults++; faults < 10 {
				t.Error(err)
			}
		}
	}
	if checked < wanted || faults > 0 {
		t.Errorf("%d of %d notifications answered 200 were not on disk before", faults, checked)
	}
	t.Logf("%d requests answered 200 with %d notifications, %d syncs", l.requests.Load(), checked, len(tr.syncs))
}

func lastBytes(t *testing.T, path string, n int64) []byte {
	t.Helper()
	data, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	info, err := data.Stat()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, min(n, info.Size()))
	if _, err := data.ReadAt(buf, info.Size()-int64(len(buf))); err != nil {
		t.Fatal(err)
	}
	return buf
}
