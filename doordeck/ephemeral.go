package doordeck

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
)

// EphemeralKey is the Ed25519 key that signs the operations of one user. It lives on: keep it sealed and
// register the same one again, since every new key earns the user another code. It prints as REDACTED.
type EphemeralKey struct {
	hidden
	private *ed25519.PrivateKey
}

// NewEphemeralKey makes a key from the system's randomness.
func NewEphemeralKey() EphemeralKey {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // it never fails: it ends the program instead
	return fromSeed(seed)
}

// ParseEphemeralKey reads a key that was kept: its seed of 32 bytes, or what Doordeck's SDKs keep, which is
// the seed with the public key behind it (64 bytes, libsodium) or PKCS #8 (48 bytes, 83 from BouncyCastle).
func ParseEphemeralKey(b []byte) (EphemeralKey, error) {
	switch len(b) {
	case ed25519.SeedSize:
		return fromSeed(b), nil
	case ed25519.PrivateKeySize:
		// Signing with a public key that is not its own gives a private key away.
		if key := fromSeed(b[:ed25519.SeedSize]); bytes.Equal(*key.private, b) {
			return key, nil
		}
		return EphemeralKey{}, errors.New("the ephemeral key's public half is not its own")
	default:
		parsed, err := x509.ParsePKCS8PrivateKey(b)
		if private, ok := parsed.(ed25519.PrivateKey); ok && err == nil {
			return EphemeralKey{private: &private}, nil
		}
		return EphemeralKey{}, errors.New("the ephemeral key is neither 32 nor 64 bytes nor Ed25519 in PKCS #8")
	}
}

func fromSeed(seed []byte) EphemeralKey {
	private := ed25519.NewKeyFromSeed(seed)
	return EphemeralKey{private: &private}
}

// IsZero tells whether there is no key.
func (k EphemeralKey) IsZero() bool { return k.private == nil }

// Reveal returns the key's seed, 32 bytes, to be sealed and kept.
func (k EphemeralKey) Reveal() []byte {
	if k.IsZero() {
		return nil
	}
	return k.private.Seed()
}

func (k EphemeralKey) public() ed25519.PublicKey {
	if k.IsZero() {
		return nil
	}
	return k.private.Public().(ed25519.PublicKey)
}

// PublicKey is the public key as it is sent: standard base64 of its RFC 8410 form, 44 bytes.
func (k EphemeralKey) PublicKey() string {
	der, err := x509.MarshalPKIXPublicKey(k.public())
	if err != nil || k.IsZero() {
		return ""
	}
	return base64.StdEncoding.EncodeToString(der)
}

// RawPublicKey is the other form that Doordeck takes: standard base64 of the 32 bytes themselves.
func (k EphemeralKey) RawPublicKey() string { return base64.StdEncoding.EncodeToString(k.public()) }

// SignCode signs the verification code that Doordeck sent to a person: standard base64 of the signature of
// its bytes. Spaces and dashes that people put between the digits are dropped; how long a code is, is not
// Doordeck's promise.
func (k EphemeralKey) SignCode(code string) (string, error) {
	code, err := plainCode(code)
	if err != nil {
		return "", err
	}
	if k.IsZero() {
		return "", errNoKey
	}
	return base64.StdEncoding.EncodeToString(ed25519.Sign(*k.private, []byte(code))), nil
}

var errNoKey = errors.New("there is no ephemeral key")

// maxCode bounds a code; the longest seen has eight digits.
const maxCode = 32

// plainCode is a code without what people type around it. The errors do not repeat it.
func plainCode(code string) (string, error) {
	if len(code) > 8*maxCode {
		return "", errors.New("the code is too long")
	}
	code = unspaced(code)
	if code == "" || len(code) > maxCode {
		return "", errors.New("the code must have 1 to 32 digits or letters")
	}
	for _, r := range code {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return "", errors.New("the code must hold only digits and letters")
		}
	}
	return code, nil
}
