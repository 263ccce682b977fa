package doordeck_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"gatehouse/doordeck"
)

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func pkcs8(key crypto.PrivateKey) string {
	return block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
}

func jwk(key any, change func(map[string]any)) string {
	fields := map[string]any{}
	if err := json.Unmarshal(must(jose.JSONWebKey{Key: key, KeyID: "k1"}.MarshalJSON()), &fields); err != nil {
		panic(err)
	}
	if change != nil {
		change(fields)
	}
	return string(must(json.Marshal(fields)))
}

func TestParseKeyTakesEveryForm(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := must(rsa.GenerateKey(rand.Reader, 2048))
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	for _, tt := range []struct {
		name, key, id string
		public        any
		algorithm     jose.SignatureAlgorithm
	}{
		{"Ed25519 JWK", jwk(ed, nil), "", ed.Public(), jose.EdDSA},
		{"Ed25519 PKCS #8", pkcs8(ed), "k1", ed.Public(), jose.EdDSA},
		{"RSA JWK", jwk(r, nil), "k1", &r.PublicKey, jose.RS256},
		{"RSA JWK for RS256", jwk(r, func(f map[string]any) { f["alg"], f["use"] = "RS256", "sig" }), "k1", &r.PublicKey, jose.RS256},
		{"RSA JWK without id", jwk(r, func(f map[string]any) { delete(f, "kid") }), "k1", &r.PublicKey, jose.RS256},
		{"RSA PKCS #8", pkcs8(r), "k1", &r.PublicKey, jose.RS256},
		{"RSA PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)), "k1", &r.PublicKey, jose.RS256},
		{"P-256 JWK", jwk(p256, nil), "", &p256.PublicKey, jose.ES256},
		{"P-384 JWK", jwk(p384, nil), "", &p384.PublicKey, jose.ES384},
		{"P-521 JWK", jwk(p521, nil), "", &p521.PublicKey, jose.ES512},
		{"P-256 PKCS #8", pkcs8(p256), "k1", &p256.PublicKey, jose.ES256},
		{
			"P-384 SEC 1 as OpenSSL writes it",
			"key\n" + block("EC PARAMETERS", []byte{6, 5, 0x2b, 0x81, 4, 0, 34}) + block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p384))),
			"k1", &p384.PublicKey, jose.ES384,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := doordeck.ParseKey([]byte(tt.key), tt.id)
			if err != nil || key.ID() != "k1" {
				t.Fatal(key.ID(), err)
			}
			got, err := doordeck.Issuer{URL: "https://gateway.example/", Key: key}.Token(doordeck.Person{Subject: "s", Email: "a@b.test"}, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := jwt.ParseSigned(got.Reveal(), []jose.SignatureAlgorithm{tt.algorithm})
			if err != nil {
				t.Fatal(err)
			}
			var claims jwt.Claims
			if err := parsed.Claims(tt.public, &claims); err != nil {
				t.Fatal(err)
			}
			if err := claims.Validate(jwt.Expected{AnyAudience: jwt.Audience{doordeck.Audience}, Issuer: "https://gateway.example/", Time: time.Now()}); err != nil {
				t.Fatal(err)
			}
			header := string(decodeURL(t, strings.Split(got.Reveal(), ".")[0]))
			if want := fmt.Sprintf(`{"alg":%q,"kid":"k1","typ":"JWT"}`, tt.algorithm); header != want {
				t.Fatalf("header %s, want %s", header, want)
			}
		})
	}
}

func TestParseKeyRefuses(t *testing.T) {
	public, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	short := must(rsa.GenerateKey(rand.Reader, 1024))
	agreement := must(ecdh.X25519().GenerateKey(rand.Reader))
	set := func(name string, value any) func(map[string]any) {
		return func(f map[string]any) { f[name] = value }
	}
	for _, tt := range []struct{ name, key, id, want string }{
		{"nothing", "", "k1", "neither"},
		{"words", "secret", "k1", "neither"},
		{"null", "null", "k1", "neither"},
		{"too much", strings.Repeat("x", 64<<10+1), "k1", "too large"},
		{"a public JWK", jwk(public, nil), "k1", "public half"},
		{"a symmetric JWK", `{"kty":"oct","k":"c2VjcmV0","kid":"k1"}`, "k1", "must be Ed25519"},
		{"X25519", pkcs8(agreement), "k1", "must be Ed25519"},
		{"P-224", pkcs8(p224), "k1", "must be Ed25519"},
		{"short RSA", pkcs8(short), "k1", "2048"},
		{"no id", pkcs8(ed), "", "key id"},
		{"an id too long", pkcs8(ed), strings.Repeat("k", 257), "key id"},
		{"an id not UTF-8", pkcs8(ed), "\xff", "key id"},
		{"two ids", jwk(ed, nil), "k2", "differ"},
		{"another algorithm", jwk(p256, set("alg", "RS256")), "k1", "alg must be ES256"},
		{"for encryption", jwk(p256, set("use", "enc")), "k1", "not for signing"},
		{"another's private half", jwk(p256, set("d", base64.RawURLEncoding.EncodeToString(must(other.ECDH()).Bytes()))), "k1", "do not fit"},
		{"a point off the curve", jwk(p256, set("x", base64.RawURLEncoding.EncodeToString(make([]byte, 32)))), "k1", "neither"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte{1}), "k1", "encrypted"},
		{"encrypted of old", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAA==\n-----END RSA PRIVATE KEY-----\n", "k1", "encrypted"},
		{"damaged", block("PRIVATE KEY", []byte("planted")), "k1", "damaged"},
		{"only a certificate", block("CERTIFICATE", []byte{1}), "k1", "no private key"},
		{"two keys", pkcs8(ed) + pkcs8(p256), "k1", "more than one"},
		{"cut", pkcs8(ed)[:60], "k1", "no private key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := doordeck.ParseKey([]byte(tt.key), tt.id)
			if err == nil || !strings.Contains(err.Error(), tt.want) || key.ID() != "" {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "planted") || len(err.Error()) > 200 {
				t.Fatalf("the error says %q", err)
			}
		})
	}
}
