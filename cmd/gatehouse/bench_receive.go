package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"gatehouse/standardwebhooks"
)

// badEndpoints are one that hangs, one that fails and one that is slow.
const badEndpoints = 3

// benchReceive is the endpoints' side of a benchmark. It prints their addresses, reads how many deliveries to the good
// ones are to come, and prints what came.
type benchReceive struct {
	Good int `env:"-" required:"" help:"Endpoints that take everything at once."`
	Bad  int `env:"-" required:"" help:"Endpoints that do not."`
}

// arrivals are the deliveries that came to the good endpoints.
type arrivals struct {
	mu      sync.Mutex
	seen    map[string]bool // by endpoint and message
	delays  []time.Duration
	doubles int
	came    chan struct{}
}

func (c *benchReceive) Run(ctx context.Context, t *terminal) error {
	all := &arrivals{seen: map[string]bool{}, came: make(chan struct{}, 1)}
	var addrs []string
	for i := range c.Good + c.Bad {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer listener.Close()
		addrs = append(addrs, listener.Addr().String())
		go func() { _ = http.Serve(listener, all.endpoint(i, i-c.Good)) }()
	}
	if err := json.NewEncoder(t.out).Encode(addrs); err != nil {
		return err
	}
	var expected int
	if _, err := fmt.Fscan(os.Stdin, &expected); err != nil {
		return err
	}
	deadline := time.After(time.Minute)
	for all.count() < expected {
		select {
		case <-all.came:
		case <-deadline:
			return json.NewEncoder(t.out).Encode(all.result())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return json.NewEncoder(t.out).Encode(all.result())
}

// endpoint is the nth endpoint; bad says which of the bad ones it is, below 0 none.
func (a *arrivals) endpoint(n, bad int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		var m struct {
			Data struct {
				Said   int64
				Counts bool
			}
		}
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&m); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch bad {
		case 0:
			<-r.Context().Done()
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			time.Sleep(time.Second)
		default:
			if m.Data.Counts {
				a.note(fmt.Sprint(n, " ", r.Header.Get(standardwebhooks.IDHeader)), now.Sub(time.Unix(0, m.Data.Said)))
			}
		}
	}
}

func (a *arrivals) note(what string, delay time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen[what] {
		a.doubles++
		return
	}
	a.seen[what] = true
	a.delays = append(a.delays, delay)
	select {
	case a.came <- struct{}{}:
	default:
	}
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.delays)
}

func (a *arrivals) result() delivery {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.delays) == 0 {
		return delivery{}
	}
	slices.Sort(a.delays)
	return delivery{
		P50: a.delays[len(a.delays)/2], P99: a.delays[len(a.delays)*99/100], Max: a.delays[len(a.delays)-1],
		Count: len(a.delays), Doubles: a.doubles,
	}
}
