package webhooks

import "time"

const (
	// giveUpAfter is how long a delivery is tried before it is parked.
	giveUpAfter = 72 * time.Hour
	// longestRetryAfter caps what an endpoint may ask for: no longer than it would wait anyway.
	longestRetryAfter = time.Hour
)

// retryDelays are the pauses after the first attempts; from then on the last of them holds.
var retryDelays = [...]time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour}

// nextAttempt says when a delivery is tried again whose nth attempt (from 1) since began has just failed. It is not
// when that would be too late. asked is the endpoint's Retry-After, 0 for none; it can only put the attempt off.
// spread is a random number from 0 to below 1: what failed together does not come back together, nor sooner than asked.
func nextAttempt(n int64, began, now time.Time, asked time.Duration, spread float64) (due time.Time, again bool) {
	delay := retryDelays[min(max(n, 1), int64(len(retryDelays)))-1]
	delay += time.Duration(float64(delay) * (spread - 0.5) / 5) // a tenth more or less
	if asked = min(asked, longestRetryAfter); asked > 0 {
		delay = max(delay, asked+time.Duration(float64(asked)*spread/10))
	}
	due = now.Add(delay)
	return due, !due.After(began.Add(giveUpAfter))
}
