package doordecksim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"hash"
	"strings"
)

var errIdentity = errors.New("identity has to be an OpenID token of your application, encrypted to its identity key as a compact JWE with RSA-OAEP and AES-GCM")

// IdentityKey is the public key that an application encrypts identities to; nil for an unknown issuer.
func (s *Sim) IdentityKey(issuer string) *rsa.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.apps[issuer]
	if app == nil || app.own {
		return nil
	}
	return rsaPublic(app.identity)
}

// identity decrypts somebody's token and finds or makes the person, as a call with that token would.
func (c *call) identity(compact string) (*user, error) {
	if c.user.app.own {
		return nil, errors.New("identity needs an application with a key for it")
	}
	plain, err := decryptJWE(compact, rsaPrivate(c.user.app.identity))
	if err != nil {
		return nil, errIdentity
	}
	t, reason := c.sim.checkToken(string(plain), c.now)
	if reason != "" {
		return nil, errors.New("the token in identity is not good: " + reason)
	}
	if t.app != c.user.app {
		return nil, errors.New("the token in identity is another application's")
	}
	u, reason := c.sim.userOf(t)
	if reason != "" {
		return nil, errors.New(reason)
	}
	return u, nil
}

// decryptJWE opens the compact form of RFC 7516 with five segments. Why it failed is nobody's business.
func decryptJWE(compact string, key *rsa.PrivateKey) ([]byte, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 5 {
		return nil, errIdentity
	}
	var raw [5][]byte
	for i, part := range parts {
		var ok bool
		if raw[i], ok = decodeSegment(part, false); !ok {
			return nil, errIdentity
		}
	}
	header, err := parseObject(raw[0])
	if err != nil {
		return nil, errIdentity
	}
	algorithm, _ := header.text("alg")
	encryption, _ := header.text("enc")
	digest := map[string]func() hash.Hash{"RSA-OAEP": sha1.New, "RSA-OAEP-256": sha256.New}[algorithm]
	size := map[string]int{"A128GCM": 16, "A192GCM": 24, "A256GCM": 32}[encryption]
	if digest == nil || size == 0 || header.has("zip") || header.has("crit") {
		return nil, errIdentity
	}
	secret, err := rsa.DecryptOAEP(digest(), nil, key, raw[1], nil)
	if err != nil || len(secret) != size {
		return nil, errIdentity
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, errIdentity
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil || len(raw[2]) != gcm.NonceSize() {
		return nil, errIdentity
	}
	return gcm.Open(nil, raw[2], append(raw[3], raw[4]...), []byte(parts[0]))
}
