package events

import "time"

// lane is the relay's view of one writer's log. It is used by the relay's goroutine alone.
//
//	acked ≤ next-1 ≤ head: rows up to acked are in the stream; those from acked to next are in flight
//	or in the buffer; those from next to head are still to be fetched.
type lane struct {
	writer int64
	head   int64 // newest committed row, as far as known
	next   int64 // first row not yet taken into buffer or flight
	acked  int64
	saved  int64 // the cursor in the database

	buffer  []Row
	flights []*flight // in the order of seq
	present seqSet    // rows beyond the checkpoint that reconciling found in the stream
	// hold is the last of present. Until acked has come so far, top may be the place of a later row, and
	// a cursor with it would hide that row from the next reconciling.
	hold int64
	// unheard tells that no row of this lane can be in the stream, because its writer is this process's
	// own and has not sent any.
	unheard bool

	// top is the highest place in the stream of any row up to acked, or up to hold.
	top position
	// savedAt is when the cursor was last stored; keptAt, when it was last stored to stay; passing tells
	// that the last one is to be replaced by the next.
	savedAt, keptAt time.Time
	passing         bool
	ready           bool // reconciled since it was last in doubt
}

// position is a place in the stream and the id of the message that stands there.
type position struct {
	seq int64
	id  string
}

// flight is one row on its way into the stream.
type flight struct {
	row   Row
	lane  *lane
	token uint64
	sent  time.Time
	at    position
	done  bool
}

const laneBuffer = 2048

// offer takes fresh rows out of memory where they follow on what the lane has. What does not follow is
// left to be read from the database.
func (l *lane) offer(rows []Row) {
	for i := range rows {
		r := &rows[i]
		l.head = max(l.head, r.Seq)
		if r.Seq == l.next && len(l.buffer) < laneBuffer {
			l.buffer = append(l.buffer, *r)
			l.next++
		}
	}
}

// rewind forgets everything after the cursor.
func (l *lane) rewind(cursor int64, top position, present seqSet) {
	l.acked, l.saved, l.next = cursor, cursor, cursor+1
	l.top, l.present, l.hold = top, present, present.high
	l.buffer, l.flights, l.ready, l.passing = nil, nil, true, false
}

// settle moves acked over the flights that have arrived, in order.
func (l *lane) settle() {
	done := 0
	for _, f := range l.flights {
		if !f.done {
			break
		}
		l.acked = f.row.Seq
		if f.at.seq > l.top.seq {
			l.top = f.at
		}
		done++
	}
	l.flights = l.flights[done:]
	if len(l.flights) == 0 && len(l.buffer) == 0 {
		// Rows that are pruned or were found in the stream take no flight.
		l.acked = max(l.acked, l.next-1)
	}
}

func (l *lane) idle() bool { return len(l.flights) == 0 && len(l.buffer) == 0 && l.next > l.head }

// seqSet is a set of sequence numbers above a base, a bit each.
type seqSet struct {
	base int64
	bits []uint64
	// low and high are the smallest and the largest member, 0 when empty.
	low, high int64
}

func (s *seqSet) add(seq int64) {
	i := seq - s.base
	if i < 0 {
		return
	}
	for int64(len(s.bits))*64 <= i {
		s.bits = append(s.bits, make([]uint64, len(s.bits)+16)...)
	}
	s.bits[i/64] |= 1 << (i % 64)
	if s.low == 0 || seq < s.low {
		s.low = seq
	}
	s.high = max(s.high, seq)
}

func (s *seqSet) has(seq int64) bool {
	i := seq - s.base
	return i >= 0 && i/64 < int64(len(s.bits)) && s.bits[i/64]&(1<<(i%64)) != 0
}
