package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/telemetry"
	"gatehouse/web"
)

// newPair makes a certificate with a serial number and its key, as PEM.
func newPair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	model := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	raw, err := x509.CreateCertificate(rand.Reader, model, model, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestTheCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		cert, key := newPair(t, 1)
		write(certFile, cert)
		write(keyFile, key)
		c, err := web.LoadCertificate(certFile, keyFile, telemetry.NewLogger(log, "json", slog.LevelInfo))
		if err != nil {
			t.Fatal(err)
		}
		config := c.TLS()
		serial := func() int64 {
			t.Helper()
			pair, err := config.GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			return pair.Leaf.SerialNumber.Int64()
		}
		wait := func(want int64, complaints int) {
			t.Helper()
			time.Sleep(10 * time.Second)
			if got := serial(); got != want {
				t.Errorf("certificate %d, want %d", got, want)
			}
			if got := strings.Count(log.String(), "was not renewed"); got != complaints {
				t.Errorf("%d complaints, want %d: %s", got, complaints, log)
			}
		}
		wait(1, 0)
		cert2, key2 := newPair(t, 2)
		write(certFile, cert2) // its key is not there yet
		if serial() != 1 {
			t.Error("the files were read at once")
		}
		wait(1, 1)
		wait(1, 1) // once
		write(keyFile, key2)
		wait(2, 1)
		write(certFile, []byte("garbage"))
		wait(2, 2)
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		wait(2, 3)
		write(certFile, cert2)
		wait(2, 4)
		write(keyFile, key2)
		wait(2, 4)
		if strings.Contains(log.String(), "PRIVATE") {
			t.Error("the key is in the log")
		}
	})
	for name, path := range map[string]string{"missing": filepath.Join(dir, "nothing"), "not a certificate": keyFile} {
		if _, err := web.LoadCertificate(path, keyFile, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// As a client's it is shown to servers that know its authority, and to no others.
func TestTheCertificateOfAClient(t *testing.T) {
	dir := t.TempDir()
	cert, key := newPair(t, 1)
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, data := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := web.LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		authorities [][]byte
		given       int
	}{"any": {nil, 1}, "another": {[][]byte{[]byte("another")}, 0}} {
		pair, err := c.Client(&tls.CertificateRequestInfo{
			AcceptableCAs: row.authorities, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, Version: tls.VersionTLS13,
		})
		if err != nil || len(pair.Certificate) != row.given {
			t.Errorf("%s: %d certificates, %v", name, len(pair.Certificate), err)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	dir := t.TempDir()
	cert, key := newPair(t, 1)
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, data := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := web.LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := listening(t, newFixture(t, nil).Public(true), c.TLS())
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version, NextProtos: []string{"h2"}})
		if (err == nil) != ok {
			t.Errorf("TLS %x: %v", version, err)
		}
		if err == nil {
			if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
				t.Errorf("TLS %x: %q", version, got)
			}
			_ = conn.Close()
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
