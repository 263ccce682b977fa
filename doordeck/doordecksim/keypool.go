package doordecksim

import (
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"errors"
	"math/big"
)

// Making RSA keys takes a good part of a second, which hundreds of tests cannot wait for. So the keys are
// products of ready-made primes: each pair of the 128 user primes is another key of 2048 bits. Keys that share
// primes are worthless as secrets, which suits a fixture.
//
//go:embed primes.bin
var primes []byte

const (
	userPrimes, userPrimeSize = 128, 128 // number and bytes of each
	caPrimes, caPrimeSize     = 4, 256   // of the two authorities' keys, after the others
	maxKeys                   = userPrimes * (userPrimes - 1) / 2
)

var errNoKeysLeft = errors.New("the simulation has no RSA keys left")

func userPrime(i int) *big.Int {
	return new(big.Int).SetBytes(primes[i*userPrimeSize : (i+1)*userPrimeSize])
}

func caPrime(i int) *big.Int {
	all := primes[userPrimes*userPrimeSize:]
	return new(big.Int).SetBytes(all[i*caPrimeSize : (i+1)*caPrimeSize])
}

// pair is the nth pair of user primes.
func pair(n int) (p, q *big.Int) {
	high := 1
	for n >= high {
		n -= high
		high++
	}
	return userPrime(high), userPrime(n)
}

// keyPool hands out RSA keys by number; each number is handed out once.
type keyPool struct{ next int }

func (k *keyPool) take() (int, error) {
	if k.next >= maxKeys {
		return 0, errNoKeysLeft
	}
	k.next++
	return k.next - 1, nil
}

// rsaPublic is cheap, unlike the private key, which few users ever need.
func rsaPublic(n int) *rsa.PublicKey {
	p, q := pair(n)
	return &rsa.PublicKey{N: p.Mul(p, q), E: exponent}
}

func rsaPrivate(n int) *rsa.PrivateKey {
	p, q := pair(n)
	return newRSA(p, q)
}

const exponent = 65537

func newRSA(p, q *big.Int) *rsa.PrivateKey {
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent},
		D:         new(big.Int).ModInverse(big.NewInt(exponent), phi),
		Primes:    []*big.Int{p, q},
	}
	key.Precompute()
	return key
}

// directoryKey is how the directory writes a public key.
func directoryKey(key *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic("doordecksim: encoding an RSA key: " + err.Error()) // not possible for this type
	}
	return base64.StdEncoding.EncodeToString(der)
}
