package doordecksim

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"slices"
)

// maxUserKeys bounds the verified keys of one user; the oldest is forgotten.
const maxUserKeys = 64

// RegisterKey makes an ephemeral key a verified one of a user, found by id or subject.
func (s *Sim) RegisterKey(idOrSubject string, key ed25519.PublicKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.find(idOrSubject)
	if u == nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("there is no user %q, or the key is not an Ed25519 one", idOrSubject)
	}
	s.people.verified(u, key)
	return nil
}

// ForgetKeys takes all ephemeral keys from a user: signed operations answer 403, and the next key is new.
func (s *Sim) ForgetKeys(idOrSubject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.find(idOrSubject); u != nil {
		for len(u.keys) > 0 {
			s.people.forget(u)
		}
	}
}

func (p *people) verified(u *user, key ed25519.PublicKey) {
	if u.has(key) {
		return
	}
	if len(u.keys) >= maxUserKeys {
		p.forget(u)
	}
	u.keys = append(u.keys, slices.Clone(key))
	p.byKey[string(key)] = append(p.byKey[string(key)], u)
}

// forget drops a user's oldest key.
func (p *people) forget(u *user) {
	key := string(u.keys[0])
	u.keys = u.keys[1:]
	p.byKey[key] = slices.DeleteFunc(p.byKey[key], func(other *user) bool { return other == u })
	if len(p.byKey[key]) == 0 {
		delete(p.byKey, key)
	}
}

func (u *user) has(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(u.keys, func(k ed25519.PublicKey) bool { return k.Equal(key) })
}

// parseEphemeral reads a key as clients send it: the raw 32 bytes or the 44 of RFC 8410.
func parseEphemeral(text string) (ed25519.PublicKey, bool) {
	raw, ok := decodeStandard(text)
	if !ok {
		return nil, false
	}
	if len(raw) == ed25519.PublicKeySize {
		return raw, true
	}
	if len(raw) != 44 {
		return nil, false
	}
	parsed, err := x509.ParsePKIXPublicKey(raw)
	key, isEd25519 := parsed.(ed25519.PublicKey)
	return key, err == nil && isEd25519
}
