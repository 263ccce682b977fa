package events

import "sync"

// notice wakes any number of waiters, who come and go as they like. A Feed hands over rows and must be
// there before the log runs; a notice only says that there is something to read.
type notice struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns a channel that the next call of fire closes.
func (n *notice) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil {
		n.next = make(chan struct{})
	}
	return n.next
}

func (n *notice) fire() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		close(n.next)
		n.next = nil
	}
}

// Committed returns a channel that is closed by the next commit of this process that holds messages.
// Whoever takes it before looking into the database misses nothing.
func (l *Log) Committed() <-chan struct{} { return l.news.wait() }
