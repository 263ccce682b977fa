package doordecksim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
)

// Application is somebody whose users may call with tokens of their own, as an integrator registers one with
// Doordeck.
type Application struct {
	Issuer string // compared byte for byte
	Keys   []Key
}

// Key is a public key that an application signs tokens with.
type Key struct {
	ID        string           // the kid, unique within its application
	Algorithm string           // the only one allowed; "" for all that suit the key
	Public    crypto.PublicKey // ed25519.PublicKey, *ecdsa.PublicKey or *rsa.PublicKey
}

// SigningKey is the private half of a Key.
type SigningKey struct {
	ID      string
	Private crypto.Signer
}

// ParseJWK reads a public JWK of type OKP (Ed25519), EC or RSA with a kid, as Doordeck's platform takes them
// (https://portal.sentryinteractive.com/docs/cloud-api/platform/add-auth-key). A private one is refused.
func ParseJWK(raw []byte) (Key, error) {
	o, err := parseObject(raw)
	if err != nil {
		return Key{}, fmt.Errorf("jwk: %w", err)
	}
	k := Key{}
	k.ID, _ = o.text("kid")
	k.Algorithm, _ = o.text("alg")
	if o.has("d") {
		return Key{}, errors.New("jwk: this is a private key; send the public half")
	}
	kind, _ := o.text("kty")
	switch kind {
	case "OKP":
		k.Public, err = edwardsKey(o)
	case "EC":
		k.Public, err = curveKey(o)
	case "RSA":
		k.Public, err = rsaKey(o)
	default:
		err = errors.New("kty has to be OKP, EC or RSA")
	}
	if err == nil {
		err = k.check()
	}
	if err != nil {
		return Key{}, fmt.Errorf("jwk: %w", err)
	}
	return k, nil
}

func (o object) bytes(name string) []byte {
	text, _ := o.text(name)
	raw, ok := decodeSegment(text, true)
	if !ok {
		return nil
	}
	return raw
}

func edwardsKey(o object) (crypto.PublicKey, error) {
	curve, _ := o.text("crv")
	x := o.bytes("x")
	if curve != "Ed25519" || len(x) != ed25519.PublicKeySize {
		return nil, errors.New("an OKP key needs crv Ed25519 and x of 32 bytes")
	}
	return ed25519.PublicKey(x), nil
}

func curveKey(o object) (crypto.PublicKey, error) {
	name, _ := o.text("crv")
	curve, known := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[name]
	if !known {
		return nil, errors.New("an EC key needs crv P-256, P-384 or P-521")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, o.bytes("x")...), o.bytes("y")...))
	if err != nil {
		return nil, errors.New("x and y are no point of the curve")
	}
	return key, nil
}

func rsaKey(o object) (crypto.PublicKey, error) {
	n, e := new(big.Int).SetBytes(o.bytes("n")), new(big.Int).SetBytes(o.bytes("e"))
	if n.BitLen() < 2048 || n.BitLen() > 8192 || e.BitLen() > 31 || e.Int64() < 3 {
		return nil, errors.New("an RSA key needs n of 2048 bits and e")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (k Key) check() error {
	if k.ID == "" {
		return errors.New("a key needs a kid")
	}
	switch public := k.Public.(type) {
	case ed25519.PublicKey, *rsa.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if ecAlgorithm(public) != "" {
			return nil
		}
	}
	return fmt.Errorf("key %s has to be Ed25519, RSA, or EC on P-256, P-384 or P-521", k.ID)
}

// application is one with what the cloud keeps about it.
type application struct {
	issuer   string
	keys     map[string]Key // by kid
	own      bool           // Doordeck's, for the tokens that it issues
	identity int            // its key for encrypted identities, by number; 0 is nobody's
}

// AddApplication registers an application. Its issuer must be new.
func (s *Sim) AddApplication(a Application) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addApplication(a)
}

func (s *Sim) addApplication(a Application) error {
	if a.Issuer == "" || s.apps[a.Issuer] != nil {
		return fmt.Errorf("issuer %q is empty or taken", a.Issuer)
	}
	identity, err := s.keys.take()
	if err != nil {
		return err
	}
	app := &application{issuer: a.Issuer, keys: map[string]Key{}, identity: identity}
	for _, k := range a.Keys {
		if err := app.add(k); err != nil {
			return err
		}
	}
	s.apps[a.Issuer] = app
	return nil
}

// AddKey registers another key of an application.
func (s *Sim) AddKey(issuer string, k Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.apps[issuer]
	if app == nil {
		return fmt.Errorf("no application has the issuer %q", issuer)
	}
	return app.add(k)
}

func (a *application) add(k Key) error {
	if err := k.check(); err != nil {
		return err
	}
	if _, taken := a.keys[k.ID]; taken {
		return fmt.Errorf("the kid %q is taken", k.ID)
	}
	a.keys[k.ID] = k
	return nil
}

// RemoveKey makes tokens signed with a key unknown from now on.
func (s *Sim) RemoveKey(issuer, kid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if app := s.apps[issuer]; app != nil {
		delete(app.keys, kid)
	}
}

// SigningKey gives out a key of the application that is made when Options name none: KeyEd25519, KeyEC or
// KeyRSA. Its Private is nil for another kid.
func (s *Sim) SigningKey(kid string) SigningKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seeded[kid]
}
