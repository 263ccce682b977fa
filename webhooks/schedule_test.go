package webhooks_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse/webhooks"
)

func TestSchedule(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name  string
		n     int64
		now   time.Duration // since it began
		asked time.Duration
		wait  time.Duration
		again bool
	}{
		{"first", 1, 0, 0, 5 * time.Second, true},
		{"second", 2, 5 * time.Second, 0, 30 * time.Second, true},
		{"third", 3, 35 * time.Second, 0, 2 * time.Minute, true},
		{"fourth", 4, 3 * time.Minute, 0, 10 * time.Minute, true},
		{"fifth", 5, 13 * time.Minute, 0, time.Hour, true},
		{"then hourly", 40, 36 * time.Hour, 0, time.Hour, true},
		{"the last", 75, 71 * time.Hour, 0, time.Hour, true},
		{"too late", 76, 71*time.Hour + time.Minute, 0, time.Hour, false},
		{"asked for more", 1, 0, time.Minute, 63 * time.Second, true},
		{"asked for less", 4, 0, time.Minute, 10 * time.Minute, true},
		{"asked for a year", 1, 0, 365 * 24 * time.Hour, 63 * time.Minute, true},
		{"asked for less than nothing", 1, 0, -time.Hour, 5 * time.Second, true},
		{"a count that makes no sense", -3, 0, 0, 5 * time.Second, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			due, again := webhooks.NextAttempt(row.n, began, began.Add(row.now), row.asked, 0.5)
			if wait := due.Sub(began.Add(row.now)); wait != row.wait || again != row.again {
				t.Errorf("waits %s (again: %v), want %s (%v)", wait, again, row.wait, row.again)
			}
		})
	}
}

// Whatever an endpoint asks for, an attempt comes after 4.5 seconds at the soonest and 66 minutes at the latest, within
// three days, and never sooner than it asked for, up to an hour.
func TestScheduleIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		began := time.Unix(1_700_000_000, 0)
		n := rapid.Int64Range(1, 1000).Draw(t, "n")
		now := began.Add(time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "now")))
		asked := time.Duration(rapid.Int64().Draw(t, "asked"))
		spread := rapid.Float64Range(0, 0.999999).Draw(t, "spread")
		due, again := webhooks.NextAttempt(n, began, now, asked, spread)
		if wait := due.Sub(now); wait < 4500*time.Millisecond || wait > 66*time.Minute {
			t.Errorf("waits %s", wait)
		} else if wait < min(asked, time.Hour) {
			t.Errorf("waits %s, and was asked to wait %s", wait, asked)
		}
		if again == due.After(began.Add(72*time.Hour)) {
			t.Errorf("due %s after it began, tried again: %v", due.Sub(began), again)
		}
	})
}
