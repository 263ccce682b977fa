package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
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
	Account     string          `json:"account"`
	CommittedAt time.Time       `json:"committed_at"`
	Message     json.RawMessage `json:"message"`
}

// print writes a message as one line for people: when, which subject, what.
func (s stored) print(w io.Writer) error {
	var m struct {
		Time time.Time `json:"time"`
		Data struct {
			Label  string `json:"event_label"`
			Door   string `json:"door_controller_name"`
			Status string `json:"status"`
			Type   string `json:"type"`
			Lock   string `json:"lock"`
		} `json:"data"`
		Subject string `json:"subject"`
		Flag    string `json:"flag"`
	}
	_ = json.Unmarshal(s.Message, &m)
	what := m.Subject
	if m.Data.Status != "" && what == "" {
		what = m.Data.Status
	}
	if strings.HasPrefix(what, "operations/") {
		what = m.Data.Type + " " + m.Data.Status + " · " + m.Data.Lock
	}
	if m.Data.Label != "" {
		what = m.Data.Label
	}
	if m.Data.Door != "" {
		what += " · " + m.Data.Door
	}
	if m.Flag != "" {
		what += " [" + m.Flag + "]"
	}
	_, err := fmt.Fprintf(w, "%s  %-52s %s\n", local(m.Time), printable(s.Subject), printable(what))
	return err
}

type messageList struct {
	client
	filter
	Since string `env:"-" help:"Not older than this: a time (RFC 3339) or an age such as 24h." placeholder:"WHEN"`
	Limit int    `env:"-" default:"50" help:"At most so many."`
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
	for _, m := range items {
		if err := m.print(t.out); err != nil {
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

type messageTail struct {
	client
	filter
	JSON bool `env:"-" help:"Print each message as one line of JSON."`
}

// Run follows the stream and takes it up again where it broke off.
func (c *messageTail) Run(ctx context.Context, t *terminal) error {
	last := ""
	for ctx.Err() == nil {
		err := c.follow(ctx, t, &last)
		refused, answered := errors.AsType[problem](err)
		switch {
		case ctx.Err() != nil:
		case answered && refused.Status < 500 && refused.Status != http.StatusTooManyRequests,
			err != nil && last == "", errors.Is(err, errNotShown):
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

// errNotShown ends the tail: what came cannot be read, or nobody reads what is written.
var errNotShown = errors.New("showing the messages")

func (c *messageTail) follow(ctx context.Context, t *terminal, last *string) error {
	header := http.Header{"Accept": {"text/event-stream"}}
	if *last != "" {
		header.Set("Last-Event-ID", *last)
	}
	resp, err := c.send(ctx, http.MethodGet, "/v1/messages/stream", c.query(), nil, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	id := *last
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			if err := c.show(t, []byte(value)); err != nil {
				return fmt.Errorf("%w: %w", errNotShown, err)
			}
		case "": // the end of an event
			*last = id
		}
	}
	return lines.Err()
}

func (c *messageTail) show(t *terminal, data []byte) error {
	if c.JSON {
		_, err := fmt.Fprintf(t.out, "%s\n", data)
		return err
	}
	var m stored
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	return m.print(t.out)
}
