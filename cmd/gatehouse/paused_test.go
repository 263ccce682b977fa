package main_test

import (
	"strings"
	"syscall"
	"testing"

	"gatehouse/internal/sqldb/sqldbtest"
)

// A replica is not dead but stands still, as under a debugger or in a virtual machine that is being moved,
// until the other has taken its log over. When it goes on it must not publish what the other has published,
// nor write to a log that is its own no more.
func TestReplicaThatWasPausedTooLong(t *testing.T) {
	t.Parallel()
	n := newNATS(t)
	replicas := shared(t, sqldbtest.PostgresURL(t), n, 2)
	for _, g := range replicas {
		g.env["GATEHOUSE_LOG_LEVEL"] = "info" // it tells of the take-over
		g.start()
	}
	paused, other := replicas[0], replicas[1]
	l := newLoad()
	l.begin(t, senders/2, replicas...)
	l.awaitAnswers(t, 100)
	n.kill() // so that there is something left to be published
	l.awaitAnswers(t, 100)
	const takeover = "took over the log"
	before := strings.Count(other.log(), takeover)
	paused.signal(syscall.SIGSTOP)
	n.start()
	eventually(t, 2*leaseAndMore, func() string {
		if strings.Count(other.log(), takeover) == before {
			return "the other replica did not take over"
		}
		return ""
	})
	paused.signal(syscall.SIGCONT)
	l.awaitAnswers(t, 200)
	l.end()
	s := n.complete(l)
	for _, g := range replicas {
		g.stop()
	}
	if again := n.read(); again.messages != s.messages {
		t.Logf("%d messages came after the load's own had all been seen", again.messages-s.messages)
		s = again
	}
	l.verify(t, s, nil)
	if !strings.Contains(paused.log(), "another process took this log over") {
		t.Error("the paused replica did not notice: this test proves nothing")
	}
}
