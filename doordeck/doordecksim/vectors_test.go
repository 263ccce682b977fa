package doordecksim_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

// vectors were made elsewhere: tokens as Doordeck's SDKs write them, byte for byte.
type vectors struct {
	EphemeralSeed string `json:"ephemeral_seed"`
	EphemeralSPKI string `json:"ephemeral_spki"`
	EphemeralRaw  string `json:"ephemeral_raw"`
	Admin, Lock   string
	Invitees      []struct {
		ID        string
		PublicKey string `json:"public_key"`
	}
	Code6        string `json:"code_123456"`
	Code8        string `json:"code_12345678"`
	CodeNewline  string `json:"code_123456_newline"`
	Leaf, CA     string
	AddUser      string `json:"add_user"`
	BatchAddUser string `json:"batch_add_user"`
	Unlock       string
	UnlockKMP    string          `json:"unlock_kmp"`
	RemoveUser   string          `json:"remove_user"`
	JWK          json.RawMessage `json:"application_jwk"`
	Issuer       string
	OpenID       string
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func decoded(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// vectorCloud knows the vectors' application, people and lock, and trusts their certificates.
func vectorCloud(t *testing.T, change ...func(*doordecksim.Options)) (*cloud, vectors, *identity) {
	t.Helper()
	v := readVectors(t)
	root, err := x509.ParseCertificate(decoded(t, v.CA))
	if err != nil {
		t.Fatal(err)
	}
	key, err := doordecksim.ParseJWK(v.JWK)
	if err != nil {
		t.Fatal(err)
	}
	c := newCloud(t, append(change, func(o *doordecksim.Options) {
		o.Applications = []doordecksim.Application{{Issuer: v.Issuer, Keys: []doordecksim.Key{key}}}
		o.Roots = []*x509.Certificate{root}
		o.Empty = true
	})...)
	users := []doordecksim.User{
		{ID: v.Admin, Subject: "admin-1"},
		{ID: v.Invitees[0].ID, Subject: "one", PublicKey: v.Invitees[0].PublicKey},
		{ID: v.Invitees[1].ID, Subject: "two", PublicKey: v.Invitees[1].PublicKey},
	}
	for _, u := range users {
		if _, err := c.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	err = c.AddLock(doordecksim.Lock{
		ID: v.Lock, Name: "Vector", Capabilities: map[string]string{doordecksim.BatchSharing: doordecksim.Supported},
		Users: []doordecksim.Member{{User: v.Admin, Role: doordecksim.RoleAdmin}},
	})
	if err != nil {
		t.Fatal(err)
	}
	seed, err := hex.DecodeString(v.EphemeralSeed)
	if err != nil {
		t.Fatal(err)
	}
	i := &identity{c: c, id: v.Admin, token: v.OpenID, key: ed25519.NewKeyFromSeed(seed), chain: []string{v.Leaf, v.CA}}
	if err := c.RegisterKey(v.Admin, i.key.Public().(ed25519.PublicKey)); err != nil {
		t.Fatal(err)
	}
	return c, v, i
}

func TestVectorsAreWhole(t *testing.T) {
	v := readVectors(t)
	for name, test := range map[string]struct{ data, sum string }{
		"leaf":           {string(decoded(t, v.Leaf)), "ff274ca91510e4311bb2aa8dffcc3bfd1c817e24133d20ba6742ef84bed25b85"},
		"CA":             {string(decoded(t, v.CA)), "8064979c01a84fde41c18f3b6d08066654b7025a8c59b1ecacf42130251b0c61"},
		"PK1":            {string(decoded(t, v.Invitees[0].PublicKey)), "0a4b5a993a927e815a43ce591dbf791b3edb924e4e9dfeb9195545d2170087ea"},
		"PK2":            {string(decoded(t, v.Invitees[1].PublicKey)), "6119b6c96af00e799dcf6b60f4f967619ef3fe35ba8ccebb0a2ab5482e3365b9"},
		"ADD_USER":       {v.AddUser, "642896098738f59f12f911836a9cbe4c4e7ec3965b5b6788b9499230d22055d7"},
		"BATCH_ADD_USER": {v.BatchAddUser, "34d3f272625ad278cfd016b0f72fe735291a6356de0ae905230d947fcc2e2d53"},
		"unlock":         {v.Unlock, "2c2ff93e6de2ec19658399e2f9197bd797899585985922e63fa16112dba9a091"},
		"unlock, KMP":    {v.UnlockKMP, "c1e0f04ec5c7f015e8fb2c2d278a2b2ffb6f292585e8b06eb0abd96e6911e144"},
		"REMOVE_USER":    {v.RemoveUser, "e987927ef46b5a952dcc0ef21fb497fc4e09317ad3f03d5477bac25bc0dad57e"},
	} {
		if got := hex.EncodeToString(sum(test.data)); got != test.sum {
			t.Errorf("%s has the sum %s", name, got)
		}
	}
}

func sum(data string) []byte {
	s := sha256.Sum256([]byte(data))
	return s[:]
}

func TestVectorsAreAccepted(t *testing.T) {
	c, v, i := vectorCloud(t)
	wantStatus(t, i.execute(v.Lock, v.AddUser), 204)
	if got := c.Users(v.Lock)[1]; got.User != v.Invitees[0].ID || got.Role != "USER" || got.Start.Unix() != 1767312000 || got.End.Unix() != 1769904000 {
		t.Errorf("member = %+v", got)
	}
	wantStatus(t, i.execute(v.Lock, v.AddUser), 409)
	wantStatus(t, i.execute(v.Lock, v.BatchAddUser), 202)
	if got := c.Users(v.Lock); len(got) != 3 || got[2].Role != "ADMIN" || !got[2].Start.IsZero() || got[2].End.Unix() != 1769904000 {
		t.Errorf("members = %+v", got)
	}
	wantStatus(t, i.execute(v.Lock, v.Unlock), 200)
	wantStatus(t, i.execute(v.Lock, v.RemoveUser), 200)
	if got := c.Users(v.Lock); len(got) != 2 || got[1].User != v.Invitees[1].ID {
		t.Errorf("members = %+v", got)
	}
	if c.Unlocks(v.Lock) != 1 || !c.Open(v.Lock) {
		t.Errorf("%d unlocks, open %t", c.Unlocks(v.Lock), c.Open(v.Lock))
	}
}

// TestPaddedFormIsAccepted sends what the Kotlin SDK sends, whose claims are those of the plain unlock.
func TestPaddedFormIsAccepted(t *testing.T) {
	c, v, i := vectorCloud(t)
	wantStatus(t, i.execute(v.Lock, v.UnlockKMP), 200)
	wantStatus(t, i.execute(v.Lock, v.Unlock), 409)
	if c.Unlocks(v.Lock) != 1 {
		t.Errorf("%d unlocks", c.Unlocks(v.Lock))
	}
	_, v, i = vectorCloud(t, func(o *doordecksim.Options) { o.Strict = true })
	wantStatus(t, i.execute(v.Lock, v.UnlockKMP), 400)
	wantStatus(t, i.execute(v.Lock, v.Unlock), 200)
}

// TestVectorsWithAnythingChangedAreRefused turns single characters of good tokens.
func TestVectorsWithAnythingChangedAreRefused(t *testing.T) {
	c, v, i := vectorCloud(t)
	for _, good := range []string{v.AddUser, v.BatchAddUser, v.Unlock, v.UnlockKMP, v.RemoveUser} {
		for at := 1; at < len(good); at += 97 {
			if good[at] == '.' || good[at] == '=' || at == len(good)-1 {
				continue
			}
			other := byte('A')
			if good[at] == other {
				other = 'Q'
			}
			bad := good[:at] + string(other) + good[at+1:]
			if a := i.execute(v.Lock, bad); a.status != 400 && a.status != 403 {
				t.Errorf("with byte %d changed it answered %d", at, a.status)
			}
		}
		segments := strings.Split(good, ".")
		for name, bad := range map[string]string{
			"no signature":      segments[0] + "." + segments[1] + ".",
			"two segments":      segments[0] + "." + segments[1],
			"four segments":     good + ".AA",
			"foreign signature": segments[0] + "." + segments[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
			"quoted":            `"` + good + `"`,
			"with a newline":    good + "\n",
		} {
			if a := i.execute(v.Lock, bad); a.status != 400 && a.status != 403 {
				t.Errorf("%s: %d", name, a.status)
			}
		}
	}
	if len(c.Users(v.Lock)) != 1 || c.Unlocks(v.Lock) != 0 {
		t.Error("something was applied")
	}
}

// TestVectorsOutOfTheirTime: the leaf ends on 2026-01-31, the tokens a minute after the start.
func TestVectorsOutOfTheirTime(t *testing.T) {
	c, v, i := vectorCloud(t)
	c.Faults().ClockOffset(61e9)
	wantStatus(t, i.execute(v.Lock, v.AddUser), 403)
	if c.last().Step != 8 {
		t.Errorf("refused by step %d", c.last().Step)
	}
	c.Faults().ClockOffset(-61e9)
	wantStatus(t, i.execute(v.Lock, v.AddUser), 403)
	c.Faults().ClockOffset(-60e9)
	wantStatus(t, i.execute(v.Lock, v.AddUser), 202) // by this clock it is good for two minutes
	c.Faults().Reset()
	for _, days := range []int{-2, 30} { // outside the chain's window
		c.Faults().ClockOffset(time.Duration(days) * 24 * time.Hour)
		token := compact(t, i.key, i.header(), i.claims(v.Lock, unlock()))
		wantStatus(t, i.c.api(longLived(t, c, v), "POST", "/device/"+v.Lock+"/execute", token, "Content-Type", "application/jwt"), 403)
		if c.last().Step != 4 {
			t.Errorf("%d days on: refused by step %d", days, c.last().Step)
		}
	}
}

func TestVectorCodes(t *testing.T) {
	for code, length := range map[string]int{"123456": 6, "12345678": 8} {
		c, v, i := vectorCloud(t, func(o *doordecksim.Options) { o.NewCode = func() string { return code } })
		good := map[int]string{6: v.Code6, 8: v.Code8}[length]
		c.ForgetKeys("admin-1")
		if err := c.RegisterKey("admin-1", newKey(t).Public().(ed25519.PublicKey)); err != nil {
			t.Fatal(err)
		}
		body := `{"ephemeralKey":"` + v.EphemeralSPKI + `"}`
		wantStatus(t, c.api(v.OpenID, "POST", "/auth/certificate", body), 423)
		wantStatus(t, c.api(v.OpenID, "POST", "/auth/certificate/verify", body), 200)
		check := func(signature string) answer {
			t.Helper()
			return c.api(v.OpenID, "POST", "/auth/certificate/check", `{"verificationSignature":"`+signature+`"}`)
		}
		wantStatus(t, check(v.CodeNewline), 403)
		wantStatus(t, check(good), 200)
		wantStatus(t, check(good), 403)
		wantStatus(t, c.api(v.OpenID, "POST", "/auth/certificate", `{"ephemeralKey":"`+v.EphemeralRaw+`"}`), 200)
		wantStatus(t, i.execute(v.Lock, v.Unlock), 200)
	}
}

// longLived is the vectors' auth token with a later end.
func longLived(t *testing.T, c *cloud, v vectors) string {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(0x80 + i)
	}
	return compact(t, ed25519.NewKeyFromSeed(seed), object{"alg": "EdDSA", "kid": "gw-2026-01", "typ": "JWT"}, object{
		"iss": v.Issuer, "sub": "admin-1", "aud": "https://api.doordeck.com", "iat": start.Unix(),
		"exp": c.Now().Unix() + 3600, "email": "admin@gateway.example",
	})
}
