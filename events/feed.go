package events

import "sync"

const feedBytes = 32 << 20

// Feed hands freshly committed rows to one reader in memory, so that it need not read them back. It is a
// shortcut, not a promise: what does not fit is dropped, and the reader finds it in the database.
type Feed struct {
	wake chan struct{}

	mu   sync.Mutex
	rows []Row
	size int
}

// Feed returns a new feed. It must be taken before Run.
func (l *Log) Feed() *Feed {
	f := &Feed{wake: make(chan struct{}, 1)}
	l.feeds = append(l.feeds, f)
	return f
}

// Wake is ready when rows have been committed since the last Take.
func (f *Feed) Wake() <-chan struct{} { return f.wake }

// Take returns the rows since the last call, in order, perhaps with gaps.
func (f *Feed) Take() []Row {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := f.rows
	f.rows, f.size = nil, 0
	return rows
}

func (f *Feed) offer(rows []Row) {
	if len(rows) == 0 {
		return
	}
	f.mu.Lock()
	for i := range rows {
		if f.size += len(rows[i].Body) + 256; f.size > feedBytes {
			break
		}
		f.rows = append(f.rows, rows[i])
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}
