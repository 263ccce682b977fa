package doordecksim_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

// TestEveryRoute walks the rule for requests of any kind.
func TestEveryRoute(t *testing.T) {
	c := newCloud(t)
	token := c.openID(c.claims(doordecksim.AdminAda))
	fill := strings.NewReplacer("{id}", doordecksim.LockFront, "{email}", "zoe@example.test")
	for _, route := range doordecksim.Routes() {
		path := fill.Replace(route.Pattern)
		t.Run(route.Name(), func(t *testing.T) {
			wantStatus(t, c.api(token, "PATCH", path, ""), 405)
			wantStatus(t, c.api(token, route.Method, path, "", "Accept", "text/html"), 406)
			wantStatus(t, c.api(token, route.Method, path, "", "Accept", "application/vnd.doordeck.api-v9+json"), 406)
			if a := c.api(token, route.Method, path+"/", ""); a.status == 404 && strings.Contains(string(a.body), "path") {
				t.Errorf("with a slash at the end it is unknown: %s", a.body)
			}
			wantStatus(t, c.api(token, route.Method, path, strings.Repeat("x", 300_000)), 413)
			a := c.must(c.request(route.Method, path, ""))
			switch route.Pattern {
			case "/time":
				wantStatus(t, a, 200)
			case "/auth/token", "/auth/register":
				wantStatus(t, a, 400)
			default:
				wantStatus(t, a, 401)
				if got := a.header.Get("WWW-Authenticate"); got != "Bearer" {
					t.Errorf("WWW-Authenticate is %q", got)
				}
			}
		})
	}
	for _, path := range []string{"/", "/nothing", "/device//x", "/device/../time", "/auth"} {
		a := c.api(token, "GET", path, "")
		wantStatus(t, a, 404)
		if a.object(t)["code"] != 404.0 || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v %s", path, a.header, a.body)
		}
	}
}

func TestVersions(t *testing.T) {
	c := newCloud(t)
	token := c.openID(c.claims(doordecksim.AdminAda))
	for accept, want := range map[string]string{
		"":                         "application/json",
		"*/*":                      "application/json",
		"application/json":         "application/json",
		v2:                         v2,
		v3:                         v3,
		v3 + ", application/json":  v3,
		"application/json," + v2:   v2,
		v3 + ";q=0, " + v2:         v2,
		"text/html, application/*": "application/json",
	} {
		a := c.api(token, "GET", "/device/"+doordecksim.LockFront, "", "Accept", accept)
		wantStatus(t, a, 200)
		if got := a.header.Get("Content-Type"); got != want {
			t.Errorf("Accept %q answers %q, want %q", accept, got, want)
		}
	}
}

func TestTime(t *testing.T) {
	c := newCloud(t)
	c.Advance(1500 * time.Millisecond)
	var got struct{ Now json.Number }
	if err := json.Unmarshal(c.must(c.request("GET", "/time", "")).body, &got); err != nil || got.Now != "1767312001500" {
		t.Errorf("now = %s, error %v", got.Now, err)
	}
}

// TestAuthTokens changes one thing of a good token at a time.
func TestAuthTokens(t *testing.T) {
	c := newCloud(t)
	now := c.Now().Unix()
	good := c.claims(doordecksim.AdminAda)
	header := object{"alg": "EdDSA", "kid": doordecksim.KeyEd25519}
	key := c.SigningKey(doordecksim.KeyEd25519).Private
	try := func(token string) int {
		t.Helper()
		return c.api(token, "GET", "/device/shareable", "").status
	}
	for name, test := range map[string]struct {
		header, claims object
		want           int
	}{
		"good":                       {header, good, 200},
		"unknown claims":             {header, with(good, "mood", "fine", "picture", 7), 200},
		"too long":                   {header, with(good, "note", strings.Repeat("n", 16<<10)), 401},
		"audiences":                  {header, with(good, "aud", []string{"https://other.test", "https://api.doordeck.com"}), 200},
		"decimals":                   {header, with(good, "exp", float64(now)+0.5), 200},
		"telephone alone":            {header, with(good, "email", absent), 200},
		"unknown issuer":             {header, with(good, "iss", "https://gatehouse.example"), 401},
		"issuer in capitals":         {header, with(good, "iss", "https://Gatehouse.example/"), 401},
		"no issuer":                  {header, with(good, "iss", absent), 401},
		"no subject":                 {header, with(good, "sub", absent), 401},
		"subject too long":           {header, with(good, "sub", strings.Repeat("s", 1025)), 401},
		"no audience":                {header, with(good, "aud", absent), 401},
		"other audience":             {header, with(good, "aud", "https://api.doordeck.com/"), 401},
		"expired now":                {header, with(good, "exp", now), 401},
		"no exp":                     {header, with(good, "exp", absent), 401},
		"exp as text":                {header, with(good, "exp", "2099"), 401},
		"no iat":                     {header, with(good, "iat", absent), 401},
		"neither email nor phone":    {header, with(good, "email", absent, "telephone", ""), 401},
		"unknown kid":                {with(header, "kid", "other"), good, 401},
		"no kid":                     {with(header, "kid", absent), good, 401},
		"another algorithm":          {with(header, "alg", "ES256"), good, 401},
		"no algorithm":               {with(header, "alg", "none"), good, 401},
		"critical extension":         {with(header, "crit", []string{"b64"}), good, 401},
		"names in another case":      {header, with(good, "exp", absent, "EXP", now+60), 401},
		"header in another case":     {object{"ALG": "EdDSA", "KID": doordecksim.KeyEd25519}, good, 401},
		"claims are not an object":   {header, nil, 401},
		"kid of another kind of key": {with(header, "kid", doordecksim.KeyEC), good, 401},
	} {
		var claims any = test.claims
		if test.claims == nil {
			claims = []string{"list"}
		}
		if got := try(compact(t, key, test.header, claims)); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	token := c.openID(good)
	for name, header := range map[string]string{
		"none": "", "no scheme": token, "basic": "Basic " + token, "empty": "Bearer ", "no dots": "Bearer abc",
		"other signer": "Bearer " + compact(t, newKey(t), object{"alg": "EdDSA", "kid": doordecksim.KeyEd25519}, good),
	} {
		if a := c.must(c.request("GET", "/device/shareable", "", "Authorization", header)); a.status != 401 {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	wantStatus(t, c.must(c.request("GET", "/device/shareable", "", "Authorization", "bearer "+token)), 200)
	if got := c.Stats().Unauthorized; got == 0 {
		t.Error("none was counted")
	}
	c.RemoveKey(doordecksim.DefaultIssuer, doordecksim.KeyEd25519)
	if got := try(token); got != 401 {
		t.Errorf("with its key removed: %d", got)
	}
}

// joseEC signs with the two numbers side by side, which crypto.Signer would put into DER.
func joseEC(t *testing.T, key *ecdsa.PrivateKey, size int, hash crypto.Hash, header, payload object) string {
	t.Helper()
	signed := encoded(t, header) + "." + encoded(t, payload)
	h := hash.New()
	h.Write([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// TestKeysOfEachKind registers keys as JWKs and signs with them.
func TestKeysOfEachKind(t *testing.T) {
	c := newCloud(t)
	good := c.claims(doordecksim.AdminAda)
	url := base64.RawURLEncoding.EncodeToString
	register := func(jwk object) {
		t.Helper()
		raw, err := json.Marshal(jwk)
		if err != nil {
			t.Fatal(err)
		}
		key, err := doordecksim.ParseJWK(raw)
		if err == nil {
			err = c.AddKey(doordecksim.DefaultIssuer, key)
		}
		if err != nil {
			t.Fatalf("%v: %v", jwk["kid"], err)
		}
		if c.AddKey(doordecksim.DefaultIssuer, key) == nil {
			t.Errorf("the kid %s was taken twice", key.ID)
		}
	}
	for name, curve := range map[string]struct {
		elliptic.Curve
		alg  string
		size int
		hash crypto.Hash
	}{
		"P-256": {elliptic.P256(), "ES256", 32, crypto.SHA256},
		"P-384": {elliptic.P384(), "ES384", 48, crypto.SHA384},
		"P-521": {elliptic.P521(), "ES512", 66, crypto.SHA512},
	} {
		key, err := ecdsa.GenerateKey(curve.Curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		register(object{"kty": "EC", "crv": name, "kid": name, "x": url(point[1 : 1+curve.size]), "y": url(point[1+curve.size:])})
		token := joseEC(t, key, curve.size, curve.hash, object{"alg": curve.alg, "kid": name}, good)
		wantStatus(t, c.api(token, "GET", "/device", ""), 200)
		wantStatus(t, c.api(token[:len(token)-6]+"AAAAAA", "GET", "/device", ""), 401)
	}
	edwards := newKey(t)
	register(object{"kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "x": url(edwards.Public().(ed25519.PublicKey))})
	wantStatus(t, c.api(compact(t, edwards, object{"alg": "EdDSA", "kid": "ed"}, good), "GET", "/device", ""), 200)

	rs := c.SigningKey(doordecksim.KeyRSA).Private.(*rsa.PrivateKey)
	register(object{"kty": "RSA", "kid": "rs", "n": url(rs.N.Bytes()), "e": "AQAB"})
	register(object{"kty": "RSA", "kid": "pinned", "alg": "PS256", "n": url(rs.N.Bytes()), "e": "AQAB"})
	token := compact(t, rs, object{"alg": "RS256", "kid": "rs"}, good)
	wantStatus(t, c.api(token, "GET", "/device", ""), 200)
	wantStatus(t, c.api(compact(t, rs, object{"alg": "RS384", "kid": "rs"}, good), "GET", "/device", ""), 401)
	wantStatus(t, c.api(compact(t, rs, object{"alg": "RS256", "kid": "pinned"}, good), "GET", "/device", ""), 401)
	signed := encoded(t, object{"alg": "PS256", "kid": "pinned"}) + "." + encoded(t, good)
	signature, err := rs.Sign(rand.Reader, sum(signed), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, c.api(signed+"."+url(signature), "GET", "/device", ""), 200)
}

func TestJWKsThatAreRefused(t *testing.T) {
	for name, jwk := range map[string]string{
		"not JSON":     `x`,
		"no kid":       `{"kty":"OKP","crv":"Ed25519","x":"zRSzf5VulTGU_3-3Oz2B3MVh1hp1OAlLfD4aZD7l86o"}`,
		"private":      `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"zRSzf5VulTGU_3-3Oz2B3MVh1hp1OAlLfD4aZD7l86o","d":"zRSz"}`,
		"short":        `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"zRSz"}`,
		"other curve":  `{"kty":"OKP","crv":"X25519","kid":"a","x":"zRSzf5VulTGU_3-3Oz2B3MVh1hp1OAlLfD4aZD7l86o"}`,
		"symmetric":    `{"kty":"oct","kid":"a","k":"AAAA"}`,
		"no point":     `{"kty":"EC","crv":"P-256","kid":"a","x":"AAAA","y":"AAAA"}`,
		"RSA of 512":   `{"kty":"RSA","kid":"a","n":"` + strings.Repeat("_", 86) + `","e":"AQAB"}`,
		"RSA, no e":    `{"kty":"RSA","kid":"a","n":"` + strings.Repeat("_", 342) + `"}`,
		"curve P-224":  `{"kty":"EC","crv":"P-224","kid":"a","x":"AAAA","y":"AAAA"}`,
		"type missing": `{"kid":"a"}`,
	} {
		if _, err := doordecksim.ParseJWK([]byte(jwk)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestUsersAreMadeAndUpdated(t *testing.T) {
	c := newCloud(t)
	claims := with(c.claims("newcomer"), "email", "new@example.test", "email_verified", true, "name", "New Comer")
	wantStatus(t, c.api(c.openID(claims), "GET", "/device", ""), 200)
	made, known := c.User("newcomer")
	if !known || made.Email != "new@example.test" || !strings.HasPrefix(made.PublicKey, "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A") {
		t.Fatalf("made %+v", made)
	}
	iat := claims["iat"].(int64)
	for _, test := range []struct {
		iat  int64
		name string
		want string
	}{{iat - 1, "Older", "New Comer"}, {iat, "Same", "New Comer"}, {iat + 1, "Newer", "Newer"}, {iat, "Old again", "Newer"}} {
		wantStatus(t, c.api(c.openID(with(claims, "iat", test.iat, "name", test.name)), "GET", "/device", ""), 200)
		if got, _ := c.User("newcomer"); got.Name != test.want || got.ID != made.ID || got.PublicKey != made.PublicKey {
			t.Errorf("after %s: %+v", test.name, got)
		}
	}
	if again, _ := newCloud(t).User(doordecksim.AdminAda); again.ID != c.id(doordecksim.AdminAda) {
		t.Error("another simulation has other ids")
	}
	echo := c.api(c.openID(claims), "GET", "/platform/auth", "").object(t)
	if echo["sub"] != "newcomer" || echo["email"] != "new@example.test" {
		t.Errorf("echo = %v", echo)
	}
}
