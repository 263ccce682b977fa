package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"gatehouse/doorflow"
	"gatehouse/standardwebhooks"
)

// building is a building-management system. It has no NATS, only an address to which events are delivered, and
// believes nothing that is not signed.
type building struct {
	ear *ear

	mu     sync.Mutex // held until the secret is known
	secret standardwebhooks.Secret
}

// maxDelivery is more than any message of the gateway's.
const maxDelivery = 1 << 20

func (b *building) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, err := b.prove(w, r)
	if err != nil {
		b.ear.fail(fmt.Errorf("the building got a delivery that it cannot prove: %w", err))
		http.Error(w, "it cannot be proven", http.StatusUnauthorized)
		return
	}
	b.ear.hear(h)
	w.WriteHeader(http.StatusNoContent)
}

// prove verifies both sets of headers, of which a receiver needs one.
func (b *building) prove(w http.ResponseWriter, r *http.Request) (h heard, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDelivery))
	if err != nil {
		return h, err
	}
	b.mu.Lock()
	secret := b.secret
	b.mu.Unlock()
	id, err := standardwebhooks.Verify(r.Header, body, time.Now(), standardwebhooks.Tolerance, secret)
	if err != nil {
		return h, err
	}
	v := doorflow.Verifier{Secrets: [][]byte{[]byte(secret.Reveal())}, Tolerance: standardwebhooks.Tolerance}
	if _, err := v.Verify(r.Header, body); err != nil {
		return h, err
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return h, err
	}
	if h.ID != id {
		return h, errors.New("its webhook-id is not its message's id")
	}
	return h, nil
}

// buildingListens gives the gateway an address.
func (d *demo) buildingListens(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b := &building{ear: newEar()}
	b.mu.Lock()
	defer b.mu.Unlock()
	d.building = b
	d.group.Go(func() error { return serveSimulator(ctx, listener, b) })
	in := map[string]any{
		"url": "http://" + listener.Addr().String() + "/events", "subjects": []string{"gatehouse.event.>"},
		"description": "the building's own system",
	}
	var made struct {
		Secret string `json:"secret"`
	}
	if err := d.api.do(ctx, http.MethodPost, "/v1/endpoints", nil, in, &made); err != nil {
		return err
	}
	if b.secret, err = standardwebhooks.ParseSecret(made.Secret); err != nil {
		return err
	}
	d.tell("The building's own system speaks no NATS. It gives an address, and gets a secret, once.")
	d.tell("From now on every door event is delivered there too, signed.")
	return nil
}

// delivered waits until the building has proven each event once.
func (d *demo) delivered(ctx context.Context) error {
	ctx, stop := d.within(ctx, fmt.Sprintf("all %d events were to be delivered to the building", len(d.happened)))
	defer stop()
	return d.building.ear.await(ctx, func(all []heard) (bool, error) {
		times := map[string]int{}
		for _, h := range all {
			if e := d.happened[h.About]; e.ID == 0 {
				continue
			}
			if times[h.About]++; times[h.About] > 1 {
				return false, fmt.Errorf("%q was delivered to the building twice", d.happened[h.About].EventLabel)
			}
		}
		return len(times) == len(d.happened), nil
	})
}
