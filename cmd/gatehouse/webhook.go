package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"gatehouse/doorflow"
	"gatehouse/internal/vault"
)

type webhookCommands struct {
	Sign webhookSign `cmd:"" help:"Print the Timestamp and Signature headers of a body."`
	Send webhookSend `cmd:"" help:"Sign a body and POST it, as DoorFlow would."`
}

// signing is what both commands need.
type signing struct {
	Secret    vault.Secret `env:"GATEHOUSE_WEBHOOK_SECRET" placeholder:"SECRET" required:"" help:"The secret to sign with."`
	Timestamp int64        `env:"-" placeholder:"UNIX" help:"Unix seconds. Default: now."`
	Body      string       `arg:"" optional:"" default:"-" placeholder:"FILE" help:"File with the JSON body; - reads stdin."`
}

func (s *signing) sign() (body []byte, timestamp, signature string, err error) {
	var in io.ReadCloser = os.Stdin
	if s.Body != "-" {
		if in, err = os.Open(s.Body); err != nil {
			return nil, "", "", err
		}
		defer in.Close()
	}
	if body, err = io.ReadAll(io.LimitReader(in, 2<<20)); err != nil {
		return nil, "", "", err
	}
	if s.Timestamp == 0 {
		s.Timestamp = time.Now().Unix()
	}
	timestamp = strconv.FormatInt(s.Timestamp, 10)
	return body, timestamp, doorflow.Sign([]byte(s.Secret.Reveal()), timestamp, body), nil
}

type webhookSign struct {
	signing
	JSON bool `env:"-" help:"Print JSON."`
}

func (c *webhookSign) Run(t *terminal) error {
	_, timestamp, signature, err := c.sign()
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(t.out, map[string]string{"timestamp": timestamp, "signature": signature})
	}
	_, err = fmt.Fprintf(t.out, "Timestamp: %s\nSignature: %s\n", timestamp, signature)
	return err
}

type webhookSend struct {
	signing
	To *url.URL `env:"-" default:"http://localhost:8080/webhooks/doorflow" placeholder:"URL" help:"Where to POST it."`
}

func (c *webhookSend) Run(ctx context.Context, t *terminal) error {
	body, timestamp, signature, err := c.sign()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.To.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(doorflow.TimestampHeader, timestamp)
	req.Header.Set(doorflow.SignatureHeader, signature)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("sending the webhook: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, printable(resp.Status))
	if len(answer) > 0 {
		fmt.Fprintln(t.out, printable(strings.Join(strings.Fields(string(answer)), " ")))
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return errReported
	}
	return nil
}
