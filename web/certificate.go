package web

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateFor is how long a certificate is used before its files are looked at again.
const certificateFor = 10 * time.Second

// Certificate is a TLS certificate whose files may be replaced while the gateway runs: handshakes see the
// new one within ten seconds. Files that do not make a pair change nothing; that is logged once for each
// content, and tried again, because somebody may be in the middle of writing them.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu        sync.Mutex
	pair      *tls.Certificate
	lookedAt  time.Time
	cert, key []byte // as they were last read
}

// LoadCertificate reads a certificate chain and its key (PEM), which must be usable now.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	cert, key, err := c.read()
	if err == nil {
		err = c.use(cert, key)
	}
	if err != nil {
		return nil, err
	}
	c.lookedAt = time.Now()
	return c, nil
}

// TLS is the configuration of a listener with this certificate: TLS 1.2 or newer.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// Client gives the certificate to a server that asks for one of an authority of ours, and none to others.
func (c *Certificate) Client(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := c.get(nil)
	if err != nil || asked.SupportsCertificate(pair) != nil {
		return &tls.Certificate{}, err
	}
	return pair, nil
}

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.lookedAt) >= certificateFor {
		c.lookedAt = now
		c.renew()
	}
	return c.pair, nil
}

func (c *Certificate) renew() {
	cert, key, err := c.read()
	if bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return
	}
	if err == nil {
		err = c.use(cert, key)
	}
	c.cert, c.key = cert, key
	if err != nil {
		c.log.Error("the TLS certificate was not renewed; the old one is still used", "error", err)
		return
	}
	c.log.Info("the TLS certificate was renewed", "not_after", c.pair.Leaf.NotAfter)
}

func (c *Certificate) use(cert, key []byte) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	c.pair, c.cert, c.key = &pair, cert, key
	return nil
}

func (c *Certificate) read() (cert, key []byte, err error) {
	if cert, err = readSmall(c.certFile); err == nil {
		key, err = readSmall(c.keyFile)
	}
	return cert, key, err
}

// readSmall reads no more than a chain of certificates can be.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}
