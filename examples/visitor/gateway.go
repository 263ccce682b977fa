package main

import (
	"bufio"
	"bytes"
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

// gateway is a Gatehouse, as an API key sees it.
type gateway struct{ url, key, account string }

// refusal is an answer that is not a success.
type refusal struct {
	status int
	// by is "doorflow" for DoorFlow's own errors, "" for the gateway's, which are RFC 9457 problems.
	by, text string
}

func (r *refusal) Error() string {
	if r.by != "" {
		return fmt.Sprintf("DoorFlow answers %d: %.200s", r.status, r.text)
	}
	return fmt.Sprintf("the gateway answers %d: %.200s", r.status, r.text)
}

// status is that of a refusal of DoorFlow's, 0 for any other error and for none.
func status(err error) int {
	var r *refusal
	if errors.As(err, &r) && r.by == "doorflow" {
		return r.status
	}
	return 0
}

// doorflow calls DoorFlow's API through the gateway, with a path below /api/3/. The answer is decoded into
// out, that of an error as well, as far as it fits.
func (g *gateway) doorflow(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	resp, err := g.send(ctx, method, "/v1/connections/"+url.PathEscape(g.account)+"/doorflow/api/3/"+path, body, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode < 300 {
		if out == nil {
			return nil
		}
		return json.Unmarshal(data, out)
	}
	if out != nil {
		_ = json.Unmarshal(data, out)
	}
	return &refusal{resp.StatusCode, resp.Header.Get("Answered-By"), string(data)}
}

func (g *gateway) send(ctx context.Context, method, path string, body io.Reader, header map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+g.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	return http.DefaultClient.Do(req)
}

// entry is somebody who was let in.
type entry struct {
	PersonID int64     `json:"person_id"`
	Person   string    `json:"person_name"`
	Door     string    `json:"channel_name"`
	At       time.Time `json:"created_at"`
}

// entries follows who is let in, from now on. When the stream breaks it goes on where it was.
func (g *gateway) entries(ctx context.Context) (<-chan entry, error) {
	stream, err := g.open(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make(chan entry)
	go func() {
		for last := ""; ctx.Err() == nil; {
			if stream != nil {
				last = read(ctx, stream, last, out)
				_ = stream.Close()
			}
			if wait(ctx, time.Second) == nil {
				stream, _ = g.open(ctx, last)
			}
		}
	}()
	return out, nil
}

func (g *gateway) open(ctx context.Context, last string) (io.ReadCloser, error) {
	query := url.Values{"account": {g.account}, "subject": {"gatehouse.event.*.access.granted"}}
	var header map[string]string
	if last != "" {
		header = map[string]string{"Last-Event-ID": last}
	}
	resp, err := g.send(ctx, http.MethodGet, "/v1/messages/stream?"+query.Encode(), nil, header)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, &refusal{resp.StatusCode, "", string(text)}
	}
	return resp.Body, nil
}

// read hands on what a stream says until it ends, and returns where it was then. An event counts once the
// empty line behind it is there.
func read(ctx context.Context, stream io.Reader, last string, out chan<- entry) string {
	lines, id := bufio.NewScanner(stream), last
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "data":
			var said struct {
				Message struct{ Data entry } `json:"message"`
			}
			if json.Unmarshal([]byte(value), &said) != nil {
				continue
			}
			select {
			case out <- said.Message.Data:
			case <-ctx.Done():
				return last
			}
		case "":
			last = id
		}
	}
	return last
}
