package events

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// bookmark is how far a reader has come in the logs of all writers. It holds the writers that may still
// say something the reader has not seen. Ids of writers rise with time, so a writer that is not in it has
// been read to its end if its id is at most highest, and is new, to be read from its start, if not.
type bookmark struct {
	highest int64
	read    map[int64]int64 // writer → the last seq that was read
}

// writerState is a row of the writers table.
type writerState struct{ ID, Head, Fenced int64 }

// here is the bookmark of a reader that wants only what comes from now on.
func here(writers []writerState) bookmark {
	b := bookmark{read: map[int64]int64{}}
	for _, w := range writers {
		b.highest = max(b.highest, w.ID)
		b.read[w.ID] = w.Head
	}
	b.settle(writers)
	return b
}

// meet takes up writers that are new, and forgets those that are gone: they had nothing left.
func (b *bookmark) meet(writers []writerState) {
	known, highest := make(map[int64]bool, len(writers)), b.highest
	for _, w := range writers {
		known[w.ID] = true
		if w.ID > b.highest {
			b.read[w.ID] = 0
		}
		highest = max(highest, w.ID)
	}
	b.highest = highest
	maps.DeleteFunc(b.read, func(writer, _ int64) bool { return !known[writer] })
}

// settle forgets writers that will append no more and have been read to their end.
func (b *bookmark) settle(writers []writerState) {
	for _, w := range writers {
		if w.Fenced != 0 && b.read[w.ID] >= w.Head {
			delete(b.read, w.ID)
		}
	}
}

const (
	bookmarkVersion = 1
	maxBookmark     = 8 << 10 // characters; room for some hundred writers, of which one per process lives
)

// String is the bookmark as text. Clients get it covered.
func (b bookmark) String() string {
	buf := binary.AppendUvarint([]byte{bookmarkVersion}, uint64(b.highest))
	for _, writer := range slices.Sorted(maps.Keys(b.read)) {
		buf = binary.AppendUvarint(buf, uint64(b.highest-writer))
		buf = binary.AppendUvarint(buf, uint64(b.read[writer]))
	}
	return base64.RawURLEncoding.EncodeToString(buf)
}

var errBookmark = errors.New("not a bookmark")

func parseBookmark(s string) (bookmark, error) {
	if len(s) > maxBookmark {
		return bookmark{}, errBookmark
	}
	buf, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(buf) < 2 || buf[0] != bookmarkVersion {
		return bookmark{}, errBookmark
	}
	buf = buf[1:]
	b := bookmark{read: map[int64]int64{}}
	if b.highest, err = takeNumber(&buf); err != nil {
		return bookmark{}, err
	}
	for len(buf) > 0 {
		below, err := takeNumber(&buf)
		if err != nil {
			return bookmark{}, err
		}
		seq, err := takeNumber(&buf)
		if _, double := b.read[b.highest-below]; err != nil || double || below > b.highest {
			return bookmark{}, errBookmark
		}
		b.read[b.highest-below] = seq
	}
	return b, nil
}

func takeNumber(buf *[]byte) (int64, error) {
	n, size := binary.Uvarint(*buf)
	if size <= 0 || n > 1<<62 {
		return 0, errBookmark
	}
	*buf = (*buf)[size:]
	return int64(n), nil
}
