package doordeck_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck"
)

func guest(t testing.TB, change func(*doordeck.AddUser)) doordeck.AddUser {
	t.Helper()
	g := doordeck.AddUser{User: invitee1, PublicKey: vector(t, "v3-pk1.txt")}
	if change != nil {
		change(&g)
	}
	return g
}

func TestOperations(t *testing.T) {
	pk := vector(t, "v3-pk1.txt")
	user := `"user":"` + string(invitee1) + `","publicKey":"` + pk + `"`
	for _, tt := range []struct {
		name string
		op   doordeck.Operation
		want string
	}{
		{"a share as USER, from now and for ever", guest(t, nil), `{"type":"ADD_USER",` + user + `,"role":"USER"}`},
		{
			"fractions of seconds fall away",
			guest(t, func(g *doordeck.AddUser) { g.Start, g.End = moment.Add(-1), moment.Add(1500*time.Millisecond) }),
			`{"type":"ADD_USER",` + user + `,"role":"USER","start":1767311999,"end":1767312001}`,
		},
		{"an administrator", guest(t, func(g *doordeck.AddUser) { g.Role = doordeck.RoleAdmin }), `{"type":"ADD_USER",` + user + `,"role":"ADMIN"}`},
		{"a batch of one", doordeck.AddUsers{guest(t, nil)}, `{"type":"BATCH_ADD_USER","users":[{` + user + `,"role":"USER"}]}`},
		{"two revoked", doordeck.RemoveUsers{invitee1, invitee2}, `{"type":"REMOVE_USER","users":["` + string(invitee1) + `","` + string(invitee2) + `"]}`},
		{"an unlock", doordeck.Unlock{}, `{"type":"MUTATE_LOCK","locked":false}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed, err := signer(t).Sign(lock, tt.op, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(payloadOf(t, signed).Operation); got != tt.want {
				t.Fatalf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestOperationsAreRefused(t *testing.T) {
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&elliptical.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var crowd doordeck.AddUsers
	for n := range 26 {
		crowd = append(crowd, guest(t, func(g *doordeck.AddUser) {
			g.User = doordeck.UserID(fmt.Sprintf("7a1d2c30-0003-11f0-8000-%012d", n))
		}))
	}
	if _, err := signer(t).Sign(lock, crowd[:25], 0); err != nil {
		t.Errorf("25 are refused: %v", err)
	}
	for _, tt := range []struct {
		name string
		op   doordeck.Operation
		want string
	}{
		{"no user", guest(t, func(g *doordeck.AddUser) { g.User = "" }), "UUID"},
		{"a foreign key for a user", guest(t, func(g *doordeck.AddUser) { g.User = "emp-17" }), "UUID"},
		{"no public key", guest(t, func(g *doordeck.AddUser) { g.PublicKey = "" }), "directory"},
		{"an ephemeral key", guest(t, func(g *doordeck.AddUser) { g.PublicKey = ephemeral(t).PublicKey() }), "directory"},
		{"a raw ephemeral key", guest(t, func(g *doordeck.AddUser) { g.PublicKey = ephemeral(t).RawPublicKey() }), "directory"},
		{"an EC key", guest(t, func(g *doordeck.AddUser) { g.PublicKey = base64.StdEncoding.EncodeToString(der) }), "directory"},
		{"a key in URL base64", guest(t, func(g *doordeck.AddUser) {
			g.PublicKey = base64.URLEncoding.EncodeToString(decode(t, g.PublicKey))
		}), "base64"},
		{"a role of tomorrow", guest(t, func(g *doordeck.AddUser) { g.Role = "GUARD" }), "role"},
		{"an end before its start", guest(t, func(g *doordeck.AddUser) {
			g.Start, g.End = moment.Add(2*time.Hour), moment.Add(time.Hour)
		}), "after the start"},
		{"an end at its start", guest(t, func(g *doordeck.AddUser) {
			g.Start, g.End = moment.Add(time.Hour), moment.Add(time.Hour+time.Millisecond)
		}), "after the start"},
		{"an end gone by", guest(t, func(g *doordeck.AddUser) { g.End = moment }), "future"},
		{"a start before time", guest(t, func(g *doordeck.AddUser) { g.Start = time.Unix(0, 0) }), "1970"},
		{"an end beyond time", guest(t, func(g *doordeck.AddUser) { g.End = time.Unix(253402300800, 0) }), "10000"},
		{"an empty batch", doordeck.AddUsers{}, "0 users"},
		{"26 in a batch", crowd, "26 users"},
		{"one twice in a batch", doordeck.AddUsers{guest(t, nil), guest(t, func(g *doordeck.AddUser) {
			g.User = doordeck.UserID(strings.ToUpper(string(g.User)))
		})}, "user 2 of the batch is in it twice"},
		{"one bad in a batch", doordeck.AddUsers{guest(t, nil), {}}, "user 2 of the batch"},
		{"nobody revoked", doordeck.RemoveUsers{}, "no user"},
		{"nonsense revoked", doordeck.RemoveUsers{invitee1, "x"}, "user 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed, err := signer(t).Sign(lock, tt.op, 0)
			if err == nil || !strings.Contains(err.Error(), tt.want) || signed.JWT != (doordeck.JWT{}) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
		})
	}
}
