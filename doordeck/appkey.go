package doordeck

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKey   = 64 << 10 // bytes of a key file
	maxKeyID = 256      // bytes
	minRSA   = 2048     // bits; RFC 7518, 3.3
)

// ApplicationKey is the key registered for the application, which signs its users' auth tokens. It prints as
// REDACTED.
type ApplicationKey struct {
	hidden
	key *jose.SigningKey // its Key is a *jose.JSONWebKey with the private key and its id
}

// ParseKey reads an application key: a private JWK (Ed25519, EC on P-256, P-384 or P-521, RSA) or PEM
// (PKCS #8, SEC 1, PKCS #1; not encrypted). The id is the `kid` that the key is registered under. A JWK
// brings its own; if both are there they must be the same. The errors hold nothing of the key.
func ParseKey(data []byte, id string) (ApplicationKey, error) {
	if len(data) > maxKey {
		return ApplicationKey{}, errors.New("the application key is too large")
	}
	parse := parseJWK
	if strings.Contains(string(data), "-----BEGIN") {
		parse = parsePEM
	}
	jwk, err := parse(data)
	if err != nil {
		return ApplicationKey{}, err
	}
	switch {
	case jwk.KeyID == "":
		jwk.KeyID = id
	case id != "" && id != jwk.KeyID:
		return ApplicationKey{}, errors.New("the JWK's kid and the key id differ")
	}
	if jwk.KeyID == "" || len(jwk.KeyID) > maxKeyID || !utf8.ValidString(jwk.KeyID) {
		return ApplicationKey{}, errors.New("the application key needs a key id: the kid that it is registered under, at most 256 bytes")
	}
	algorithm, err := algorithmOf(jwk)
	if err != nil {
		return ApplicationKey{}, err
	}
	key := ApplicationKey{key: &jose.SigningKey{Algorithm: algorithm, Key: jwk}}
	if err := key.prove(); err != nil {
		return ApplicationKey{}, err
	}
	return key, nil
}

// ID is the key's id. It is no secret.
func (k ApplicationKey) ID() string {
	if k.key == nil {
		return ""
	}
	return k.key.Key.(*jose.JSONWebKey).KeyID
}

// prove signs something and verifies it, so that a private key with another's public key fails here and not
// at Doordeck.
func (k ApplicationKey) prove() error {
	wrong := errors.New("the application key's private and public halves do not fit")
	jwt, err := compact(*k.key, nil, struct{}{})
	if err != nil {
		return wrong
	}
	signed, err := jose.ParseSignedCompact(jwt, []jose.SignatureAlgorithm{k.key.Algorithm})
	if err != nil {
		return wrong
	}
	if _, err := signed.Verify(k.key.Key.(*jose.JSONWebKey).Public()); err != nil {
		return wrong
	}
	return nil
}

func parseJWK(data []byte) (*jose.JSONWebKey, error) {
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(data) != nil {
		return nil, errors.New("the application key is neither PEM nor a JWK that can be read")
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return nil, errors.New("the JWK is not for signing")
	}
	return &jwk, nil
}

func parsePEM(data []byte) (*jose.JSONWebKey, error) {
	var found crypto.PrivateKey
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key crypto.PrivateKey
		var err error
		switch {
		case strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "":
			return nil, errors.New("the application key is encrypted; store it decrypted")
		case block.Type == "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default: // parameters of a curve, a certificate
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the application key cannot be read: its block %s is damaged or of a kind that is not supported", block.Type)
		}
		if found != nil {
			return nil, errors.New("the application key's file holds more than one private key")
		}
		found = key
	}
	if found == nil {
		return nil, errors.New("the application key's file holds no private key")
	}
	return &jose.JSONWebKey{Key: found}, nil
}

func algorithmOf(jwk *jose.JSONWebKey) (jose.SignatureAlgorithm, error) {
	var algorithm jose.SignatureAlgorithm
	switch key := jwk.Key.(type) {
	case ed25519.PrivateKey:
		algorithm = jose.EdDSA
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSA {
			return "", fmt.Errorf("the application key is RSA with fewer than %d bits", minRSA)
		}
		algorithm = jose.RS256
	case *ecdsa.PrivateKey:
		algorithm = map[string]jose.SignatureAlgorithm{
			"P-256": jose.ES256, "P-384": jose.ES384, "P-521": jose.ES512,
		}[key.Curve.Params().Name]
	case ed25519.PublicKey, *rsa.PublicKey, *ecdsa.PublicKey:
		return "", errors.New("the application key is only the public half")
	}
	if algorithm == "" {
		return "", errors.New("the application key must be Ed25519, RSA, or EC on P-256, P-384 or P-521")
	}
	if jwk.Algorithm != "" && jwk.Algorithm != string(algorithm) {
		return "", fmt.Errorf("the JWK's alg must be %s", algorithm)
	}
	return algorithm, nil
}
