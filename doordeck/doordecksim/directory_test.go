package doordecksim_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"strings"
	"testing"

	"gatehouse/doordeck/doordecksim"
)

func TestDirectoryOfOne(t *testing.T) {
	c := newCloud(t)
	token := c.openID(c.claims(doordecksim.VisitorDora)) // anybody may ask
	ana := c.entry(doordecksim.VisitorAna)
	for query, want := range map[string]int{
		`{"email":"ana@example.test"}`:                                  200,
		`{"foreignKey":"visitor-ana"}`:                                  200,
		`{"localKey":"` + ana["user"].(string) + `"}`:                   200,
		`{"email":"ana@example.test","telephone":null,"identity":null}`: 200,
		`{"email":"ana@example.test","mood":"fine"}`:                    200,
		`{"email":"Ana@example.test"}`:                                  404,
		`{"email":"chidi@example.test"}`:                                404, // not verified
		`{"foreignKey":"nobody"}`:                                       404,
		`{"localKey":"` + newUUID() + `"}`:                              404,
		`{"telephone":"+442079460099"}`:                                 404,
		`{"email":"` + doordecksim.AccountEmail + `"}`:                  404, // another application's
		`{"email":"ana@example.test","foreignKey":"visitor-ana"}`:       400,
		`{"email":null}`:                                                400,
		`{}`:                                                            400,
		`[]`:                                                            400,
		`{"email":["ana@example.test"]}`:                                400,
		`{"Email":"ana@example.test"}`:                                  400,
		`{"email":7}`:                                                   400,
		`{"identity":"a.b.c.d.e"}`:                                      400,
		`{"identity":"abc"}`:                                            400,
		strings.Repeat(" ", 1000) + `{"telephone":"+442079460012"}`:     200,
		`{"email":"ana@example.test"}` + strings.Repeat(" ", 10) + `garbage`: 400,
	} {
		a := c.api(token, "POST", "/directory/query", query)
		if a.status != want {
			t.Errorf("%s: %d, want %d", query, a.status, want)
		}
		if want == 200 && strings.Contains(query, "ana") {
			if got := a.object(t); got["id"] != ana["user"] || got["publicKey"] != ana["publicKey"] || len(got) != 2 {
				t.Errorf("%s: %v", query, got)
			}
		}
	}
}

func TestDirectoryOfMany(t *testing.T) {
	c := newCloud(t)
	token := c.openID(c.claims(doordecksim.AdminAda))
	ask := func(query string, want int) []map[string]any {
		t.Helper()
		a := c.api(token, "POST", "/directory/query", query, "Accept", v2)
		wantStatus(t, a, want)
		if want != 200 {
			return nil
		}
		return a.list(t)
	}
	got := ask(`{"foreignKey":["visitor-dora","nobody","visitor-ana"]}`, 200)
	if len(got) != 2 || got[0]["foreignKey"] != "visitor-dora" || got[1]["id"] != c.id(doordecksim.VisitorAna) || len(got[0]) != 3 {
		t.Errorf("foreign keys: %v", got)
	}
	if got := ask(`{"email":["chidi@example.test","ana@example.test"]}`, 200); len(got) != 1 || got[0]["email"] != "ana@example.test" {
		t.Errorf("emails: %v", got)
	}
	if got := ask(`{"localKey":["`+c.id(doordecksim.VisitorAna)+`"]}`, 200); len(got) != 1 || len(got[0]) != 2 {
		t.Errorf("local keys: %v", got)
	}
	if got := ask(`{"telephone":["+442079460012"]}`, 200); len(got) != 1 || got[0]["phone"] != "+442079460012" {
		t.Errorf("telephones: %v", got)
	}
	c.Faults().TelephoneEcho(true)
	if got := ask(`{"telephone":["+442079460012"]}`, 200); got[0]["telephone"] != "+442079460012" || got[0]["phone"] != nil {
		t.Errorf("telephones: %v", got)
	}
	if got := ask(`{"email":["nobody@example.test"]}`, 200); got == nil || len(got) != 0 {
		t.Errorf("a miss: %v", got)
	}
	list := func(n int) string {
		raw, err := json.Marshal(object{"foreignKey": make([]string, n)})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	ask(list(25), 200)
	ask(list(26), 400)
	ask(list(0), 400)
	ask(`{"email":"ana@example.test"}`, 400)
	ask(`{"email":[7]}`, 400)
	ask(`{"email":[null]}`, 400)
	ask(`{"email":["a@b.test"],"foreignKey":["x"]}`, 400)
}

// TestApplicationsAreApart gives two applications a user of the same subject and address.
func TestApplicationsAreApart(t *testing.T) {
	c := newCloud(t)
	key := newKey(t)
	other := doordecksim.Application{Issuer: "https://other.test/", Keys: []doordecksim.Key{{ID: "k", Public: key.Public().(ed25519.PublicKey)}}}
	if err := c.AddApplication(other); err != nil {
		t.Fatal(err)
	}
	if c.AddApplication(other) == nil {
		t.Error("the issuer was taken twice")
	}
	ana, err := c.AddUser(doordecksim.User{Issuer: other.Issuer, Subject: doordecksim.VisitorAna, Email: "ana@example.test", EmailVerified: true})
	if err != nil || ana.ID == c.id(doordecksim.VisitorAna) {
		t.Fatalf("ana %v, error %v", ana, err)
	}
	claims := with(c.claims("x"), "iss", other.Issuer)
	foreign := compact(t, key, object{"alg": "EdDSA", "kid": "k"}, claims)
	for token, want := range map[string]string{foreign: ana.ID, c.openID(c.claims(doordecksim.AdminAda)): c.id(doordecksim.VisitorAna)} {
		for _, query := range []string{`{"email":"ana@example.test"}`, `{"foreignKey":"visitor-ana"}`} {
			if got := c.api(token, "POST", "/directory/query", query).object(t)["id"]; got != want {
				t.Errorf("%s found %v, want %s", query, got, want)
			}
		}
	}
	wantStatus(t, c.api(foreign, "POST", "/directory/query", `{"localKey":"`+c.id(doordecksim.VisitorAna)+`"}`), 404)
	wantStatus(t, c.api(compact(t, key, object{"alg": "EdDSA", "kid": "k"}, c.claims("x")), "GET", "/device", ""), 401)
}

// encrypted is a compact JWE.
func encrypted(t *testing.T, key *rsa.PublicKey, alg string, digest hash.Hash, enc string, size int, plain string) string {
	t.Helper()
	header := encoded(t, object{"alg": alg, "enc": enc, "cty": "JWT"})
	secret, nonce := make([]byte, size), make([]byte, 12)
	rand.Read(secret)
	rand.Read(nonce)
	wrapped, err := rsa.EncryptOAEP(digest, rand.Reader, key, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	sealed := gcm.Seal(nil, nonce, []byte(plain), []byte(header))
	url := base64.RawURLEncoding.EncodeToString
	cut := len(sealed) - 16
	return strings.Join([]string{header, url(wrapped), url(nonce), url(sealed[:cut]), url(sealed[cut:])}, ".")
}

func TestIdentities(t *testing.T) {
	c := newCloud(t)
	token := c.openID(c.claims(doordecksim.AdminAda))
	key := c.IdentityKey(doordecksim.DefaultIssuer)
	ask := func(jwe string) answer {
		t.Helper()
		return c.api(token, "POST", "/directory/query", fmt.Sprintf(`{"identity":%q}`, jwe))
	}
	newcomer := c.openID(c.claims("visitor-new"))
	for _, jwe := range []string{
		encrypted(t, key, "RSA-OAEP-256", sha256.New(), "A256GCM", 32, newcomer),
		encrypted(t, key, "RSA-OAEP", sha1.New(), "A128GCM", 16, newcomer),
	} {
		a := ask(jwe)
		wantStatus(t, a, 200)
		if u, known := c.User("visitor-new"); !known || a.object(t)["id"] != u.ID {
			t.Errorf("made %v", u)
		}
		wantStatus(t, ask(jwe[:len(jwe)-4]+"AAAA"), 400)
	}
	if c.IdentityKey("https://unknown.test/") != nil {
		t.Error("an unknown application has a key")
	}
	foreign := newKey(t)
	other := doordecksim.Application{Issuer: "https://other.test/", Keys: []doordecksim.Key{{ID: "k", Public: foreign.Public().(ed25519.PublicKey)}}}
	if err := c.AddApplication(other); err != nil {
		t.Fatal(err)
	}
	theirs := compact(t, foreign, object{"alg": "EdDSA", "kid": "k"}, with(c.claims("visitor-theirs"), "iss", other.Issuer))
	wantStatus(t, ask(encrypted(t, key, "RSA-OAEP-256", sha256.New(), "A256GCM", 32, theirs)), 400)
	if _, known := c.User("visitor-theirs"); known {
		t.Error("another application's token has made somebody")
	}
	old := with(c.claims("visitor-old"), "exp", c.Now().Unix()-1)
	wantStatus(t, ask(encrypted(t, key, "RSA-OAEP-256", sha256.New(), "A256GCM", 32, c.openID(old))), 400)
	wantStatus(t, ask(encrypted(t, key, "RSA-OAEP-256", sha256.New(), "A256GCM", 32, "not a token")), 400)
	wantStatus(t, ask(encrypted(t, key, "RSA-OAEP-256", sha256.New(), "A256GCM", 16, newcomer)), 400)
	wantStatus(t, ask(encrypted(t, key, "RSA1_5", sha256.New(), "A256GCM", 32, newcomer)), 400)
}
