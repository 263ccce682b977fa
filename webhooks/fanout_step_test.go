package webhooks

import (
	"testing"

	"gatehouse/events"
)

func rowsOf(seqs ...int64) (rows []events.Row) {
	for _, seq := range seqs {
		rows = append(rows, events.Row{Writer: 1, Seq: seq, Account: "hX9aQ2", Subject: "gatehouse.event.hX9aQ2.access.granted"})
	}
	return rows
}

// What memory brings is taken without gaps: the rest is read from the database.
func TestRowsAreTakenWithoutGaps(t *testing.T) {
	r := &reach{writer: 1, next: 3}
	f := &fanout{logs: map[int64]*reach{1: r}}
	for _, seqs := range [][]int64{{1, 2, 3, 4}, {6, 7}, {5, 5}, {9}} {
		if err := f.take(t.Context(), rowsOf(seqs...)); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.buffer) != 3 || r.buffer[0].Seq != 3 || r.buffer[2].Seq != 5 || r.head != 9 {
		t.Errorf("%d rows up to %d: %+v", len(r.buffer), r.head, r.buffer)
	}
	many := &reach{writer: 1, next: 1}
	f.logs[1] = many
	for seq := range int64(fanOutBuffer + 10) {
		_ = f.take(t.Context(), rowsOf(seq+1))
	}
	if len(many.buffer) != fanOutBuffer || many.head != fanOutBuffer+10 {
		t.Errorf("%d rows are kept, up to %d", len(many.buffer), many.head)
	}
}

// A step ends behind the last message of which every delivery is made.
func TestAStepHasAllOfEachMessage(t *testing.T) {
	pattern, err := events.ParsePattern("gatehouse.event.>")
	if err != nil {
		t.Fatal(err)
	}
	var endpoints []*Endpoint
	for _, id := range []string{"a", "b", "c"} {
		endpoints = append(endpoints, &Endpoint{ID: id, wants: []events.Filter{{Pattern: pattern}}})
	}
	endpoints[2].began = map[int64]int64{1: 10} // made later than ten of them
	seqs := make([]int64, 600)
	for i := range seqs {
		seqs[i] = int64(i + 1)
	}
	upto := int64(600)
	made := (&fanout{}).match(rowsOf(seqs...), endpoints, &upto)
	if want := int(3*upto - 10); len(made) != want || upto >= 600 || len(made) < fanOutStep || len(made) > fanOutStep+3 {
		t.Errorf("%d deliveries up to message %d, want %d", len(made), upto, want)
	}
	upto = 3
	if made := (&fanout{}).match(rowsOf(1, 2, 3), endpoints, &upto); len(made) != 6 || upto != 3 {
		t.Errorf("%d deliveries up to message %d, want 6 up to 3", len(made), upto)
	}
}
