package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"gatehouse/events"
)

type messageCommands struct {
	Tail   messageTail   `cmd:"" help:"Print messages as they come, until interrupted."`
	List   messageList   `cmd:"" help:"Print past messages, newest first."`
	Replay messageReplay `cmd:"" help:"Say a message again, under a new id that names the old."`
}

// filter narrows what is shown.
type filter struct {
	Subject string `env:"-" help:"NATS subject pattern, such as 'gatehouse.event.*.access.>'." placeholder:"PATTERN"`
	Account string `env:"-" help:"One account only." placeholder:"ID"`
}

// Validate refuses a pattern that nothing could ever match: one would wait for ever.
func (f filter) Validate() error {
	pattern, err := events.ParsePattern(f.Subject)
	if err != nil {
		return fmt.Errorf("--subject: %w", err)
	}
	if f.Subject != "" && !pattern.Spoken() {
		return errors.New("--subject: want a pattern that begins like what the gateway says, such as 'gatehouse.event.>'")
	}
	return nil
}

func (f filter) query() url.Values {
	q := url.Values{}
	if f.Subject != "" {
		q.Set("subject", f.Subject)
	}
	if f.Account != "" {
		q.Set("account", f.Account)
	}
	return q
}

// stored is a message with its place in the log.
type stored struct {
	ID          string          `json:"id"`
	Subject     string          `json:"subject"`
	Account     string          `json:"account,omitempty"`
	CommittedAt time.Time       `json:"committed_at"`
	Message     json.RawMessage `json:"message"`
}

type messageList struct {
	client
	filter
	Since string `env:"-" help:"Not older than this: a time (RFC 3339) or an age such as 24h." placeholder:"WHEN"`
	Limit int    `env:"-" default:"50" help:"At most so many."`
	IDs   bool   `env:"-" name:"ids" help:"Print the messages' ids too."`
	JSON  bool   `env:"-" help:"Print JSON."`
}

func (c *messageList) Run(ctx context.Context, t *terminal) error {
	q := c.query()
	if c.Since != "" {
		since, err := parseSince(c.Since)
		if err != nil {
			return err
		}
		q.Set("since", since.UTC().Format(time.RFC3339))
	}
	items, err := list[stored](ctx, &c.client, "/v1/messages", q, c.Limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(t.out, "There are no such messages.")
		return err
	}
	for _, m := range items {
		if err := m.print(t, c.IDs); err != nil {
			return err
		}
	}
	return nil
}

func parseSince(s string) (time.Time, error) { return parseAgo("--since", s) }

// parseAgo reads a flag that is a time or an age.
func parseAgo(flag, s string) (time.Time, error) {
	if age, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-age), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, usageError(flag + ": want a time such as 2026-01-01T09:00:00Z or an age such as 24h")
	}
	return at, nil
}

type messageReplay struct {
	client
	ID   string `arg:"" help:"The message's id."`
	JSON bool   `env:"-" help:"Print JSON."`
}

func (c *messageReplay) Run(ctx context.Context, t *terminal) error {
	var answer struct {
		ID       string `json:"id"`
		ReplayOf string `json:"replay_of"`
	}
	if err := c.do(ctx, http.MethodPost, "/v1/messages/"+url.PathEscape(c.ID)+"/replay", nil, nil, &answer); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, answer)
	}
	_, err := fmt.Fprintf(t.out, "Said again as %s.\n", printable(answer.ID))
	return err
}
