package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/doorflow"
	"gatehouse/tokens"
)

// The way in from outside. It is looked at from this machine, which proves nothing about DoorFlow's network, but finds
// most names, certificates and proxies that are wrong. What DoorFlow has brought lately proves the rest.

const fixPublic = "check GATEHOUSE_PUBLIC_URL, its DNS name and the proxy in front"

// checkPublicName looks at the addresses of the host that DoorFlow is to find.
func (c *doctorCommand) checkPublicName(ctx context.Context) finding {
	host := c.PublicURL.Hostname()
	if isLoopback(host) {
		return off("%s is this machine only: nothing comes from outside", host)
	}
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return fail("make a DNS record for the host of GATEHOUSE_PUBLIC_URL, or correct it", "%s", oneLine(err))
	}
	if slices.ContainsFunc(addrs, private) {
		return warn("if DNS answers the same outside, DoorFlow cannot reach it: publish a public address",
			"%s: %s is not a public address", host, strings.Join(addrs, ", "))
	}
	return ok("%s: %s", host, strings.Join(addrs, ", "))
}

// checkPublicURL looks whether the way in leads to a gateway, and through a certificate that holds.
func (c *doctorCommand) checkPublicURL(ctx context.Context) finding {
	if !c.runs(ctx) {
		return off("no gateway runs; start it and ask again")
	}
	url := c.PublicURL.JoinPath("livez").String()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	body, code, err := fetch(ctx, transport, url)
	var live ready
	switch {
	case err != nil:
		return warn(fixPublic, "%s: %s", url, oneLine(err))
	case code != http.StatusOK || json.Unmarshal(body, &live) != nil || live.Status != "ok":
		return warn(fixPublic, "%s does not lead to a gateway (%d)", url, code)
	}
	c.inside = true
	if c.PublicURL.Scheme == "https" {
		state, err := (&reach{url: c.PublicURL}).handshake(ctx)
		if err != nil {
			return warn(fixPublic, "%s", oneLine(err))
		}
		if f := validity(state.PeerCertificates[0].NotBefore, state.PeerCertificates[0].NotAfter); f.Status != statusOK {
			f.Detail = "the certificate of " + c.PublicURL.Host + ": " + f.Detail
			return f
		}
	}
	return ok("%s answers", c.PublicURL)
}

// checkWebhookURL sends a webhook without items to where DoorFlow sends its own. The answer proves the way, the
// secret, and that what stands in between leaves the body and the headers as they are. It changes nothing but the
// metrics, where it counts as a webhook.
func (c *doctorCommand) checkWebhookURL(ctx context.Context) finding {
	if !c.inside {
		return off("unknown: the public URL does not lead to a gateway that runs")
	}
	secrets, err := c.webhookSecrets()
	if err != nil {
		return off("unknown: see the webhook secret")
	}
	to, body := c.PublicURL.JoinPath("webhooks/doorflow").String(), []byte("[]")
	code, err := postSigned(ctx, to, secrets[0], body)
	switch {
	case err != nil:
		return warn(fixPublic, "%s: %s", to, oneLine(err))
	case code == http.StatusUnauthorized:
		return fail("is it this gateway, with this secret? does a proxy change the body, or take Timestamp or Signature away?",
			"%s does not believe a webhook that is signed with the configured secret (401)", to)
	case code >= 300 && code < 400:
		return fail("set GATEHOUSE_PUBLIC_URL to where it leads: DoorFlow does not follow", "%s redirects (%d)", to, code)
	case code != http.StatusOK:
		return fail("see the gateway's log, and the proxy's", "%s answers a signed webhook with %d", to, code)
	}
	return ok("%s takes a signed webhook from this machine", to)
}

// postSigned posts a body as DoorFlow does, and returns the status.
func postSigned(ctx context.Context, to string, secret, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(doorflow.TimestampHeader, timestamp)
	req.Header.Set(doorflow.SignatureHeader, doorflow.Sign(secret, timestamp, body))
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, nil
}

// checkArrivals looks when DoorFlow last came: what nobody but it can prove.
func (c *doctorCommand) checkArrivals(ctx context.Context) finding {
	if !c.runs(ctx) {
		return off("no gateway runs; start it and ask again")
	}
	here, err := c.here()
	if err != nil {
		return off("unknown: %s", oneLine(err))
	}
	all, err := list[tokens.Connection](ctx, here, "/v1/connections", url.Values{}, 1000)
	if err != nil {
		return off("unknown: %s", oneLine(err))
	}
	active, newest, silent := 0, time.Time{}, []string{}
	for _, i := range all {
		if i.Status != tokens.StatusActive {
			continue
		}
		if active++; i.LastWebhookAt.After(newest) {
			newest = i.LastWebhookAt
		}
		if !i.SilentSince.IsZero() {
			silent = append(silent, i.Account)
		}
	}
	const fix = "in DoorFlow's developer portal, let webhooks come to %s; then use a door"
	to := c.PublicURL.JoinPath("webhooks/doorflow").String()
	switch {
	case active == 0:
		return off("no account is connected: make a link with gatehouse connect")
	case newest.IsZero():
		return warn(fmt.Sprintf(fix, to), "none has come yet, from %d connected accounts", active)
	case len(silent) > 0:
		return warn(fmt.Sprintf(fix, to), "%d of %d accounts are silent: %s", len(silent), active, strings.Join(silent[:min(5, len(silent))], ", "))
	}
	return ok("DoorFlow's last one came %s ago", age(newest))
}

// here is a client of the gateway that runs on this configuration.
func (c *doctorCommand) here() (*client, error) {
	if c.TLSCertFile != "" || c.AdminAddr != "" {
		return nil, errors.New("the API listens elsewhere, or with TLS: ask with gatehouse connections and gatehouse identities")
	}
	_, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, err
	}
	return &client{
		URL: &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", port)}, Token: c.AdminToken,
		adminToken: filepath.Join(c.DataDir, "admin-token"),
	}, nil
}
