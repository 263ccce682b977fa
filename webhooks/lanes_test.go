package webhooks

import "testing"

// taken takes so many slots as there are, at most n.
func taken(l *lanes, e *Endpoint, n int) (got int) {
	for range n {
		if l.take(e) {
			got++
		}
	}
	return got
}

func ready(l *lanes) bool {
	select {
	case <-l.freed:
		return true
	default:
		return false
	}
}

func TestLanesAreAsWideAsTheyMayBe(t *testing.T) {
	l, e := newLanes(), &Endpoint{ID: "a", Concurrency: 8}
	if n := taken(l, e, 20); n != 8 {
		t.Errorf("%d under way, want 8", n)
	}
	for range 8 {
		l.free("a")
	}
	l.judge("a", false, false)
	if n := taken(l, e, 20); n != troubledSlots {
		t.Errorf("%d under way to an endpoint that fails, want %d", n, troubledSlots)
	}
	l.judge("a", true, false)
	if n := taken(l, e, 20); n != 8-troubledSlots {
		t.Errorf("%d more when it works again, want %d", n, 8-troubledSlots)
	}
	ordered := &Endpoint{ID: "b", Concurrency: 8, Ordered: true}
	if taken(l, ordered, 1) != 0 {
		t.Error("what is for an ordered endpoint did not take its turn")
	}
	l.stir("b")
	if all := l.wishes([]*Endpoint{ordered}); len(all) != 1 || all[0].slots != 1 {
		t.Errorf("an ordered endpoint wants %+v, want one", all)
	}
}

// What is just said does not overtake what waits in the database.
func TestWhatWaitsGoesFirst(t *testing.T) {
	l, e := newLanes(), &Endpoint{ID: "a", Concurrency: 8}
	l.stir("a")
	if taken(l, e, 1) != 0 {
		t.Error("it went ahead")
	}
	all := l.wishes([]*Endpoint{e})
	if len(all) != 1 || all[0].slots != 8 {
		t.Fatalf("%+v", all)
	}
	l.granted(all[0], 3)
	if n := taken(l, e, 20); n != 5 {
		t.Errorf("%d more when nothing waits any more, want 5", n)
	}
}

// Something that becomes due while it is being looked for is looked for again.
func TestWhatComesMeanwhileIsNotForgotten(t *testing.T) {
	l, e := newLanes(), &Endpoint{ID: "a", Concurrency: 8}
	l.stir("a")
	all := l.wishes([]*Endpoint{e})
	ready(l)
	l.stir("a")
	ready(l)
	l.granted(all[0], 0)
	if !ready(l) || len(l.wishes([]*Endpoint{e})) != 1 {
		t.Error("it is not looked for")
	}
}

// One that takes up all there is leaves each of the others one.
func TestEachEndpointMayAlwaysHaveOne(t *testing.T) {
	l, greedy, other := newLanes(), &Endpoint{ID: "a", Concurrency: 2 * maxInFlight}, &Endpoint{ID: "b", Concurrency: 8}
	if n := taken(l, greedy, 2*maxInFlight); n != maxInFlight {
		t.Errorf("%d under way, want %d", n, maxInFlight)
	}
	if n := taken(l, other, 8); n != 1 {
		t.Errorf("another got %d, want 1", n)
	}
}

// Lanes of endpoints that were deleted go when nothing is under way in them any more.
func TestLanesOfTheDeletedGo(t *testing.T) {
	l, e := newLanes(), &Endpoint{ID: "a", Concurrency: 8}
	taken(l, e, 1)
	l.forget(EndpointSet{})
	if len(l.lanes) != 1 {
		t.Fatal("it was forgotten with a delivery under way")
	}
	l.free("a")
	l.forget(EndpointSet{})
	if len(l.lanes) != 0 || l.inFlight != 0 {
		t.Errorf("%d are left, %d under way", len(l.lanes), l.inFlight)
	}
}

// Of successes health is told the first, then one now and then, and every one that may end a failure.
func TestWhatHealthIsTold(t *testing.T) {
	l := newLanes()
	for i, step := range []struct{ well, again, want bool }{
		{true, false, true},
		{true, false, false},
		{true, true, true},
		{true, false, false},
		{false, false, true},
		{false, false, true},
		{true, false, true},
		{true, false, false},
	} {
		if got := l.judge("a", step.well, step.again); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
