package doordecksim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

// The chain is laid out as in Doordeck's own sample: leaf for the ephemeral key, certificate authority of the
// user, platform authority, root (https://portal.sentryinteractive.com/docs/guide/sharing-doors).
const (
	day        = 24 * time.Hour
	userCALife = 90 * day
)

var (
	oidUniqueIdentifier = asn1.ObjectIdentifier{2, 5, 4, 45}
	oidUserID           = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	oidAuthorityKey     = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// The upper two certificates are ready-made, platform first: signing them takes long, and it lets the chains of
// one simulation end in the root that the next one trusts. Their keys are the authorities' in primes.bin.
//
//go:embed authorities.der
var authorities []byte

// authority is the platform's certificate authority under its root.
type authority struct {
	root, platform *x509.Certificate
	key            *rsa.PrivateKey
}

func newAuthority() *authority {
	both, err := x509.ParseCertificates(authorities)
	if err != nil || len(both) != 2 {
		panic("doordecksim: authorities.der does not hold two certificates")
	}
	return &authority{root: both[1], platform: both[0], key: newRSA(caPrime(2), caPrime(3))}
}

// issue answers with a new chain for a key.
func (c *call) issue(key ed25519.PublicKey) reply {
	life := c.sim.faults.chainLife(c.sim.o.LeafLife)
	chain, err := c.sim.chain(c.user, key, life)
	if err != nil {
		return fail(500, err.Error())
	}
	encoded := make([]string, 0, len(chain))
	for _, certificate := range chain {
		encoded = append(encoded, base64.StdEncoding.EncodeToString(certificate.Raw))
	}
	return ok(map[string]any{"certificateChain": encoded, "userId": c.user.id})
}

// chain makes the certificates of a key, leaf first. A life below zero ended that long ago.
func (s *Sim) chain(u *user, key ed25519.PublicKey, life time.Duration) ([]*x509.Certificate, error) {
	start := s.now()
	if life < 0 {
		start = start.Add(life - day)
		life = day
	}
	userKey := rsaPrivate(u.key)
	userCA, err := sign(&x509.Certificate{
		Subject:   named(oidUserID, u.id),
		NotBefore: start, NotAfter: start.Add(userCALife), IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}, s.ca.platform, &userKey.PublicKey, s.ca.key)
	if err != nil {
		return nil, fmt.Errorf("signing the user's authority: %w", err)
	}
	leaf, err := sign(&x509.Certificate{
		Subject:   named(oidUniqueIdentifier, derivedID("key", hex.EncodeToString(key))),
		NotBefore: start, NotAfter: start.Add(life), KeyUsage: x509.KeyUsageDigitalSignature,
	}, userCA, key, userKey)
	if err != nil {
		return nil, fmt.Errorf("signing the leaf: %w", err)
	}
	return []*x509.Certificate{leaf, userCA, s.ca.platform, s.ca.root}, nil
}

func named(attribute asn1.ObjectIdentifier, id string) pkix.Name {
	return pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: attribute, Value: id}}}
}

// sign completes a template and signs it; nil as parent makes it self-signed.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key *rsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	template.BasicConstraintsValid = true
	template.SignatureAlgorithm = x509.SHA256WithRSA
	if template.SubjectKeyId, err = keyID(public); err != nil {
		return nil, err
	}
	if parent == nil {
		parent = template
	} else {
		extension, err := authorityKey(parent)
		if err != nil {
			return nil, err
		}
		template.ExtraExtensions = append(template.ExtraExtensions, extension)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// authorityKey names the issuer by key, name and serial as Doordeck's sample does; x509 by itself would write
// the key only.
func authorityKey(parent *x509.Certificate) (pkix.Extension, error) {
	value, err := asn1.Marshal(struct {
		Key    []byte          `asn1:"optional,tag:0"`
		Issuer []asn1.RawValue `asn1:"optional,tag:1"`
		Serial *big.Int        `asn1:"optional,tag:2"`
	}{
		Key:    parent.SubjectKeyId,
		Issuer: []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: parent.RawIssuer}},
		Serial: parent.SerialNumber,
	})
	return pkix.Extension{Id: oidAuthorityKey, Value: value}, err
}

func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}
