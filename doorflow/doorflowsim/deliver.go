package doorflowsim

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"gatehouse/doorflow"
)

// maxInFlight bounds the webhook requests under way.
const maxInFlight = 8

// errSlowReceiver is the cause of an attempt that got no answer in time.
var errSlowReceiver = errors.New("doorflowsim: the webhook's receiver did not answer in time")

// Run delivers webhooks until the context ends, then waits for its deliveries and returns nil. What was in
// flight is sent again by a later Run. Two Runs must not overlap.
func (s *Sim) Run(ctx context.Context) error {
	client := s.o.Client
	if client == nil {
		client = newClient()
		defer client.CloseIdleConnections()
	}
	var running sync.WaitGroup
	defer running.Wait()
	for {
		timer := time.NewTimer(s.start(ctx, client, &running))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

func newClient() *http.Client {
	return &http.Client{
		// Without compression, because the Accept-Encoding header would be our invention.
		Transport:     &http.Transport{Proxy: nil, DisableCompression: true, MaxIdleConnsPerHost: maxInFlight},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// start sends what is due and says how long to sleep. The end of an attempt wakes Run anyway.
func (s *Sim) start(ctx context.Context, client *http.Client, running *sync.WaitGroup) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	for len(q.waiting) > 0 && q.inFlight < maxInFlight {
		if wait := q.waiting[0].due.Sub(s.now()); wait > 0 {
			return wait
		}
		d := heap.Pop(&q.waiting).(*delivery)
		req, err := s.prepare(ctx, d)
		if err != nil || req == nil {
			if err != nil {
				s.o.Log.Warn("webhook URL is unusable") // not the error: it has the URL in it
				s.drop(d.items)
			}
			s.unchain(d)
			q.broadcast()
			continue
		}
		q.inFlight++
		running.Go(func() { s.deliver(ctx, client, d, req) })
	}
	return time.Hour
}

// prepare makes one attempt's request, or none if nobody may hear of the delivery's items any more.
func (s *Sim) prepare(ctx context.Context, d *delivery) (*http.Request, error) {
	var forbidden []*item
	allowed := slices.DeleteFunc(slices.Clone(d.items), func(i *item) bool {
		if s.mayTell(i) {
			return false
		}
		forbidden = append(forbidden, i)
		return true
	})
	if len(forbidden) > 0 {
		s.drop(forbidden)
		d.items, d.body, d.timestamp = allowed, nil, ""
	}
	if len(allowed) == 0 {
		return nil, nil
	}
	if d.body == nil {
		body, err := s.webhookBody(allowed)
		if err != nil {
			return nil, err
		}
		d.body = body
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.webhookURL, bytes.NewReader(d.body))
	if err != nil {
		return nil, err
	}
	s.sign(req.Header, d)
	return req, nil
}

// sign sets the three headers that DoorFlow's webhooks have.
func (s *Sim) sign(h http.Header, d *delivery) {
	f := s.faults.forSigning()
	if d.timestamp == "" || !s.o.ReuseTimestamp {
		d.timestamp = strconv.FormatInt(s.now().Add(-f.age).Unix(), 10)
	}
	key := s.o.WebhookSecret
	if f.wrongKey {
		key = "not-" + key
	}
	signature := doorflow.Sign([]byte(key), d.timestamp, d.body)
	if f.upperHex {
		signature = string(bytes.ToUpper([]byte(signature)))
	}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "") // net/http then sends none
	h.Set(doorflow.TimestampHeader, d.timestamp)
	h.Set(doorflow.SignatureHeader, signature)
	if f.drop != "" {
		h.Del(f.drop)
	}
}

func (s *Sim) deliver(ctx context.Context, client *http.Client, d *delivery, req *http.Request) {
	status := s.post(client, req)
	s.counts.add(func(c *Stats) {
		c.WebhookRequests++
		if status != http.StatusOK {
			c.WebhookFailures++
		}
	})
	s.mu.Lock()
	s.queue.inFlight--
	if status == 0 && ctx.Err() != nil {
		s.push(d, s.now()) // Run is ending: this attempt does not count
	} else {
		s.settle(d, status)
	}
	s.queue.broadcast()
	s.mu.Unlock()
	s.poke()
}

// post returns the status, or 0 if there was no answer.
func (s *Sim) post(client *http.Client, req *http.Request) int {
	ctx, cancel := context.WithTimeoutCause(req.Context(), s.o.WebhookTimeout, errSlowReceiver)
	defer cancel()
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	// Read a little, so that the connection can be used again; a longer answer is cut off.
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) //nolint:errcheck // the status is all we want
	return resp.StatusCode
}

// settle notes the outcome of an attempt: delivered, to be tried again, or given up.
func (s *Sim) settle(d *delivery, status int) {
	d.attempts++
	for _, i := range d.items {
		i.attempts++
		i.lastStatus = status
		i.delivered = i.delivered || status == http.StatusOK
	}
	s.o.Log.Debug("webhook", "items", len(d.items), "attempt", d.attempts, "status", status)
	if status != http.StatusOK && d.attempts <= len(s.o.Retries) {
		s.push(d, s.now().Add(s.o.Retries[d.attempts-1]))
	}
	s.unchain(d)
}

// unchain lets the delivery go that waited behind this one.
func (s *Sim) unchain(d *delivery) {
	if next := d.then; next != nil {
		d.then = nil
		s.queue.chained--
		s.push(next, s.now())
	}
}
