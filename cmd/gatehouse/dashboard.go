package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

type dashboardCommands struct {
	Link dashboardLink `cmd:"" help:"Print a link that signs one browser in, once, within ten minutes."`
}

type dashboardLink struct {
	client
	JSON bool `env:"-" help:"Print JSON."`
}

type signInLink struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (c *dashboardLink) Run(ctx context.Context, t *terminal) error {
	var link signInLink
	if err := c.do(ctx, http.MethodPost, "/v1/sign-in-links", nil, struct{}{}, &link); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, link)
	}
	_, err := fmt.Fprintf(t.out, "Open this link in your browser:\n\n  %s\n\nIt signs you in once, until %s. Whoever opens it first has your rights.\n", printable(link.URL), local(link.ExpiresAt))
	return err
}
