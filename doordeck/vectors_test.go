package doordeck_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
)

func TestVectorKeys(t *testing.T) {
	const (
		pkcs8     = "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
		libsodium = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="
		spki      = "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
		raw       = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
		caSeed    = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
		caSPKI    = "MCowBQYDK2VwAyEAJUO5L/EJVRFHatyDadtt3JM2ZaEZeN2hQE7hBmypVZ0="
	)
	for name, stored := range map[string][]byte{"seed": unhex(t, seedHex), "PKCS #8": decode(t, pkcs8), "libsodium": decode(t, libsodium)} {
		t.Run(name, func(t *testing.T) {
			key, err := doordeck.ParseEphemeralKey(stored)
			if err != nil {
				t.Fatal(err)
			}
			if key.PublicKey() != spki || key.RawPublicKey() != raw || string(key.Reveal()) != string(unhex(t, seedHex)) {
				t.Fatalf("public keys %q and %q", key.PublicKey(), key.RawPublicKey())
			}
		})
	}
	ca, err := doordeck.ParseEphemeralKey(unhex(t, caSeed))
	if err != nil || ca.PublicKey() != caSPKI {
		t.Fatalf("the test CA's key is %q, %v", ca.PublicKey(), err)
	}
}

func TestVector1Codes(t *testing.T) {
	for code, want := range map[string]string{
		"123456":   "vLMoMW6wRfoft+ua1HGAnlKBFawyqryzpaVUIy3Yh5aLrtAcfC4k/KkUC2kRV2Cr3pMVQXJrCUqLhWAeDZDXAA==",
		"12345678": "cF9WVBAfy+8Qk4JuhBr94vl+OCrtlVixT9sapRRfVP2PtxYkD2TDNJYE6dFwJ0ztx+JFaj/smW4yYBEbasF8AA==",
	} {
		if got, err := ephemeral(t).SignCode(code); err != nil || got != want {
			t.Errorf("code %s: %q, %v", code, got, err)
		}
	}
	const trap = "KvsWvSYvs/dYczrC3oJVlWX8MCQj4BZKLfuJ4ccFiSBBFH5OoGUFQg0DHZrAz8jdPwx7EyMEdNpSi5sXw3BWDw=="
	private := ed25519.NewKeyFromSeed(unhex(t, seedHex))
	if base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte("123456\n"))) != trap {
		t.Fatal("the trap's vector is not what it says")
	}
	if got, err := ephemeral(t).SignCode("123456\n"); err != nil || got == trap {
		t.Fatalf("the newline was signed: %q, %v", got, err)
	}
}

func TestVector2Chain(t *testing.T) {
	for name, want := range map[string]string{
		"v2-leaf.txt": "ff274ca91510e4311bb2aa8dffcc3bfd1c817e24133d20ba6742ef84bed25b85",
		"v2-ca.txt":   "8064979c01a84fde41c18f3b6d08066654b7025a8c59b1ecacf42130251b0c61",
		"v3-pk1.txt":  "0a4b5a993a927e815a43ce591dbf791b3edb924e4e9dfeb9195545d2170087ea",
		"v3-pk2.txt":  "6119b6c96af00e799dcf6b60f4f967619ef3fe35ba8ccebb0a2ab5482e3365b9",
	} {
		if got := sum(string(decode(t, vector(t, name)))); got != want {
			t.Errorf("%s hashes to %s", name, got)
		}
	}
	c := chain(t)
	day := func(year int, month time.Month, day int) time.Time {
		return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	}
	if !c.NotBefore().Equal(day(2026, 1, 1)) || !c.NotAfter().Equal(day(2026, 1, 31)) || !c.RenewAt().Equal(day(2026, 1, 24)) {
		t.Fatalf("from %v to %v, renewed at %v", c.NotBefore(), c.NotAfter(), c.RenewAt())
	}
	if !c.For(ephemeral(t)) || c.For(doordeck.NewEphemeralKey()) {
		t.Fatal("the chain does not know its key")
	}
}

func TestVectors5To9Operations(t *testing.T) {
	pk1, pk2 := vector(t, "v3-pk1.txt"), vector(t, "v3-pk2.txt")
	end := moment.Add(30 * 24 * time.Hour)
	for _, tt := range []struct {
		name, payload, id      string
		op                     doordeck.Operation
		life                   time.Duration
		payloadSum, whole, jwt string // sums, and all of it or its signature
	}{
		{
			name: "V5", payload: "v5-payload.json", id: "7a1d2c30-00f1-11f0-8000-0000000000f1", life: time.Minute,
			op:         doordeck.AddUser{User: invitee1, PublicKey: pk1, Role: doordeck.RoleUser, Start: moment, End: end},
			payloadSum: "992b55e6590bde3cab8467f2ddd3357a13b3b9c2ddf17e085a337fd8987904d8",
			whole:      "642896098738f59f12f911836a9cbe4c4e7ec3965b5b6788b9499230d22055d7", jwt: vector(t, "v5.jwt"),
		},
		{
			name: "V6", payload: "v6-payload.json", id: "7a1d2c30-00f2-11f0-8000-0000000000f2", life: 24 * time.Hour,
			op: doordeck.AddUsers{
				{User: invitee1, PublicKey: pk1}, {User: invitee2, PublicKey: pk2, Role: doordeck.RoleAdmin, End: end},
			},
			payloadSum: "4005bbdd9e8677fa11f060f5cfd6c85e3907f8704d3d58e4d840c60426f2c437",
			whole:      "34d3f272625ad278cfd016b0f72fe735291a6356de0ae905230d947fcc2e2d53", jwt: vector(t, "v6.jwt"),
		},
		{
			name: "V7", payload: "v7-payload.json", id: "7a1d2c30-00f3-11f0-8000-0000000000f3", life: time.Minute, op: doordeck.Unlock{},
			whole: "2c2ff93e6de2ec19658399e2f9197bd797899585985922e63fa16112dba9a091",
			jwt:   "JM95oRUg0bcFi6X8YlHWgAxSzWhFnaas9xeoZcnga-iKINO8r6nO2aksIUhBTB9gkNBFS6Dufp72x8dlst7tAQ",
		},
		{
			name: "V9", payload: "v9-payload.json", id: "7a1d2c30-00f4-11f0-8000-0000000000f4", life: time.Minute,
			op:    doordeck.RemoveUsers{invitee1},
			whole: "e987927ef46b5a952dcc0ef21fb497fc4e09317ad3f03d5477bac25bc0dad57e",
			jwt:   "s1NC548wFo9govpURJ1dtahRbN4rR53fy0w9LjM4KljTNCngiqcOlkqTNcMAige0od3b80GsfD_zNpwrUAA7Aw",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed, err := signer(t).SignAs(lock, tt.op, tt.life, tt.id)
			if err != nil {
				t.Fatal(err)
			}
			jwt := signed.JWT.Reveal()
			parts := strings.Split(jwt, ".")
			payload := strings.NewReplacer("<PK1>", pk1, "<PK2>", pk2).Replace(vector(t, tt.payload))
			if got := string(decodeURL(t, parts[1])); got != payload || (tt.payloadSum != "" && sum(got) != tt.payloadSum) {
				t.Fatalf("payload\n%s, want\n%s", got, payload)
			}
			if sum(jwt) != tt.whole || !strings.HasSuffix(jwt, tt.jwt) {
				t.Fatalf("the token is\n%s", jwt)
			}
			if signed.ID != tt.id || !signed.ExpiresAt.Equal(moment.Add(tt.life)) {
				t.Fatalf("id %s, expires %v", signed.ID, signed.ExpiresAt)
			}
		})
	}
}

func TestVector4Header(t *testing.T) {
	for _, name := range []string{"v5.jwt", "v6.jwt"} {
		header, _, _ := strings.Cut(vector(t, name), ".")
		plain := string(decodeURL(t, header))
		want := `{"alg":"EdDSA","typ":"JWT","x5c":["` + vector(t, "v2-leaf.txt") + `","` + vector(t, "v2-ca.txt") + `"]}`
		if plain != want || len(plain) != 885 || sum(plain) != "54e814edcf7fbb72781bdd584a220974029914170da4e244ad0e777df1ebb634" {
			t.Errorf("%s has the header %s", name, plain)
		}
	}
}

// The Kotlin SDK writes V7 with padded standard base64. This package does not send it; the vector is checked
// against the same key, so that whoever verifies operations can rely on it.
func TestVector8KotlinTwin(t *testing.T) {
	header := `{"alg":"EdDSA","x5c":["` + vector(t, "v2-leaf.txt") + `","` + vector(t, "v2-ca.txt") + `"],"typ":"JWT"}`
	std := base64.StdEncoding.EncodeToString
	input := std([]byte(header)) + "." + std([]byte(vector(t, "v7-payload.json")))
	const signature = "E/6Swo3m5Y+/Bc/nvItxxaUS/1q08ol2SNY1nownXcl2xNnC2c8fn2CS4fNvy0RzqKWBRPB6x39TOEwfvTDxCA=="
	public := ed25519.PublicKey(decode(t, ephemeral(t).RawPublicKey()))
	if !ed25519.Verify(public, []byte(input), decode(t, signature)) {
		t.Fatal("the twin's signature does not verify")
	}
	whole := input + "." + signature
	if len(whole) != 1586 || sum(whole) != "c1e0f04ec5c7f015e8fb2c2d278a2b2ffb6f292585e8b06eb0abd96e6911e144" {
		t.Fatalf("the twin is %d bytes:\n%s", len(whole), whole)
	}
}

func TestVector10AuthToken(t *testing.T) {
	got, err := issuer(t).Token(doordeck.Person{
		Subject: "admin-1", Email: "admin@gateway.example", EmailVerified: true,
		Telephone: "+442034341020", TelephoneVerified: true, Name: "Ada Admin",
	}, 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got.Reveal() != vector(t, "v10.jwt") {
		t.Fatalf("the token is\n%s", got.Reveal())
	}
	if payload := string(decodeURL(t, strings.Split(got.Reveal(), ".")[1])); payload != vector(t, "v10-payload.json") {
		t.Fatalf("the payload is %s", payload)
	}
}

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeURL(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
