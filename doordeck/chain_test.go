package doordeck_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
)

// certified makes a chain like the service's own: an Ed25519 leaf under RSA authorities whose subjects are
// UUIDs, leaf first. Lives are in days, from the moment of the vectors.
func certified(t *testing.T, key doordeck.EphemeralKey, lives ...int) []string {
	t.Helper()
	public, err := x509.ParsePKIXPublicKey(decode(t, key.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for i, life := range lives {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)),
			Subject:      pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 45}, Value: string(admin)}}},
			NotBefore:    moment, NotAfter: moment.AddDate(0, 0, life), IsCA: i > 0, BasicConstraintsValid: true,
		}
		subject := crypto.PublicKey(&authority.PublicKey)
		if i == 0 {
			subject = public
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, subject, authority)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, base64.StdEncoding.EncodeToString(der))
	}
	return entries
}

func TestChainIsRenewedInTime(t *testing.T) {
	key := ephemeral(t)
	day := func(n float64) time.Time { return moment.Add(time.Duration(n * float64(24*time.Hour))) }
	for _, tt := range []struct {
		name       string
		lives      []int
		end, renew time.Time
	}{
		{"a month", []int{30, 90, 3650, 14600}, day(30), day(23)},
		{"the week of 2019: a third of its life before", []int{7, 90, 3650}, day(7), day(7).Add(-56 * time.Hour)},
		{"exactly three weeks", []int{21, 90}, day(21), day(14)},
		{"the user's authority ends first", []int{30, 20}, day(20), day(20).Add(-160 * time.Hour)},
		{"the authority is to be renewed first, and ends last", []int{2, 3}, day(2), day(2).Add(-16 * time.Hour)},
		{"the leaf alone", []int{90}, day(90), day(83)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			entries := certified(t, key, tt.lives...)
			c, err := doordeck.ParseChain(entries)
			if err != nil {
				t.Fatal(err)
			}
			if !c.NotBefore().Equal(moment) || !c.NotAfter().Equal(tt.end) || !c.RenewAt().Equal(tt.renew) {
				t.Fatalf("from %v to %v, renewed at %v", c.NotBefore(), c.NotAfter(), c.RenewAt())
			}
			if !c.For(key) || !slices.Equal(c.Entries(), entries) {
				t.Fatal("the chain is not what was given")
			}
		})
	}
}

// A serial number below zero is forbidden, and crypto/x509 refuses it; the window is there all the same.
func TestChainTakesWhatX509Refuses(t *testing.T) {
	der := decode(t, vector(t, "v2-leaf.txt"))
	odd := bytes.Replace(der, []byte{2, 1, 2, 0x30}, []byte{2, 1, 0xfe, 0x30}, 1)
	if _, err := x509.ParseCertificate(odd); err == nil {
		t.Fatal("crypto/x509 takes the odd certificate; the test needs another")
	}
	c, err := doordeck.ParseChain([]string{base64.StdEncoding.EncodeToString(odd), vector(t, "v2-ca.txt")})
	if err != nil || !c.For(ephemeral(t)) || !c.RenewAt().Equal(chain(t).RenewAt()) {
		t.Fatalf("%v, %v", c.RenewAt(), err)
	}
}

func TestParseChainRefuses(t *testing.T) {
	leaf := vector(t, "v2-leaf.txt")
	der := decode(t, leaf)
	backwards := bytes.Replace(der, []byte("260131000000Z"), []byte("250131000000Z"), 1)
	for _, tt := range []struct {
		name    string
		entries []string
		want    string
	}{
		{"none", nil, "0 certificates"},
		{"eleven", slices.Repeat([]string{leaf}, 11), "11 certificates"},
		{"URL base64", []string{base64.RawURLEncoding.EncodeToString(der)}, "standard base64"},
		{"not base64", []string{leaf, "?"}, "certificate 2"},
		{"empty", []string{""}, "cannot be read"},
		{"cut", []string{base64.StdEncoding.EncodeToString(der[:100])}, "cannot be read"},
		{"ends before it begins", []string{base64.StdEncoding.EncodeToString(backwards)}, "cannot be read"},
		{"huge", []string{strings.Repeat("A", 1<<20)}, "too large"},
		{"PEM", []string{"-----BEGIN CERTIFICATE-----\n" + leaf}, "standard base64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := doordeck.ParseChain(tt.entries)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !c.IsZero() {
				t.Fatalf("%v, want one with %q", err, tt.want)
			}
		})
	}
}
