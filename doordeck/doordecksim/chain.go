package doordecksim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// maxChain bounds the certificates looked at.
const maxChain = 10

// decodeX5C reads the header's certificates; their bytes are not looked at yet.
func decodeX5C(raw json.RawMessage) ([][]byte, error) {
	var list []string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > maxChain {
		return nil, errors.New("x5c has to be a list of certificates")
	}
	var chain [][]byte
	for i, text := range list {
		der, ok := decodeStandard(text)
		if !ok || len(der) == 0 {
			return nil, fmt.Errorf("x5c[%d] is not standard base64", i)
		}
		chain = append(chain, der)
	}
	return chain, nil
}

// leafKey proves a chain up to a trusted root at a time and returns the leaf's key.
func leafKey(ders [][]byte, roots []*x509.Certificate, now time.Time) (ed25519.PublicKey, error) {
	var chain []*x509.Certificate
	for i, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("x5c[%d] is no certificate", i)
		}
		if err := inside(c, now); err != nil {
			return nil, fmt.Errorf("x5c[%d] %w", i, err)
		}
		chain = append(chain, c)
	}
	for i, c := range chain[:len(chain)-1] {
		if err := signedBy(c, chain[i+1]); err != nil {
			return nil, fmt.Errorf("x5c[%d] is not signed by the next: %w", i, err)
		}
	}
	if !trusted(chain[len(chain)-1], roots, now) {
		return nil, errors.New("the chain ends in no trusted root")
	}
	key, isEd25519 := chain[0].PublicKey.(ed25519.PublicKey)
	if !isEd25519 {
		return nil, errors.New("the leaf's key is not Ed25519")
	}
	return key, nil
}

func inside(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore.Truncate(time.Second)):
		return errors.New("is not good yet")
	case now.After(c.NotAfter):
		return errors.New("has expired")
	}
	return nil
}

// signedBy includes that the parent is an authority and may sign certificates.
func signedBy(c, parent *x509.Certificate) error {
	if !bytes.Equal(c.RawIssuer, parent.RawSubject) {
		return errors.New("the names differ")
	}
	return c.CheckSignatureFrom(parent)
}

// trusted: the last certificate is a root, or one has signed it.
func trusted(last *x509.Certificate, roots []*x509.Certificate, now time.Time) bool {
	for _, root := range roots {
		if last.Equal(root) || (inside(root, now) == nil && signedBy(last, root) == nil) {
			return true
		}
	}
	return false
}
