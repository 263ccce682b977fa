package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// operation is what is asked of a lock.
type operation struct {
	ID       string           `json:"id"` // ours: the same again is the same operation
	Type     string           `json:"type"`
	Lock     string           `json:"lock"`
	Invitees []map[string]any `json:"invitees"`
	Start    string           `json:"start,omitempty"`
	End      string           `json:"end,omitempty"`
	ValidFor string           `json:"valid_for"` // how long it may wait for a lock that is offline
}

// share gives the visitor the lock from nine to five. Somebody whom Doordeck does not know is made known.
func (v *visit) share(ctx context.Context) (string, error) {
	o := operation{ID: v.id, Type: "share", Lock: v.lock, End: v.until.UTC().Format(time.RFC3339), ValidFor: "12h"}
	if !v.from.IsZero() {
		o.Start = v.from.UTC().Format(time.RFC3339)
	}
	o.Invitees = []map[string]any{{
		"foreign_key": v.id, "email": v.email, "display_name": v.first + " " + v.last, "provision": true,
	}}
	return v.operate(ctx, o)
}

// revoke takes the lock away.
func (v *visit) revoke(ctx context.Context) (string, error) {
	return v.operate(ctx, operation{
		ID: v.id + "-over", Type: "revoke", Lock: v.lock, ValidFor: "12h",
		Invitees: []map[string]any{{"foreign_key": v.id}},
	})
}

// operate asks for an operation and waits some seconds for its end. Asking again is safe: the id says that it
// is the same. A status such as "queued" is no failure: the lock is offline, and gets it when it is back.
func (v *visit) operate(ctx context.Context, o operation) (string, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	path := "/v1/identities/" + url.PathEscape(v.identity) + "/operations"
	for pause := time.Second; ; pause *= 2 {
		status, again, err := v.ask(ctx, path, body)
		if err == nil || !again || pause > 8*time.Second {
			return status, err
		}
		if err := wait(ctx, pause); err != nil {
			return "", err
		}
	}
}

func (v *visit) ask(ctx context.Context, path string, body []byte) (status string, again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	resp, err := v.send(ctx, http.MethodPost, path, bytes.NewReader(body), map[string]string{"Prefer": "wait=20"})
	if err != nil {
		return "", true, err
	}
	defer resp.Body.Close()
	var told struct {
		Status, Error, Detail string
		Results               []struct{ Error string }
	}
	if resp.StatusCode >= 300 {
		return "", resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500, fmt.Errorf("the gateway answers %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil {
		return "", true, err
	}
	switch told.Status {
	case "failed", "expired", "cancelled", "partial":
		return told.Status, false, fmt.Errorf("%s: %s %s %v", told.Status, told.Error, told.Detail, told.Results)
	}
	return told.Status, false, nil
}
