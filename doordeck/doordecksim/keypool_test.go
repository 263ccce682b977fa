package doordecksim

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"flag"
	"math/big"
	"os"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "make new primes and authorities")

// TestPrimes proves what newRSA relies on. With -update it makes the file anew, which takes a minute.
func TestPrimes(t *testing.T) {
	if *update {
		makePrimes(t)
	}
	if want := userPrimes*userPrimeSize + caPrimes*caPrimeSize; len(primes) != want {
		t.Fatalf("primes.bin has %d bytes, want %d", len(primes), want)
	}
	seen := map[string]bool{}
	check := func(p *big.Int, bits int) {
		t.Helper()
		if !suits(p, bits) || !p.ProbablyPrime(0) {
			t.Errorf("%x… is not a prime of %d bits that suits", p.Bytes()[:8], bits)
		}
		if seen[p.String()] {
			t.Errorf("%x… is there twice", p.Bytes()[:8])
		}
		seen[p.String()] = true
	}
	for i := range userPrimes {
		check(userPrime(i), userPrimeSize*8)
	}
	for i := range caPrimes {
		check(caPrime(i), caPrimeSize*8)
	}
}

// suits asks for the two highest bits, so that a product has all of its bits, and for an exponent that can
// be inverted.
func suits(p *big.Int, bits int) bool {
	below := new(big.Int).Sub(p, big.NewInt(1))
	return p.BitLen() == bits && p.Bit(bits-2) == 1 && new(big.Int).Mod(below, big.NewInt(exponent)).Sign() != 0
}

func makePrimes(t *testing.T) {
	t.Helper()
	var file bytes.Buffer
	add := func(n, size int) {
		for range n {
			p, err := rand.Prime(rand.Reader, size*8)
			for err == nil && !suits(p, size*8) {
				p, err = rand.Prime(rand.Reader, size*8)
			}
			if err != nil {
				t.Fatal(err)
			}
			file.Write(p.FillBytes(make([]byte, size)))
		}
	}
	add(userPrimes, userPrimeSize)
	add(caPrimes, caPrimeSize)
	if err := os.WriteFile("primes.bin", file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	primes = file.Bytes()
}

func TestEveryPairIsAnotherKey(t *testing.T) {
	moduli := map[string]bool{}
	pool := keyPool{}
	for range maxKeys {
		n, err := pool.take()
		if err != nil {
			t.Fatal(err)
		}
		key := rsaPublic(n)
		if key.N.BitLen() != 2048 {
			t.Fatalf("key %d has %d bits", n, key.N.BitLen())
		}
		moduli[string(key.N.Bytes())] = true
	}
	if len(moduli) != maxKeys {
		t.Errorf("%d different keys, want %d", len(moduli), maxKeys)
	}
	if _, err := pool.take(); err == nil {
		t.Error("the pool has no end")
	}
}

func TestKeysSign(t *testing.T) {
	sum := sha256.Sum256([]byte("door"))
	for _, key := range []*rsa.PrivateKey{
		rsaPrivate(0), rsaPrivate(maxKeys - 1), newRSA(caPrime(0), caPrime(1)), newRSA(caPrime(2), caPrime(3)),
	} {
		if err := key.Validate(); err != nil {
			t.Fatal(err)
		}
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
			t.Error(err)
		}
	}
}

// TestAuthorities proves the ready-made certificates. With -update it makes them anew. Unlike Doordeck's own,
// the platform's lives as long as the root, so that the fixture does not stop working one day.
func TestAuthorities(t *testing.T) {
	if *update {
		makeAuthorities(t)
	}
	ca := newAuthority()
	if err := ca.platform.CheckSignatureFrom(ca.root); err != nil {
		t.Error(err)
	}
	if err := ca.root.CheckSignatureFrom(ca.root); err != nil {
		t.Error(err)
	}
	if !ca.key.PublicKey.Equal(ca.platform.PublicKey) {
		t.Error("the platform's certificate is for another key")
	}
	if years := time.Until(ca.root.NotAfter).Hours() / 24 / 365; years < 20 {
		t.Errorf("they live only %.0f more years", years)
	}
}

func makeAuthorities(t *testing.T) {
	t.Helper()
	from, until := time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2058, 1, 1, 0, 0, 0, 0, time.UTC)
	rootKey, key := newRSA(caPrime(0), caPrime(1)), newRSA(caPrime(2), caPrime(3))
	root, err := sign(&x509.Certificate{
		Subject:   pkix.Name{Country: []string{"GB"}, Organization: []string{"Doordeck simulation"}, CommonName: "Simulated Root CA 1"},
		NotBefore: from, NotAfter: until, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, &rootKey.PublicKey, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	platform, err := sign(&x509.Certificate{
		Subject:   named(asn1.ObjectIdentifier{2, 5, 4, 46}, derivedID("platform")), // dnQualifier
		NotBefore: from, NotAfter: until, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, root, &key.PublicKey, rootKey)
	if err != nil {
		t.Fatal(err)
	}
	authorities = append(platform.Raw, root.Raw...)
	if err := os.WriteFile("authorities.der", authorities, 0o644); err != nil {
		t.Fatal(err)
	}
}
