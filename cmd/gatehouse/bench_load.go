package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/doorflow"
)

// benchLoad is the sender's side of a benchmark.
type benchLoad struct {
	Addr        string        `env:"-" required:"" help:"Where to send."`
	Connections int           `env:"-" required:"" help:"Connections that send at once."`
	Duration    time.Duration `env:"-" required:"" help:"How long to measure."`
}

// loadResult is what it prints.
type loadResult struct {
	sample
	Sent int64 `json:"sent"` // warming up included
}

func (c *benchLoad) Run(ctx context.Context, t *terminal) error {
	l := newLoad(c.Addr, c.Connections)
	s, err := l.run(ctx, c.Duration)
	if err != nil {
		return err
	}
	return writeJSON(t.out, loadResult{s, l.sent.Load()})
}

// load sends signed webhooks, each with one new notification, over a number of connections.
type load struct {
	url         string
	connections int
	client      *http.Client
	sent        atomic.Int64
	ids         atomic.Int64 // events are numbered as DoorFlow numbers them: upwards
}

func newLoad(addr string, connections int) *load {
	return &load{
		url: "http://" + addr + "/webhooks/doorflow", connections: connections,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}},
	}
}

// run sends for a while, and a fifth of that before to warm up.
func (l *load) run(ctx context.Context, d time.Duration) (sample, error) {
	defer l.client.CloseIdleConnections()
	warm := time.Now().Add(d / 5)
	end := warm.Add(d)
	times := make([][]time.Duration, l.connections)
	group, ctx := errgroup.WithContext(ctx)
	for i := range l.connections {
		group.Go(func() (err error) {
			times[i], err = l.send(ctx, warm, end)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return sample{}, err
	}
	all := slices.Concat(times...)
	if len(all) == 0 {
		return sample{}, errors.New("no request was answered")
	}
	slices.Sort(all)
	return sample{Rate: float64(len(all)) / d.Seconds(), P50: all[len(all)/2], P99: all[len(all)*99/100]}, nil
}

// send sends one request after the other and returns how long each took.
func (l *load) send(ctx context.Context, warm, end time.Time) ([]time.Duration, error) {
	times := make([]time.Duration, 0, 1<<14)
	for {
		req, err := webhookRequest(ctx, l.url, l.ids.Add(1))
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if began.After(end) {
			return times, nil
		}
		resp, err := l.client.Do(req)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the gateway answered %s", resp.Status)
		}
		l.sent.Add(1)
		if began.After(warm) {
			times = append(times, time.Since(began))
		}
	}
}

// webhookRequest is a signed request with an event that no other request has.
func webhookRequest(ctx context.Context, url string, n int64) (*http.Request, error) {
	id := strconv.FormatInt(600_000_000+n, 10)
	ack := strconv.FormatUint(rand.Uint64()|1<<63, 36)[:9]
	body := []byte(`[{"action":"CREATE","resource":"https://api.doorflow.com/api/3/events/` + id + `?ack_token=` + ack +
		`","resource_type":"Event","resource_id":"` + id + `","account_id":"hX9aQ2","ack_token":"` + ack + `"}]`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header = http.Header{
		"Content-Type":           {"application/json"},
		doorflow.TimestampHeader: {timestamp},
		doorflow.SignatureHeader: {doorflow.Sign([]byte(benchSecret), timestamp, body)},
	}
	return req, nil
}
