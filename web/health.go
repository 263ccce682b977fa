package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
)

// Check looks at one thing that the gateway depends on. When a critical one fails, the gateway is not
// ready; otherwise it is degraded, and goes on.
type Check struct {
	Name     string
	Critical bool
	Run      func(context.Context) error
}

const (
	checkTimeout = 2 * time.Second
	// healthFor is how long an answer is given again, so that nobody can wear the database out by asking.
	healthFor = time.Second
	// sickFor is that of an answer that keeps requests away: they may come as soon as it is over.
	sickFor = 100 * time.Millisecond
)

const unavailable = "unavailable" // requests should not be sent here

type checkResult struct {
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
}

type healthReport struct {
	Status string                 `json:"status"`
	Checks map[string]checkResult `json:"checks"`
}

type health struct {
	checks []Check
	busy   []atomic.Bool // a check that never came back is not run again on top of itself
	now    func() time.Time

	mu     sync.Mutex
	last   healthReport
	lastAt time.Time
}

func newHealth(checks []Check, now func() time.Time) *health {
	return &health{checks: checks, busy: make([]atomic.Bool, len(checks)), now: now}
}

// report runs the checks, or returns what they said a moment ago.
func (h *health) report(ctx context.Context) healthReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	keep := healthFor
	if h.last.Status == unavailable {
		keep = sickFor
	}
	if !h.lastAt.IsZero() && h.now().Sub(h.lastAt) < keep {
		return h.last
	}
	// Others will be given this answer too, so it does not depend on whether the first to ask stays.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	results := make([]checkResult, len(h.checks))
	var wg sync.WaitGroup
	for i := range h.checks {
		wg.Go(func() { results[i] = h.run(ctx, i) })
	}
	wg.Wait()
	h.last, h.lastAt = summary(h.checks, results), h.now()
	return h.last
}

func summary(checks []Check, results []checkResult) healthReport {
	report := healthReport{Status: "ok", Checks: make(map[string]checkResult, len(checks))}
	for i, c := range checks {
		report.Checks[c.Name] = results[i]
		switch {
		case results[i].Error == "":
		case c.Critical:
			report.Status = unavailable
		case report.Status == "ok":
			report.Status = "degraded"
		}
	}
	return report
}

// run waits for a check no longer than the context lasts, even if the check itself does.
func (h *health) run(ctx context.Context, i int) checkResult {
	if !h.busy[i].CompareAndSwap(false, true) {
		return checkResult{"fail", "does not answer"}
	}
	done := make(chan error, 1)
	go func() {
		defer h.busy[i].Store(false)
		done <- h.checks[i].Run(ctx)
	}()
	select {
	case err := <-done:
		if err != nil {
			return checkResult{"fail", brief(err)}
		}
		return checkResult{Status: "ok"}
	case <-ctx.Done():
		return checkResult{"fail", "timed out"}
	}
}

// brief is an error for everybody's eyes: one line, not long, without addresses.
func brief(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	const most = 120
	var b strings.Builder
	for _, word := range strings.Fields(err.Error()) {
		// Hosts and ports have a dot or a colon within, URLs and settings more than that.
		if strings.ContainsAny(strings.TrimRight(word, ".:,;"), "/@?=.:()[]") {
			word = "…"
		}
		if b.Len()+len(word) > most {
			b.WriteString(" …")
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	if b.Len() == 0 {
		return "failed"
	}
	return b.String()
}

// livez tells that the process runs and answers, whatever else is wrong: restarting it would not help.
func (s *Server) livez(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// readyz tells whether requests should be sent here.
func (s *Server) readyz(c echo.Context) error {
	report := s.health.report(c.Request().Context())
	status := http.StatusOK
	if report.Status == unavailable {
		status = http.StatusServiceUnavailable
	}
	return c.JSON(status, report)
}
