package doordeck_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"

	"gatehouse/doordeck"
)

func TestEphemeralKeysAreKept(t *testing.T) {
	key := doordeck.NewEphemeralKey()
	again, err := doordeck.ParseEphemeralKey(key.Reveal())
	if err != nil || again.PublicKey() != key.PublicKey() || len(key.Reveal()) != 32 {
		t.Fatalf("%q became %q: %v", key.PublicKey(), again.PublicKey(), err)
	}
	if doordeck.NewEphemeralKey().PublicKey() == key.PublicKey() {
		t.Fatal("two keys are the same")
	}
}

func TestParseEphemeralKey(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 5958 with the public key behind, as BouncyCastle writes it.
	long := append([]byte{0x30, 81, 2, 1, 1}, pkcs8[5:]...)
	long = append(append(long, 0x81, 33, 0), public...)
	stranger := bytes.Clone(private)
	stranger[40] ^= 1
	agreement, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherKind, err := x509.MarshalPKCS8PrivateKey(agreement)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"seed", private.Seed(), true},
		{"libsodium", private, true},
		{"PKCS #8", pkcs8, true},
		{"PKCS #8 with the public key", long, true},
		{"libsodium with another's public key", stranger, false},
		{"X25519", otherKind, false},
		{"a byte short", private.Seed()[1:], false},
		{"empty", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := doordeck.ParseEphemeralKey(tt.b)
			if (err == nil) != tt.ok || (tt.ok && !bytes.Equal(key.Reveal(), private.Seed())) || key.IsZero() == tt.ok {
				t.Fatalf("%v", err)
			}
		})
	}
	if len(long) != 83 || len(pkcs8) != 48 {
		t.Fatalf("%d and %d bytes", len(long), len(pkcs8))
	}
}

func TestSignCode(t *testing.T) {
	want, err := ephemeral(t).SignCode("123456")
	if err != nil {
		t.Fatal(err)
	}
	for _, same := range []string{"123-456", "123 456", " 123456\r\n", "12–34—56", "1-2-3-4-5-6", "\ufeff123\u00a0456\u200b", "123−456"} {
		if got, err := ephemeral(t).SignCode(same); err != nil || got != want {
			t.Errorf("%q is signed as another code: %v", same, err)
		}
	}
	for _, other := range []string{"654321", "0123456", "12345", "ABCdef1"} {
		if got, err := ephemeral(t).SignCode(other); err != nil || got == want || len(got) != 88 {
			t.Errorf("%q: %q, %v", other, got, err)
		}
	}
	for _, bad := range []string{"", " - ", "１２３４５６", "12.34", "123456\xff", strings.Repeat("1", 33), strings.Repeat(" ", 1000) + "1"} {
		if got, err := ephemeral(t).SignCode(bad); err == nil || got != "" {
			t.Errorf("%q was signed", bad)
		}
	}
	if _, err := (doordeck.EphemeralKey{}).SignCode("123456"); err == nil {
		t.Error("no key signed a code")
	}
	if k := (doordeck.EphemeralKey{}); k.PublicKey() != "" || k.RawPublicKey() != "" || k.Reveal() != nil {
		t.Error("no key has a public key")
	}
}
