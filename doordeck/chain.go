package doordeck

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"slices"
	"time"
)

const (
	maxCertificates = 10
	maxCertificate  = 16 << 10 // bytes of DER
	// renewBefore is when Doordeck's SDKs call a chain expired, ahead of its end.
	renewBefore = 7 * 24 * time.Hour
)

// Chain is the certificate chain of a registered key, leaf first, root last. It goes into every operation
// exactly as Doordeck gave it. The zero Chain is none.
type Chain struct {
	entries                      []string
	leaf                         ed25519.PublicKey // nil where the leaf holds another kind of key
	notBefore, notAfter, renewAt time.Time
}

// ParseChain reads a chain: standard base64 of DER, as in Doordeck's answer and from Entries. It looks at
// the certificates' windows and the leaf's key, and takes forms that crypto/x509 is too strict for; whether
// one certificate signed the other is for Doordeck and the lock to judge.
func ParseChain(entries []string) (Chain, error) {
	if len(entries) == 0 || len(entries) > maxCertificates {
		return Chain{}, fmt.Errorf("the chain has %d certificates; it must have 1 to %d", len(entries), maxCertificates)
	}
	chain := Chain{entries: slices.Clone(entries)}
	for i, entry := range entries {
		if len(entry) > base64.StdEncoding.EncodedLen(maxCertificate) {
			return Chain{}, fmt.Errorf("certificate %d of the chain is too large", i+1)
		}
		der, err := base64.StdEncoding.DecodeString(entry)
		if err != nil {
			return Chain{}, fmt.Errorf("certificate %d of the chain is not in standard base64", i+1)
		}
		var c certificate
		if _, err := asn1.Unmarshal(der, &c); err != nil || !c.TBS.Validity.NotBefore.Before(c.TBS.Validity.NotAfter) {
			return Chain{}, fmt.Errorf("certificate %d of the chain cannot be read", i+1)
		}
		if i == 0 {
			chain.leaf = c.key()
		}
		chain.narrow(c.TBS.Validity)
	}
	return chain, nil
}

// certificate is as much of RFC 5280's as matters here.
type certificate struct {
	TBS struct {
		Version                   int `asn1:"optional,explicit,default:0,tag:0"`
		Serial, Algorithm, Issuer asn1.RawValue
		Validity                  window
		Subject, PublicKey        asn1.RawValue
	}
}

type window struct{ NotBefore, NotAfter time.Time }

func (c certificate) key() ed25519.PublicKey {
	key, err := x509.ParsePKIXPublicKey(c.TBS.PublicKey.FullBytes)
	if err != nil {
		return nil
	}
	public, _ := key.(ed25519.PublicKey)
	return public
}

// narrow takes one more certificate's window into account. The chain is good while all its certificates are,
// and has to be renewed as soon as one of them has.
func (c *Chain) narrow(w window) {
	life := w.NotAfter.Sub(w.NotBefore)
	renewAt := w.NotAfter.Add(-min(renewBefore, life/3)).UTC()
	if c.notAfter.IsZero() || renewAt.Before(c.renewAt) {
		c.renewAt = renewAt
	}
	if c.notAfter.IsZero() || w.NotAfter.Before(c.notAfter) {
		c.notAfter = w.NotAfter.UTC()
	}
	if w.NotBefore.After(c.notBefore) {
		c.notBefore = w.NotBefore.UTC()
	}
}

// Entries are the certificates as Doordeck gave them, to be kept. They are no secret.
func (c Chain) Entries() []string { return slices.Clone(c.entries) }

// IsZero tells whether there is no chain.
func (c Chain) IsZero() bool { return len(c.entries) == 0 }

// NotBefore is when the youngest certificate begins to be good.
func (c Chain) NotBefore() time.Time { return c.notBefore }

// NotAfter is when the first certificate ends. A queued operation that a door gets later may be refused.
func (c Chain) NotAfter() time.Time { return c.notAfter }

// RenewAt is when the same key should be registered again: for the certificate where that comes first, seven
// days before its end, or a third of its life if that is shorter.
func (c Chain) RenewAt() time.Time { return c.renewAt }

// For tells whether the chain is a key's own.
func (c Chain) For(key EphemeralKey) bool {
	return c.leaf != nil && bytes.Equal(c.leaf, key.public())
}
