package doordeck_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
)

// v10Key is V10's key with its private half, which the vector gives as a seed.
const v10Key = `{"kty":"OKP","crv":"Ed25519","kid":"gw-2026-01","alg":"EdDSA","x":"zRSzf5VulTGU_3-3Oz2B3MVh1hp1OAlLfD4aZD7l86o","d":"gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8"}`

func issuer(t testing.TB) doordeck.Issuer {
	t.Helper()
	key, err := doordeck.ParseKey([]byte(v10Key), "gw-2026-01")
	if err != nil {
		t.Fatal(err)
	}
	return doordeck.Issuer{URL: "https://gateway.example/", Key: key, Clock: still()}
}

func TestTokenClaims(t *testing.T) {
	for _, tt := range []struct {
		name   string
		person doordeck.Person
		want   string
	}{
		{
			"email only, not verified",
			doordeck.Person{Subject: "s", Email: "a@b.test"},
			`{"iss":"https://gateway.example/","sub":"s","aud":"https://api.doordeck.com","iat":1767312000,"exp":1767312090,"email":"a@b.test"}`,
		},
		{
			"telephone verified",
			doordeck.Person{Subject: `a<b>&"ß`, Telephone: "+442034341020", TelephoneVerified: true},
			`{"iss":"https://gateway.example/","sub":"a<b>&\"ß","aud":"https://api.doordeck.com","iat":1767312000,"exp":1767312090,"telephone":"+442034341020","telephone_verified":true}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := issuer(t).Token(tt.person, 90*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if payload := string(decodeURL(t, strings.Split(got.Reveal(), ".")[1])); payload != tt.want {
				t.Fatalf("claims %s", payload)
			}
		})
	}
}

func TestTokenRefuses(t *testing.T) {
	ana := doordeck.Person{Subject: "s", Email: "a@b.test"}
	for _, tt := range []struct {
		name   string
		change func(*doordeck.Issuer, *doordeck.Person, *time.Duration)
		want   string
	}{
		{"no issuer", func(i *doordeck.Issuer, _ *doordeck.Person, _ *time.Duration) { i.URL = "" }, "issuer"},
		{"no key", func(i *doordeck.Issuer, _ *doordeck.Person, _ *time.Duration) { i.Key = doordeck.ApplicationKey{} }, "application key"},
		{"no life", func(_ *doordeck.Issuer, _ *doordeck.Person, d *time.Duration) { *d = 0 }, "live"},
		{"no subject", func(_ *doordeck.Issuer, p *doordeck.Person, _ *time.Duration) { p.Subject = "" }, "subject"},
		{"long subject", func(_ *doordeck.Issuer, p *doordeck.Person, _ *time.Duration) { p.Subject = strings.Repeat("x", 1025) }, "subject"},
		{"subject not UTF-8", func(_ *doordeck.Issuer, p *doordeck.Person, _ *time.Duration) { p.Subject = "a\xff" }, "subject"},
		{"no address", func(_ *doordeck.Issuer, p *doordeck.Person, _ *time.Duration) { p.Email = "" }, "email or a telephone"},
		{"odd email", func(_ *doordeck.Issuer, p *doordeck.Person, _ *time.Duration) { p.Email = "a b@c" }, "email must"},
		{"odd telephone", func(_ *doordeck.Issuer, p *doordeck.Person, _ *time.Duration) { p.Telephone = "020 3434 1020" }, "E.164"},
		{"verified nothing", func(_ *doordeck.Issuer, p *doordeck.Person, _ *time.Duration) { p.TelephoneVerified = true }, "verified"},
		{"name of two lines", func(_ *doordeck.Issuer, p *doordeck.Person, _ *time.Duration) { p.Name = "a\nb" }, "name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, person, life := issuer(t), ana, time.Hour
			tt.change(&i, &person, &life)
			got, err := i.Token(person, life)
			if err == nil || !strings.Contains(err.Error(), tt.want) || got != (doordeck.Token{}) {
				t.Fatalf("%v, want one about %q", err, tt.want)
			}
		})
	}
	longest := ana
	longest.Subject = strings.Repeat("x", 1024)
	if _, err := issuer(t).Token(longest, time.Second); err != nil {
		t.Fatal(err)
	}
}

// The token's times are Doordeck's, not the machine's.
func TestTokenFollowsTheClock(t *testing.T) {
	i := issuer(t)
	i.Clock = doordeck.NewClock(nil, func() time.Time { return time.Unix(1800000000, 999_000_000) })
	got, err := i.Token(doordeck.Person{Subject: "s", Email: "a@b.test"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if payload := string(decodeURL(t, strings.Split(got.Reveal(), ".")[1])); !strings.Contains(payload, `"iat":1800000000,"exp":1800003600`) {
		t.Fatal(payload)
	}
}
