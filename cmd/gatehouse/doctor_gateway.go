package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
)

// What doctor learns from a gateway that runs on this very configuration.

// ready is what /readyz answers.
type ready struct {
	Status string `json:"status"`
	Checks map[string]struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	} `json:"checks"`
}

func (r ready) String() string {
	parts := []string{r.Status}
	for _, name := range slices.Sorted(maps.Keys(r.Checks)) {
		part := name + " " + r.Checks[name].Status
		if e := r.Checks[name].Error; e != "" {
			part += " (" + e + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// runs tells whether a gateway answers on this configuration's address.
func (c *doctorCommand) runs(ctx context.Context) bool {
	_, _, err := c.readiness(ctx)
	return err == nil
}

var errNoGateway = errors.New("what answers there is no gateway")

func (c *doctorCommand) readiness(ctx context.Context) (r ready, code int, err error) {
	body, code, err := readiness(ctx, c.Addr, c.TLSCertFile != "")
	if err == nil && (json.Unmarshal(body, &r) != nil || r.Status == "" || r.Checks == nil) {
		err = errNoGateway
	}
	return r, code, err
}

func (c *doctorCommand) checkGateway(ctx context.Context) finding {
	r, code, err := c.readiness(ctx)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return off("none answers on %s", c.Addr)
	case err != nil:
		return warn("see what listens there", "%s: %s", c.Addr, oneLine(err))
	case code != http.StatusOK:
		return fail("see the gateway's log", "%s", r)
	case r.Status != "ok":
		return warn("see the gateway's log", "%s", r)
	}
	return ok("%s", r)
}
