package events

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/internal/sqldb/sqldbtest"
)

func TestLaneTakesOnlyWhatFollows(t *testing.T) {
	l := &lane{writer: 1, next: 3, head: 2, acked: 2}
	l.offer([]Row{{Seq: 3}, {Seq: 4}, {Seq: 6}, {Seq: 5}})
	if len(l.buffer) != 3 || l.buffer[2].Seq != 5 || l.next != 6 || l.head != 6 {
		t.Fatalf("buffer %v, next %d, head %d", l.buffer, l.next, l.head)
	}
	l.offer([]Row{{Seq: 2}})
	if l.next != 6 || l.head != 6 || l.idle() {
		t.Fatalf("an old row moved next to %d, head to %d", l.next, l.head)
	}
}

func TestLaneSettlesInOrder(t *testing.T) {
	l := &lane{writer: 1, next: 4, head: 3}
	for seq := int64(1); seq <= 3; seq++ {
		l.flights = append(l.flights, &flight{row: Row{Seq: seq}})
	}
	l.flights[1].done, l.flights[1].at = true, position{12, "b"}
	if l.settle(); l.acked != 0 {
		t.Fatalf("acked %d before the first has arrived", l.acked)
	}
	l.flights[0].done, l.flights[0].at = true, position{13, "a"}
	if l.settle(); l.acked != 2 || l.top != (position{13, "a"}) {
		t.Fatalf("acked %d, top %v", l.acked, l.top)
	}
	l.flights[0].done = true // parked: it has no place
	if l.settle(); l.acked != 3 || l.top.seq != 13 || !l.idle() {
		t.Fatalf("acked %d, top %v", l.acked, l.top)
	}
}

func TestSeqSet(t *testing.T) {
	s := seqSet{base: 1000}
	for _, seq := range []int64{1003, 5000, 1001, 999} {
		s.add(seq)
	}
	for seq, want := range map[int64]bool{999: false, 1000: false, 1001: true, 1002: false, 1003: true, 5000: true, 4999: false, 1 << 40: false} {
		if s.has(seq) != want {
			t.Errorf("has(%d) is %v", seq, !want)
		}
	}
	if s.low != 1001 || s.high != 5000 {
		t.Errorf("from %d to %d", s.low, s.high)
	}
}

// Rows 1, 2 and 5 were found in the stream, 5 at place 100. A cursor "2 at 100" would hide row 5 from the
// next reconciling, which reads from 101 on: it would be published twice.
func TestCursorWaitsForHoles(t *testing.T) {
	db := sqldbtest.SQLite(t)
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	l, err := OpenLog(t.Context(), LogConfig{DB: db, Registerer: prometheus.NewRegistry(), Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRelay(RelayConfig{DB: db, Log: l, Registerer: prometheus.NewRegistry(), Logger: logger})
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { defer close(done); _ = l.Run(ctx) }()
	defer func() { cancel(); <-done }()

	present := seqSet{}
	for _, seq := range []int64{1, 2, 5} {
		present.add(seq)
	}
	lane := &lane{writer: l.writer, head: 5}
	lane.rewind(0, position{100, "five"}, present)
	r.lanes[l.writer] = lane
	for _, tt := range []struct{ acked, want int64 }{{2, 0}, {4, 0}, {5, 5}} {
		lane.acked = tt.acked
		if err := r.saveCursors(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if lane.saved != tt.want {
			t.Errorf("with %d in the stream the cursor is %d, want %d", tt.acked, lane.saved, tt.want)
		}
	}
	if _, err := db.Writer().ExecContext(t.Context(), `UPDATE writers SET holder = 'another' WHERE id = ?`, l.writer); err != nil {
		t.Fatal(err)
	}
	var before, after int
	const checkpoints = `SELECT COUNT(*) FROM relay_checkpoints`
	if err := db.Get(t.Context(), &before, checkpoints); err != nil {
		t.Fatal(err)
	}
	lane.acked = 9
	_ = r.saveCursors(t.Context(), true)
	if err := db.Get(t.Context(), &after, checkpoints); err != nil || after != before {
		t.Errorf("%d checkpoints after the log was taken over, %d before (%v)", after, before, err)
	}
}
