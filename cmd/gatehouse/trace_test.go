package main_test

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// trace is what strace -f -y wrote about a gateway, as far as it matters: which bytes came in, when they
// were written to the database's write-ahead log, when that was synced, and which answers went out.
//
// Positions are line numbers. A call that others overtook has two lines, where it began and where it ended.
type trace struct {
	// By what a request says: a token that no other request has.
	asked   map[string]reading
	written map[string]int // line at which the first write of it to the log had ended
	syncs   []syncing
	answers map[string][]int // by connection: lines at which an answer 200 began
}

type reading struct {
	conn string
	at   int
}

type syncing struct{ began, ended int }

var (
	// tokens are what the load makes ack tokens of.
	tokenInTrace  = regexp.MustCompile(`ack_token=(A[0-9a-z]{11})\b`)
	anyToken      = regexp.MustCompile(`A[0-9a-z]{11}`)
	callInTrace   = regexp.MustCompile(`^(\d+) +(?:(\w+)\(|<\.\.\. (\w+) resumed>)`)
	failedInTrace = regexp.MustCompile(`\) += -1 E[A-Z]+ \([^"]*\)\n$`)
	fileInTrace   = regexp.MustCompile(`^\d+ +\w+\((\d+<[^>]*>)`)
)

// readTrace reads the lines one by one: they are long, because they hold whole pages of the database.
func readTrace(r io.Reader) (*trace, error) {
	t := &trace{asked: map[string]reading{}, written: map[string]int{}, answers: map[string][]int{}}
	open := map[string]call{} // by thread: the call that has begun and not ended
	in := bufio.NewReaderSize(r, 1<<20)
	for at := 1; ; at++ {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		m := callInTrace.FindStringSubmatch(line)
		if m == nil {
			continue // signals, exits
		}
		thread, name := m[1], m[2]
		if name == "" { // resumed
			c := open[thread]
			delete(open, thread)
			if c.name != m[3] {
				return nil, fmt.Errorf("line %d: %s ends, but %q had begun", at, m[3], c.name)
			}
			c.text += line
			t.end(c, at)
			continue
		}
		c := call{name: name, began: at, text: line}
		if file := fileInTrace.FindStringSubmatch(line); file != nil {
			c.file = file[1]
		}
		t.begin(c)
		if strings.HasSuffix(line, "<unfinished ...>\n") {
			open[thread] = c
			continue
		}
		t.end(c, at)
	}
}

// call is one system call on a file or connection.
type call struct {
	name, file, text string
	began            int
}

func (c call) log() bool { return strings.HasSuffix(c.file, "-wal>") }

func (c call) connection() bool {
	return strings.Contains(c.file, "<socket:") || strings.Contains(c.file, "<TCP")
}

func (c call) failed() bool { return failedInTrace.MatchString(c.text) }

// begin notes what counts from its beginning: an answer may be on its way as soon as its write has begun.
func (t *trace) begin(c call) {
	if c.name == "write" && c.connection() && strings.Contains(c.text, `"HTTP/1.1 200 `) {
		t.answers[c.file] = append(t.answers[c.file], c.began)
	}
}

// end notes what counts when it is done.
func (t *trace) end(c call, at int) {
	if c.failed() {
		return
	}
	switch {
	case c.name == "read" && c.connection():
		for _, m := range tokenInTrace.FindAllStringSubmatch(c.text, -1) {
			if _, again := t.asked[m[1]]; !again {
				t.asked[m[1]] = reading{c.file, at}
			}
		}
	case (c.name == "write" || c.name == "pwrite64") && c.log():
		for _, token := range anyToken.FindAllString(c.text, -1) {
			if _, again := t.written[token]; !again {
				t.written[token] = at
			}
		}
	case (c.name == "fsync" || c.name == "fdatasync") && c.log():
		t.syncs = append(t.syncs, syncing{c.began, at})
	}
}

// check wants for a request that was answered 200: its token in the log, then a sync that began after that
// write and ended before the answer.
func (t *trace) check(token string) error {
	asked, ok := t.asked[token]
	if !ok {
		return fmt.Errorf("%s: the trace does not show the request", token)
	}
	answer := 0
	for _, at := range t.answers[asked.conn] {
		if at > asked.at {
			answer = at
			break
		}
	}
	if answer == 0 {
		return fmt.Errorf("%s: the trace does not show the answer", token)
	}
	written, ok := t.written[token]
	if !ok || written > answer {
		return fmt.Errorf("%s: answered in line %d, but not written to the log before", token, answer)
	}
	for _, s := range t.syncs {
		if s.began > written && s.ended < answer {
			return nil
		}
	}
	return fmt.Errorf("%s: written in line %d, answered in line %d, but not synced in between", token, written, answer)
}

// The checker has to be worth something itself.
func TestTraceCheckerSeesABrokenPromise(t *testing.T) {
	const (
		request  = `10 read(8<socket:[77]>, "POST /webhooks/doorflow HTTP/1.1\r\n\r\n[{\"resource\":\"x?ack_token=Aabcdefghijk\"}]", 4096) = 300` + "\n"
		written  = `11 pwrite64(9</d/gatehouse.db-wal>, "\0\1Aabcdefghijk\2", 4096, 56) = 4096` + "\n"
		began    = `11 fdatasync(9</d/gatehouse.db-wal> <unfinished ...>` + "\n"
		ended    = `11 <... fdatasync resumed>) = 0` + "\n"
		failed   = `11 <... fdatasync resumed>) = -1 EIO (Input/output error)` + "\n"
		otherOne = `11 fdatasync(12</d/gatehouse.db>) = 0` + "\n"
		answered = `10 write(8<socket:[77]>, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38) = 38` + "\n"
		refused  = `10 write(8<socket:[77]>, "HTTP/1.1 503 Service Unavailable\r\n", 38) = 38` + "\n"
		foreign  = `10 write(7<socket:[78]>, "HTTP/1.1 200 OK\r\n\r\n", 38) = 38` + "\n"
	)
	for _, row := range []struct {
		name  string
		lines string
		fault string
	}{
		{"kept", request + written + began + ended + answered, ""},
		{"kept beside another connection", request + foreign + written + began + ended + answered, ""},
		{"answered while syncing", request + written + began + answered + ended, "not synced"},
		{"synced too early", request + strings.ReplaceAll(began, "11 ", "12 ") + written + strings.ReplaceAll(ended, "11 ", "12 ") + answered, "not synced"},
		{"the sync never ended", request + written + began + answered, "not synced"},
		{"never synced", request + written + answered, "not synced"},
		{"another file synced", request + written + otherOne + answered, "not synced"},
		{"the sync failed", request + written + began + failed + answered, "not synced"},
		{"written too late", request + answered + written + began + ended, "not written"},
		{"refused", request + written + began + ended + refused, "does not show the answer"},
		{"never asked", written + began + ended + answered, "does not show the request"},
	} {
		t.Run(row.name, func(t *testing.T) {
			tr, err := readTrace(strings.NewReader(row.lines))
			if err != nil {
				t.Fatal(err)
			}
			err = tr.check("Aabcdefghijk")
			switch {
			case row.fault == "" && err != nil:
				t.Errorf("refused what is right: %v", err)
			case row.fault != "" && (err == nil || !strings.Contains(err.Error(), row.fault)):
				t.Errorf("got %v, want %q", err, row.fault)
			}
		})
	}
}
