package doordecksim_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

// testCA makes chains of three like real ones under a root of its own. Templates may be changed beforehand.
type testCA struct {
	t                        *testing.T
	rootKey, middleKey       ed25519.PrivateKey
	root, middle, leaf       *x509.Certificate
	signedByRoot, signedBoth ed25519.PrivateKey // what really signs the middle and the leaf
}

func newTestCA(t *testing.T) *testCA {
	t.Helper()
	template := func(name string, serial int64, usage x509.KeyUsage, ca bool) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, IsCA: ca, BasicConstraintsValid: true,
			NotBefore: start.Add(-time.Hour), NotAfter: start.Add(time.Hour), KeyUsage: usage,
		}
	}
	ca := &testCA{
		t: t, rootKey: newKey(t), middleKey: newKey(t),
		root:   template("root", 1, x509.KeyUsageCertSign, true),
		middle: template("middle", 2, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature, true),
		leaf:   template("leaf", 3, x509.KeyUsageDigitalSignature, false),
	}
	ca.signedByRoot, ca.signedBoth = ca.rootKey, ca.middleKey
	return ca
}

func (ca *testCA) make(template, parent *x509.Certificate, public crypto.PublicKey, key ed25519.PrivateKey) *x509.Certificate {
	ca.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		ca.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return certificate
}

// chain is leaf, middle and root.
func (ca *testCA) chain(public crypto.PublicKey) []*x509.Certificate {
	ca.t.Helper()
	return []*x509.Certificate{
		ca.make(ca.leaf, ca.middle, public, ca.signedBoth),
		ca.make(ca.middle, ca.root, ca.middleKey.Public(), ca.signedByRoot),
		ca.make(ca.root, ca.root, ca.rootKey.Public(), ca.rootKey),
	}
}

func encodedChain(chain []*x509.Certificate) (encoded []string) {
	for _, certificate := range chain {
		encoded = append(encoded, base64.StdEncoding.EncodeToString(certificate.Raw))
	}
	return encoded
}

// TestChainsUnderATrustedRoot changes one thing of a good chain at a time; the signature over the operation is
// always good.
func TestChainsUnderATrustedRoot(t *testing.T) {
	for name, test := range map[string]struct {
		change func(ca *testCA)
		length int // of the chain that is sent; 0 for all of it
		want   int
	}{
		"good":                      {func(*testCA) {}, 0, 200},
		"root left out":             {func(*testCA) {}, 2, 200},
		"middle left out":           {func(*testCA) {}, 1, 403},
		"leaf forged":               {func(ca *testCA) { ca.signedBoth = newKey(ca.t) }, 0, 403},
		"middle forged":             {func(ca *testCA) { ca.signedByRoot = newKey(ca.t) }, 0, 403},
		"middle forged, root known": {func(ca *testCA) { ca.signedByRoot = newKey(ca.t) }, 2, 403},
		"middle is no CA":           {func(ca *testCA) { ca.middle.IsCA = false }, 0, 403},
		"middle may not sign":       {func(ca *testCA) { ca.middle.KeyUsage = x509.KeyUsageDigitalSignature }, 0, 403},
		"leaf has ended":            {func(ca *testCA) { ca.leaf.NotAfter = start.Add(-time.Second) }, 0, 403},
		"leaf ends now":             {func(ca *testCA) { ca.leaf.NotAfter = start }, 0, 200},
		"leaf begins later":         {func(ca *testCA) { ca.leaf.NotBefore = start.Add(time.Second) }, 0, 403},
		"middle has ended":          {func(ca *testCA) { ca.middle.NotAfter = start.Add(-time.Second) }, 0, 403},
		"root has ended":            {func(ca *testCA) { ca.root.NotAfter = start.Add(-time.Second) }, 0, 403},
		"root has ended, left out":  {func(ca *testCA) { ca.root.NotAfter = start.Add(-time.Second) }, 2, 403},
	} {
		t.Run(name, func(t *testing.T) {
			ca := newTestCA(t)
			test.change(ca)
			key := newKey(t)
			chain := ca.chain(key.Public())
			c := newCloud(t, func(o *doordecksim.Options) { o.Roots = chain[2:] })
			if err := c.RegisterKey(doordecksim.AdminAda, key.Public().(ed25519.PublicKey)); err != nil {
				t.Fatal(err)
			}
			if test.length > 0 {
				chain = chain[:test.length]
			}
			ada := &identity{
				c: c, id: c.id(doordecksim.AdminAda), token: c.openID(c.claims(doordecksim.AdminAda)), key: key, chain: encodedChain(chain),
			}
			wantStatus(t, ada.do(doordecksim.LockFront, unlock()), test.want)
			if step := c.last().Step; (test.want == 403) != (step == 4) {
				t.Errorf("refused by step %d", step)
			}
		})
	}
}
