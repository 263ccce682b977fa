package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// timeLimit is for a whole request, from resolving the name to the last byte of the answer.
	timeLimit = 15 * time.Second
	// connectLimit is for each of dialling and the TLS handshake. A connection is made for whoever asks next, so it does
	// not end with the request that wanted it.
	connectLimit = 10 * time.Second

	// maxTries is how many connections one request may be tried on: by HTTP/2 a server can turn it away each time and
	// promise that nothing was done, as one that is stopping does once.
	maxTries = 4

	maxBody   = 64 << 10
	maxHeader = 32 << 10
	maxPEM    = 1 << 20
	// maxRetryAfter is the longest wait that a server is believed to want.
	maxRetryAfter = 24 * time.Hour
)

// Config is how a Client is made. All fields may be empty.
type Config struct {
	// Allow names the networks that endpoints may live in although they are not public, and may be reached in by
	// http. See CheckAllow.
	Allow []netip.Prefix
	// CAFile is a PEM file of authorities that are believed besides the system's. It is read once.
	CAFile string
	// Certificate gives the client's certificate to a server that asks for one.
	Certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Resolver and Now are nil but in tests.
	Resolver *net.Resolver
	Now      func() time.Time
}

// Client sends to the URLs of strangers. It may be used by many goroutines.
type Client struct {
	allow     allowList
	resolver  *net.Resolver
	tls       *tls.Config
	transport *http.Transport
	limit     time.Duration
	connect   time.Duration
	now       func() time.Time
}

// New makes a client. Its errors name the setting at fault.
func New(c Config) (*Client, error) {
	if err := CheckAllow(c.Allow); err != nil {
		return nil, fmt.Errorf("GATEHOUSE_EGRESS_ALLOW: %w", err)
	}
	client := &Client{allow: c.Allow, resolver: c.Resolver, limit: timeLimit, connect: connectLimit, now: c.Now}
	if client.now == nil {
		client.now = time.Now
	}
	client.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetClientCertificate: c.Certificate}
	if c.CAFile != "" {
		roots, err := Authorities(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("GATEHOUSE_EGRESS_CA_FILE: %w", err)
		}
		client.tls.RootCAs = roots
	}
	client.transport = &http.Transport{
		DialContext:            client.dialPlain,
		DialTLSContext:         client.dialTLS,
		ForceAttemptHTTP2:      true, // own dialling turns it off
		DisableCompression:     true,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: 2 * maxBody, MaxReceiveBufferPerConnection: 16 * maxBody,
			SendPingTimeout: timeLimit, PingTimeout: 5 * time.Second, // a connection that has died is left
		},
	}
	return client, nil
}

// Authorities reads the system's certificate authorities and those of a PEM file.
func Authorities(file string) (*x509.CertPool, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's authorities: %w", err)
	}
	if len(text) > maxPEM || !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: want certificates in PEM, 1 MiB at most", file)
	}
	return roots, nil
}

// Close closes the connections that wait for another request.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Answer is what a server said.
type Answer struct {
	Status int
	// RetryAfter is how long the server wants to be left alone, a day at most; 0 where it does not say.
	RetryAfter time.Duration
	// Body is the first 64 KiB of it.
	Body []byte
	// Truncated says that there was more, or that the rest did not come in time.
	Truncated bool
}

// Post sends a request and reads the answer, in 15 seconds at most. Any status is an Answer, a redirect too: once the
// server has said it, what becomes of the rest does not change what it said. Without a status the error is an *Error.
// The header is sent as it is, with a User-Agent where it has none.
func (c *Client) Post(ctx context.Context, target string, header http.Header, body []byte) (Answer, error) {
	u, err := url.Parse(target)
	if err != nil {
		err = errors.New("it is not a URL") // the error quotes it
	} else {
		err = c.CheckURL(u)
	}
	if err != nil {
		return Answer{}, failed(FailureURL, err.Error())
	}
	limited, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	var wants atomic.Bool // the hook may still be called when the request has been given up
	var tries atomic.Int64
	trying, giveUp := context.WithCancel(limited)
	defer giveUp()
	traced := httptrace.WithClientTrace(trying, &httptrace.ClientTrace{
		GetConn: func(string) {
			if tries.Add(1) > maxTries {
				giveUp()
			}
		},
		GotConn: func(got httptrace.GotConnInfo) {
			if s := strangerOf(got); s != nil {
				s.request()
				wants.Store(s.wantsCertificate && !got.Reused)
			}
		},
	})
	req, err := http.NewRequestWithContext(traced, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return Answer{}, failed(FailureURL, "it cannot be requested")
	}
	if header != nil {
		req.Header = header.Clone()
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "gatehouse")
	}
	resp, err := c.transport.RoundTrip(req) // not a Client, which follows redirects and keeps cookies
	if err != nil {
		return Answer{}, exchangeFailure(ctx, limited, err, wants.Load())
	}
	defer resp.Body.Close()
	answer := Answer{Status: resp.StatusCode, RetryAfter: c.retryAfter(resp.Header.Get("Retry-After"))}
	if resp.StatusCode == http.StatusSwitchingProtocols { // then the body is the connection, without a deadline
		return answer, nil
	}
	answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil || len(answer.Body) > maxBody {
		answer.Body, answer.Truncated = answer.Body[:min(len(answer.Body), maxBody)], true
	}
	return answer, nil
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func (c *Client) retryAfter(s string) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(s, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		wait = maxRetryAfter
	} else if at, err := http.ParseTime(s); err == nil {
		wait = at.Sub(c.now())
	}
	return min(max(wait, 0), maxRetryAfter)
}
