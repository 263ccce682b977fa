package doordecksim_test

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

func TestEphemeralKeyForms(t *testing.T) {
	c := newCloud(t)
	key := newKey(t)
	raw := key.Public().(ed25519.PublicKey)
	spki, err := x509.MarshalPKIXPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	std := base64.StdEncoding.EncodeToString
	other := strings.Replace(std(spki), "MCowBQYDK2Vw", "MCowBQYDK2Vu", 1) // X25519
	for _, call := range []string{"/auth/certificate", "/auth/certificate/verify"} {
		for name, test := range map[string]struct {
			body string
			want int
		}{
			"raw":       {std(raw), 200},
			"SPKI":      {std(spki), 200},
			"url safe":  {"-" + std(raw)[1:], 400},
			"unpadded":  {strings.TrimRight(std(raw), "="), 400},
			"31 bytes":  {std(raw[:31]), 400},
			"33 bytes":  {std(append(raw[:32:32], 0)), 400},
			"X25519":    {other, 400},
			"wrapped":   {std(spki)[:30] + `\n` + std(spki)[30:], 400},
			"empty":     {"", 400},
			"no base64": {"?", 400},
		} {
			a := c.api(c.openID(c.claims(doordecksim.AdminAda)), "POST", call, `{"ephemeralKey":"`+test.body+`"}`)
			if a.status != test.want {
				t.Errorf("%s, %s: %d, want %d: %s", call, name, a.status, test.want, a.body)
			}
		}
		for _, body := range []string{``, `[]`, `null`, `{}`, `{"ephemeralKey":7}`, `{"EphemeralKey":"` + std(raw) + `"}`} {
			wantStatus(t, c.api(c.openID(c.claims(doordecksim.AdminAda)), "POST", call, body), 400)
		}
	}
}

func TestASecondKeyNeedsACode(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	second := newKey(t)
	certificate := func(key ed25519.PrivateKey) answer {
		t.Helper()
		return c.api(ada.token, "POST", "/auth/certificate", keyBody(key))
	}
	check := func(key ed25519.PrivateKey, code string) answer {
		t.Helper()
		body := fmt.Sprintf(`{"verificationSignature":%q}`, base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(code))))
		return c.api(ada.token, "POST", "/auth/certificate/check", body)
	}
	verify := func(key ed25519.PrivateKey) {
		t.Helper()
		a := c.api(ada.token, "POST", "/auth/certificate/verify", keyBody(key))
		wantStatus(t, a, 200)
		if a.object(t)["method"] != "EMAIL" {
			t.Errorf("method %s", a.body)
		}
	}
	wantStatus(t, certificate(second), 423)
	wantStatus(t, certificate(second), 423) // nothing was stored
	wantStatus(t, check(second, "000000"), 403)
	verify(second)
	code := c.Code(doordecksim.AdminAda)
	if len(code) != 6 || c.Code(ada.id) != code || c.Code("nobody") != "" {
		t.Fatalf("code %q", code)
	}
	wantStatus(t, check(second, code+"\n"), 403)
	wantStatus(t, check(ada.key, code), 403)
	wantStatus(t, certificate(second), 423)
	wantStatus(t, check(second, code), 200)
	wantStatus(t, certificate(second), 200)
	wantStatus(t, certificate(ada.key), 200) // the first is not forgotten
	wantStatus(t, check(second, code), 403)

	third := newKey(t)
	verify(third)
	code = c.Code(doordecksim.AdminAda)
	c.Advance(5*time.Minute - time.Second)
	if c.Code(doordecksim.AdminAda) != code {
		t.Error("the code is gone too early")
	}
	c.Advance(time.Second)
	if len(c.Codes()) != 0 {
		t.Error("the code is there too long")
	}
	wantStatus(t, check(third, code), 403)

	verify(third)
	old := c.Code(doordecksim.AdminAda)
	verify(third)
	wantStatus(t, check(third, c.Code(doordecksim.AdminAda)), 200)
	wantStatus(t, check(third, old), 403) // its siblings end with it

	for _, body := range []string{``, `{}`, `{"verificationSignature":"AAAA"}`, `{"verificationSignature":7}`} {
		wantStatus(t, c.api(ada.token, "POST", "/auth/certificate/check", body), 400)
	}
}

func TestMethods(t *testing.T) {
	c := newCloud(t)
	for _, test := range []struct {
		subject, query, want string
		status               int
	}{
		{doordecksim.AdminAda, "", "EMAIL", 200},
		{doordecksim.AdminAda, "?method=EMAIL", "EMAIL", 200},
		{doordecksim.AdminAda, "?method=SMS", "SMS", 200},
		{doordecksim.AdminAda, "?method=TELEPHONE", "TELEPHONE", 200},
		{doordecksim.AdminAda, "?method=WHATSAPP", "", 400},
		{doordecksim.AdminAda, "?method=email", "", 400},
		{doordecksim.AdminAda, "?method=", "", 400},
		{doordecksim.AdminBen, "?method=SMS", "", 400},
		{doordecksim.VisitorBram, "", "SMS", 200},
		{doordecksim.VisitorBram, "?method=EMAIL", "", 400},
		{doordecksim.VisitorChidi, "", "", 400},
		{doordecksim.VisitorChidi, "?method=EMAIL", "", 400},
	} {
		a := c.api(c.openID(c.claims(test.subject)), "POST", "/auth/certificate/verify"+test.query, keyBody(newKey(t)))
		wantStatus(t, a, test.status)
		if test.status == 200 && a.object(t)["method"] != test.want {
			t.Errorf("%s%s: %s", test.subject, test.query, a.body)
		}
	}
}

func TestPendingCodesAreBounded(t *testing.T) {
	var sent []doordecksim.Code
	c := newCloud(t, func(o *doordecksim.Options) {
		o.MaxPending, o.VerifyNoContent = 2, true
		o.SendCode = func(code doordecksim.Code) { sent = append(sent, code) }
	})
	token := c.openID(c.claims(doordecksim.AdminAda))
	verify := func() int {
		return c.api(token, "POST", "/auth/certificate/verify", keyBody(newKey(t))).status
	}
	if a, b, full := verify(), verify(), verify(); a != 204 || b != 204 || full != 429 {
		t.Errorf("%d, %d, %d", a, b, full)
	}
	if len(sent) != 2 || sent[1].Code != c.Code(doordecksim.AdminAda) || sent[0].Method != "EMAIL" || sent[0].Subject != doordecksim.AdminAda {
		t.Errorf("sent %v", sent)
	}
	c.Advance(5 * time.Minute)
	if got := verify(); got != 204 {
		t.Errorf("after they have expired: %d", got)
	}
}

// TestChain proves a chain as a lock would, with nothing but the certificates.
func TestChain(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	u, _ := c.User(doordecksim.AdminAda)
	if ada.id != u.ID {
		t.Errorf("the id is %s, want %s", ada.id, u.ID)
	}
	chain := certificates(t, ada.chain)
	if len(chain) != 4 {
		t.Fatalf("%d certificates", len(chain))
	}
	leaf, userCA, platform, root := chain[0], chain[1], chain[2], chain[3]
	intermediates, roots := x509.NewCertPool(), x509.NewCertPool()
	intermediates.AddCert(userCA)
	intermediates.AddCert(platform)
	roots.AddCert(root)
	_, err := leaf.Verify(x509.VerifyOptions{
		Intermediates: intermediates, Roots: roots, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		t.Error(err)
	}
	if !ada.key.Public().(ed25519.PublicKey).Equal(leaf.PublicKey) || leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Error("the leaf is not one of this key")
	}
	if got := leaf.NotAfter.Sub(leaf.NotBefore); got != 30*24*time.Hour || !leaf.NotBefore.Equal(start) {
		t.Errorf("the leaf starts %s and lives %s", leaf.NotBefore, got)
	}
	if oid := leaf.Subject.Names[0].Type.String(); oid != "2.5.4.45" {
		t.Errorf("the leaf's subject is %s", oid)
	}
	if name := userCA.Subject.Names[0]; name.Type.String() != "0.9.2342.19200300.100.1.1" || name.Value != ada.id {
		t.Errorf("the user CA's subject is %v", name)
	}
	for i, bits := range []int{2048, 4096, 4096} {
		key, isRSA := chain[i+1].PublicKey.(*rsa.PublicKey)
		if !isRSA || key.N.BitLen() != bits || !chain[i+1].IsCA || chain[i].SignatureAlgorithm != x509.SHA256WithRSA {
			t.Errorf("certificate %d is not as documented", i+1)
		}
	}
	der, err := x509.MarshalPKIXPublicKey(userCA.PublicKey)
	if err != nil || base64.StdEncoding.EncodeToString(der) != u.PublicKey {
		t.Error("the user CA's key is not the directory's")
	}
	c.Advance(24 * time.Hour)
	again := certificates(t, c.api(ada.token, "POST", "/auth/certificate", keyBody(ada.key)).chain(t).CertificateChain)
	if again[0].SerialNumber.Cmp(leaf.SerialNumber) == 0 || !again[0].NotBefore.Equal(start.Add(24*time.Hour)) {
		t.Error("a renewed leaf is the same")
	}
	wantStatus(t, ada.do(doordecksim.LockFront, unlock()), 200) // the old chain stays good
}

func certificates(t *testing.T, chain []string) (list []*x509.Certificate) {
	t.Helper()
	for _, text := range chain {
		certificate, err := x509.ParseCertificate(decoded(t, text))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, certificate)
	}
	return list
}

func TestLeafLife(t *testing.T) {
	c := newCloud(t, func(o *doordecksim.Options) { o.LeafLife = time.Hour })
	ada := c.identity(doordecksim.AdminAda)
	c.Advance(59 * time.Minute)
	wantStatus(t, ada.do(doordecksim.LockFront, unlock()), 200)
	c.Advance(2 * time.Minute)
	wantStatus(t, ada.do(doordecksim.LockFront, unlock()), 403)
	if c.last().Step != 4 {
		t.Errorf("refused by %+v", c.last())
	}
}

func TestDoordeckAccounts(t *testing.T) {
	c := newCloud(t)
	post := func(token, path, body string) answer {
		t.Helper()
		return c.api(token, "POST", path, body, "Accept", v2)
	}
	credentials := func(email, password string) string {
		return fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
	}
	wantStatus(t, post("", "/auth/token", credentials(doordecksim.AccountEmail, "wrong")), 401)
	wantStatus(t, post("", "/auth/token", credentials("nobody@example.test", "wrong")), 401)
	var tokens struct{ AuthToken, RefreshToken string }
	read := func(a answer) {
		t.Helper()
		wantStatus(t, a, 200)
		tokens.AuthToken, tokens.RefreshToken = "", ""
		if err := json.Unmarshal(a.body, &tokens); err != nil {
			t.Fatal(err)
		}
	}
	read(post("", "/auth/token", credentials(doordecksim.AccountEmail, doordecksim.AccountPassword)))
	auth, refresh := tokens.AuthToken, tokens.RefreshToken
	if got := c.api(auth, "GET", "/account", "").object(t); got["email"] != doordecksim.AccountEmail || got["emailVerified"] != true {
		t.Errorf("account %v", got)
	}
	wantStatus(t, c.api(refresh, "GET", "/account", ""), 401)
	wantStatus(t, post(auth, "/auth/token/refresh", ""), 401)
	read(post(refresh, "/auth/token/refresh", ""))
	c.Faults().OmitRefreshToken(1)
	read(post(refresh, "/auth/token/refresh", ""))
	if tokens.RefreshToken != "" || tokens.AuthToken == "" {
		t.Errorf("tokens %+v", tokens)
	}
	openID := c.openID(c.claims(doordecksim.AdminAda))
	wantStatus(t, post(openID, "/auth/token/destroy", ""), 400)

	wantStatus(t, c.api(openID, "POST", "/share/invite/zoe@example.test", ""), 403)
	wantStatus(t, c.api(auth, "POST", "/share/invite/zoe", ""), 400)
	invited := c.api(auth, "POST", "/share/invite/zoe%40example.test?visitor=false", "")
	wantStatus(t, invited, 200)
	zoe := invited.object(t)
	if again := c.api(auth, "POST", "/share/invite/zoe@example.test", "").object(t); again["id"] != zoe["id"] {
		t.Error("a second invite makes somebody else")
	}
	key := newKey(t)
	registration := fmt.Sprintf(`{"email":"zoe@example.test","password":"pw","displayName":"Zoe","ephemeralKey":%q}`, public(key))
	wantStatus(t, c.api("", "POST", "/auth/register", registration, "Accept", v3), 409)
	read(c.api("", "POST", "/auth/register?force=true", registration, "Accept", v3))
	wantStatus(t, c.api("", "POST", "/auth/register?force=true", registration, "Accept", v3), 409)
	if got := c.api(tokens.AuthToken, "POST", "/auth/certificate", keyBody(key)).chain(t); got.UserID != zoe["id"] {
		t.Errorf("zoe is %s, was %v", got.UserID, zoe["id"])
	}
	wantStatus(t, c.api(tokens.AuthToken, "POST", "/auth/certificate", keyBody(newKey(t))), 423)
	wantStatus(t, post(tokens.AuthToken, "/auth/certificate/verify", keyBody(newKey(t))), 200)

	wantStatus(t, post(auth, "/auth/token/destroy", ""), 204)
	wantStatus(t, c.api(auth, "GET", "/account", ""), 401)
	wantStatus(t, post(refresh, "/auth/token/refresh", ""), 401)
	c.Advance(8 * 24 * time.Hour)
	wantStatus(t, c.api(tokens.AuthToken, "GET", "/account", ""), 401)
}
