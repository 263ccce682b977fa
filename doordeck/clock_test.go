package doordeck_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/doordeck"
)

func TestTime(t *testing.T) {
	for body, want := range map[string]int64{
		`{"now":1767312000123}`:     1767312000123,
		`{"now":1767312000123.75}`:  1767312000123,
		`{"now":1.767312E12,"x":1}`: 1767312000000,
		`{"now":"1767312000123"}`:   1767312000123,
		`{"now":1767312000}`:        0, // seconds
		`{"now":1e300}`:             0,
		`{"now":-5}`:                0,
		`{"now":null}`:              0,
		`{}`:                        0,
		``:                          0,
		`soon`:                      0,
	} {
		client, got := answering(t, 200, body)
		at, err := client.Time(t.Context())
		if want == 0 {
			if !isClass(err, doordeck.Transient) {
				t.Errorf("%s: %v, %v", body, at, err)
			}
			continue
		}
		if err != nil || at.UnixMilli() != want {
			t.Errorf("%s: %v, %v", body, at, err)
		}
		if r := (*got)[0]; r.method != "GET" || r.uri != "/below/time" || r.accept != v1 || r.authorization != "" || r.contentType != "" {
			t.Errorf("asked %+v", r)
		}
	}
}

// server is a clock that is ahead of the local one, at the end of a road.
type server struct {
	ahead     time.Duration
	way, back time.Duration
	err       error
	asked     int
}

func (s *server) ask(ctx context.Context) (time.Time, error) {
	s.asked++
	time.Sleep(s.way)
	at := time.Now().Add(s.ahead)
	time.Sleep(s.back)
	return at.Round(0), s.err
}

// However the round trip is shared out, above all when a connection has to be made first, the clock is not ahead.
func TestClockIsNeverAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct{ way, back time.Duration }{
			{0, 0}, {400 * time.Millisecond, 400 * time.Millisecond}, {3 * time.Second, time.Millisecond}, {4 * time.Second, 0}, {0, 2 * time.Second},
		} {
			s := &server{ahead: 3 * time.Hour, way: row.way, back: row.back}
			clock := doordeck.NewClock(s.ask, nil)
			if clock.Offset() != 0 {
				t.Fatalf("ahead by %v before it was set", clock.Offset())
			}
			if err := clock.Check(t.Context()); err != nil || clock.Offset() != 3*time.Hour-row.back {
				t.Errorf("%v there and %v back: ahead by %v, %v", row.way, row.back, clock.Offset(), err)
			}
			time.Sleep(time.Minute)
			if got, want := clock.Now(), time.Now().Add(3*time.Hour-row.back); !got.Equal(want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
	})
}

func TestClockAsksAgainWhenOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{ahead: time.Minute}
		clock := doordeck.NewClock(s.ask, nil)
		check := func(asked int, ahead time.Duration) {
			t.Helper()
			if err := clock.Check(t.Context()); err != nil || s.asked != asked || clock.Offset() != ahead {
				t.Fatalf("asked %d times, ahead by %v, %v; want %d and %v", s.asked, clock.Offset(), err, asked, ahead)
			}
		}
		check(1, time.Minute)
		time.Sleep(15*time.Minute - 1)
		check(1, time.Minute)
		s.ahead = -2 * time.Minute
		time.Sleep(time.Nanosecond)
		check(2, -2*time.Minute)
		s.ahead = time.Second
		if err := clock.Set(t.Context()); err != nil || s.asked != 3 || clock.Offset() != time.Second {
			t.Fatalf("asked %d times, ahead by %v, %v", s.asked, clock.Offset(), err)
		}
		// When Doordeck does not answer, the clock goes on.
		s.err = errors.New("away")
		time.Sleep(time.Hour)
		if err := clock.Check(t.Context()); !errors.Is(err, s.err) || clock.Offset() != time.Second {
			t.Fatalf("ahead by %v, %v", clock.Offset(), err)
		}
	})
}

func TestClockDistrustsALongRoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{ahead: time.Hour, way: 5 * time.Second, back: 5*time.Second + 1}
		clock := doordeck.NewClock(s.ask, nil)
		if err := clock.Check(t.Context()); err == nil || clock.Offset() != 0 {
			t.Fatalf("ahead by %v, %v", clock.Offset(), err)
		}
	})
}

// These times have no monotonic part: the clock is set back and forth.
func TestClockOnAWallThatWasSet(t *testing.T) {
	now, asked := moment, 0
	clock := doordeck.NewClock(func(context.Context) (time.Time, error) {
		asked++
		return moment.Add(time.Hour), nil
	}, func() time.Time { return now })
	for _, step := range []struct {
		by   time.Duration
		want int
	}{{0, 1}, {time.Minute, 1}, {-2 * time.Hour, 2}, {16 * time.Minute, 3}} {
		now = now.Add(step.by)
		if err := clock.Check(t.Context()); err != nil || asked != step.want {
			t.Fatalf("after %v: asked %d times, %v", step.by, asked, err)
		}
	}
}

func TestClockAfterSuspension(t *testing.T) {
	for _, tt := range []struct {
		name      string
		age, wall time.Duration
		want      bool
	}{
		{"nothing happened", time.Minute, time.Minute, true},
		{"slewed", 14 * time.Minute, 14*time.Minute + 450*time.Millisecond, true},
		{"suspended", time.Minute, time.Hour, false},
		{"set back", time.Minute, -time.Hour, false},
		{"old", 15 * time.Minute, 15 * time.Minute, false},
	} {
		if got := doordeck.Recent(tt.age, tt.wall); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestClockIsSetOnceForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{ahead: time.Hour, way: 2 * time.Second}
		clock := doordeck.NewClock(s.ask, nil)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if err := clock.Check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if s.asked != 1 || clock.Offset() != time.Hour {
			t.Fatalf("asked %d times, ahead by %v", s.asked, clock.Offset())
		}
	})
}

func TestClockWaitsNoLongerThanItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{way: 8 * time.Second}
		clock := doordeck.NewClock(s.ask, nil)
		go func() { _ = clock.Set(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := clock.Check(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		time.Sleep(10 * time.Second)
	})
}

func TestClockThatAsksNobody(t *testing.T) {
	clock := still()
	if err := errors.Join(clock.Check(t.Context()), clock.Set(t.Context())); err != nil || !clock.Now().Equal(moment) {
		t.Fatal(clock.Now(), err)
	}
}
