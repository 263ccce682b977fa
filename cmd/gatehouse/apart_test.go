package main

import (
	"testing"
	"time"
)

// An answer that was on its way for seconds, because this machine stood still, makes no wrong clock of a right one.
func TestHowFarClocksAreApart(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name             string
		told, took, want time.Duration // since it began, and how far ahead this machine's clock is
	}{
		{"at once", 0, 0, 0},
		{"somewhere on the way", 9 * time.Second, 10 * time.Second, 0},
		{"at its beginning", 0, 10 * time.Second, 0},
		{"a minute behind", -time.Minute, 2 * time.Second, time.Minute},
		{"a minute ahead", time.Minute, 2 * time.Second, -58 * time.Second},
	} {
		if got := apart(began.Add(row.told), began, began.Add(row.took)); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}
