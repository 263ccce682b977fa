package doorflowsim_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
)

// TestDeliveriesAreBounded holds every request until eight are there: with fewer at a time none would ever be
// answered, and with more the highest number would show it.
func TestDeliveriesAreBounded(t *testing.T) {
	var running, highest atomic.Int32
	var once sync.Once
	full := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := running.Add(1)
		defer running.Add(-1)
		for h := highest.Load(); n > h && !highest.CompareAndSwap(h, n); h = highest.Load() {
		}
		if n >= 8 {
			once.Do(func() { close(full) })
		}
		<-full
	}))
	defer server.Close()
	c := newCloud(t, func(o *doorflowsim.Options) { o.WebhookURL = server.URL })
	c.Grant(doorflowsim.AccountA, events)
	for range 40 {
		c.Emit(doorflowsim.AccountA, pinUse())
	}
	c.run()
	c.flush()
	if got := highest.Load(); got != 8 {
		t.Errorf("%d at once, want 8", got)
	}
}

// untilGone waits for the client to leave, which the server notices only after the body was read.
func untilGone(r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		<-r.Context().Done()
	}
}

// TestRunCanBeResumed ends a Run in the middle of a delivery.
func TestRunCanBeResumed(t *testing.T) {
	arrived := make(chan struct{}, 2)
	var hang atomic.Bool
	hang.Store(true)
	c := newCloud(t)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		if hang.Load() {
			untilGone(r)
		}
	}))
	defer server.Close()
	c.SetWebhookURL(server.URL)
	c.Grant(doorflowsim.AccountA, events)
	c.Emit(doorflowsim.AccountA, pinUse())

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	<-arrived
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if l := c.Ledger()[0]; l.Delivered || l.Attempts != 0 {
		t.Errorf("ledger = %+v, want nothing counted", l)
	}
	hang.Store(false)
	c.run()
	c.flush()
	if l := c.Ledger()[0]; !l.Delivered || l.Attempts != 1 {
		t.Errorf("ledger = %+v", l)
	}
}

func TestSlowReceiverTimesOut(t *testing.T) {
	c := newCloud(t, func(o *doorflowsim.Options) {
		o.WebhookTimeout = 50 * time.Millisecond
		o.Retries = []time.Duration{}
	})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { untilGone(r) }))
	defer server.Close()
	c.SetWebhookURL(server.URL)
	c.Grant(doorflowsim.AccountA, events)
	c.run()
	c.Emit(doorflowsim.AccountA, pinUse())
	c.flush()
	if l := c.Ledger()[0]; l.Delivered || l.Attempts != 1 || l.LastStatus != 0 {
		t.Errorf("ledger = %+v", l)
	}
}

func TestEventsAreBounded(t *testing.T) {
	c := newCloud(t)
	access, _ := c.Grant(doorflowsim.AccountA, events)
	specs := make([]doorflowsim.EventSpec, 50_001)
	for i := range specs {
		specs[i] = doorflowsim.EventSpec{Code: 11, NoWebhook: true}
	}
	all := c.EmitBatch(doorflowsim.AccountA, specs)
	wantStatus(t, c.api(access, "GET", eventPath(all[0]), ""), http.StatusNotFound)
	wantStatus(t, c.api(access, "GET", eventPath(all[1]), ""), http.StatusOK)
	total, err := strconv.Atoi(c.api(access, "GET", "/api/3/events?n=1", "").header.Get("Total"))
	if err != nil || total != 50_000 {
		t.Errorf("%d events kept, error %v, want 50000", total, err)
	}
}
