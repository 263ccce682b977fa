package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

type messageTail struct {
	client
	filter
	IDs  bool `env:"-" name:"ids" help:"Print the messages' ids too."`
	JSON bool `env:"-" help:"Print each message as one line of JSON."`
}

// tailPause is how soon a gateway that is away is asked again.
const tailPause = time.Second

var (
	errEnded  = errors.New("it has closed the connection")
	errBroken = errors.New("the connection has broken")
	// errNotShown ends the tail: what came cannot be read, or nobody reads what is written.
	errNotShown = errors.New("showing the messages")
)

// tail is how far a stream has been followed.
type tail struct {
	last string // the id of the last event that was shown, or of what needed no showing
	away bool   // the gateway was, and somebody was told
}

// Run follows the stream and takes it up again where it broke off, until ctx ends.
func (c *messageTail) Run(ctx context.Context, t *terminal) error {
	var at tail
	for {
		err := c.follow(ctx, t, &at)
		refused, answered := errors.AsType[problem](err)
		switch {
		case ctx.Err() != nil:
			return nil
		case at.last == "", errors.Is(err, errNotShown), answered && refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
			return err
		case !at.away:
			at.away = true
			fmt.Fprintf(t.err, "gatehouse: the gateway is away (%s); waiting for it\n", oneLine(err))
		}
		select {
		case <-time.After(tailPause):
		case <-ctx.Done():
		}
	}
}

// follow shows what comes on one connection.
func (c *messageTail) follow(ctx context.Context, t *terminal, at *tail) error {
	header := http.Header{"Accept": {"text/event-stream"}}
	if at.last != "" {
		header.Set("Last-Event-ID", at.last)
	}
	resp, err := c.send(ctx, http.MethodGet, "/v1/messages/stream", c.query(), nil, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if at.away {
		at.away = false
		fmt.Fprintln(t.err, "gatehouse: it is back; going on where it broke off")
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	id, data := at.last, ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			data += value
		case "": // the end of an event, or of a comment
			if lines.Text() != "" {
				continue
			}
			if data != "" {
				if err := c.show(t, []byte(data)); err != nil {
					return fmt.Errorf("%w: %w", errNotShown, err)
				}
			}
			at.last, data = id, ""
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errBroken
	case err != nil:
		return err
	}
	return errEnded
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
	return m.print(t, c.IDs)
}
