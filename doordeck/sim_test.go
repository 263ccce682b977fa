package doordeck_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse/doordeck"
	"gatehouse/doordeck/doordecksim"
)

// against is a strict simulation and an identity that is known there.
type against struct {
	sim    *doordecksim.Sim
	client *doordeck.Client
	clock  *doordeck.Clock
	issuer doordeck.Issuer
	ada    doordeck.Token
}

// simulated starts a simulation whose clock is an hour ahead.
func simulated(t *testing.T, kid string) against {
	t.Helper()
	sim := doordecksim.New(doordecksim.Options{Strict: true})
	sim.Advance(time.Hour)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	client, err := doordeck.NewClient(doordeck.Config{URL: server.URL, Transport: server.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	clock := doordeck.NewClock(client.Time, nil)
	if err := clock.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(sim.SigningKey(kid).Private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := doordeck.ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), kid)
	if err != nil {
		t.Fatal(err)
	}
	issuer := doordeck.Issuer{URL: doordecksim.DefaultIssuer, Key: key, Clock: clock}
	ada, err := issuer.Token(doordeck.Person{
		Subject: doordecksim.AdminAda, Email: "ada@example.test", EmailVerified: true, Telephone: "+442079460001", TelephoneVerified: true, Name: "Ada",
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return against{sim, client, clock, issuer, ada}
}

func (a against) signer(t *testing.T) doordeck.Signer {
	t.Helper()
	key := doordeck.NewEphemeralKey()
	r, err := a.client.Register(t.Context(), a.ada, key)
	if err != nil {
		t.Fatal(err)
	}
	return doordeck.Signer{UserID: r.UserID, Key: key, Chain: r.Chain, Clock: a.clock}
}

func TestSimulatedShare(t *testing.T) {
	for _, kid := range []string{doordecksim.KeyEd25519, doordecksim.KeyEC, doordecksim.KeyRSA} {
		t.Run(kid, func(t *testing.T) {
			a := simulated(t, kid)
			signer := a.signer(t)
			locks, err := a.client.ShareableLocks(t.Context(), a.ada)
			if err != nil || len(locks) != 5 {
				t.Fatal(locks, err)
			}
			people, err := a.client.FindAll(t.Context(), a.ada, doordeck.ByEmail, []string{"ana@example.test", "chidi@example.test", "dora@example.test"})
			if err != nil || len(people) != 2 {
				t.Fatal(people, err)
			}
			ana, dora := people["ana@example.test"], people["dora@example.test"]
			phones, err := a.client.FindAll(t.Context(), a.ada, doordeck.ByTelephone, []string{"+442079460012", "+442079460013"})
			if err != nil || len(phones) != 1 {
				t.Fatal(phones, err)
			}
			bram := phones["+442079460012"]
			end := a.clock.Now().Add(24 * time.Hour)
			do := func(lock doordeck.LockID, op doordeck.Operation, life time.Duration, want doordeck.Outcome, class doordeck.Class) {
				t.Helper()
				signed, err := signer.Sign(lock, op, life)
				if err != nil {
					t.Fatal(err)
				}
				outcome, err := a.client.Execute(t.Context(), a.ada, lock, signed.JWT)
				if outcome != want || (class == "" && err != nil) || (class != "" && !isClass(err, class)) {
					t.Fatalf("%T: %s, %v", op, outcome, err)
				}
				if class == "" {
					if _, err := a.client.Execute(t.Context(), a.ada, lock, signed.JWT); !isClass(err, doordeck.Conflict) {
						t.Fatalf("again: %v", err)
					}
				}
			}
			do(doordecksim.LockFront, doordeck.AddUser{User: ana.ID, PublicKey: ana.PublicKey, End: end}, 0, doordeck.Applied, "")
			do(doordecksim.LockFront, doordeck.AddUsers{
				{User: bram.ID, PublicKey: bram.PublicKey}, {User: dora.ID, PublicKey: dora.PublicKey, Role: doordeck.RoleAdmin},
			}, 0, doordeck.Applied, "")
			do(doordecksim.LockFront, doordeck.Unlock{}, 0, doordeck.Applied, "")
			users, err := a.client.LockUsers(t.Context(), a.ada, doordecksim.LockFront)
			if err != nil || len(users) != 5 {
				t.Fatal(users, err)
			}
			for _, u := range users {
				if u.ID == ana.ID && (u.Role != doordeck.RoleUser || u.End.Unix() != end.Unix()) || u.ID == dora.ID && u.Role != doordeck.RoleAdmin {
					t.Errorf("%+v", u)
				}
			}
			if u, has, err := a.client.User(t.Context(), a.ada, ana.ID); err != nil || len(has) != 1 || u.PublicKey != ana.PublicKey {
				t.Fatal(u, has, err)
			}
			do(doordecksim.LockFront, doordeck.RemoveUsers{ana.ID, bram.ID}, 0, doordeck.Applied, "")
			do(doordecksim.LockArchive, doordeck.AddUsers{{User: ana.ID, PublicKey: ana.PublicKey}}, 0, "", doordeck.Invalid)
			do(doordecksim.LockBoat, doordeck.AddUser{User: ana.ID, PublicKey: ana.PublicKey}, 0, "", doordeck.Offline)
			do(doordecksim.LockBoat, doordeck.AddUser{User: ana.ID, PublicKey: ana.PublicKey}, time.Hour, doordeck.Queued, "")
			do(doordecksim.LockLift, doordeck.Unlock{}, 0, "", doordeck.NoAnswer)
			do(doordecksim.LockFront, doordeck.AddUser{User: ana.ID, PublicKey: dora.PublicKey}, 0, "", doordeck.Invalid)
			do("5e3c0f10-0001-4f00-8000-00000000dfff", doordeck.Unlock{}, 0, "", doordeck.NotFound)
			for id, want := range map[doordeck.LockID]bool{doordecksim.LockFront: true, doordecksim.LockLoading: false, doordecksim.LockArchive: false} {
				if l, err := a.client.Lock(t.Context(), a.ada, id); err != nil || l.Supports(doordeck.BatchSharing) != want || !l.Connected || l.Role != doordeck.RoleAdmin {
					t.Errorf("%+v, %v", l, err)
				}
			}
			if l, err := a.client.Lock(t.Context(), a.ada, doordecksim.LockBoat); err != nil || l.Connected {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

func TestSimulatedVerification(t *testing.T) {
	a := simulated(t, doordecksim.KeyEd25519)
	a.signer(t)
	key := doordeck.NewEphemeralKey()
	if _, err := a.client.Register(t.Context(), a.ada, key); !isClass(err, doordeck.Locked) {
		t.Fatal(err)
	}
	if method, err := a.client.Verify(t.Context(), a.ada, key, doordeck.SMS); err != nil || method != doordeck.SMS {
		t.Fatal(method, err)
	}
	code := a.sim.Code(doordecksim.AdminAda)
	if _, err := a.client.Check(t.Context(), a.ada, key, "0"+code); !isClass(err, doordeck.Forbidden) {
		t.Fatal(err)
	}
	r, err := a.client.Check(t.Context(), a.ada, key, code[:3]+"-"+code[3:])
	if err != nil || !r.Chain.For(key) || len(r.Chain.Entries()) != 4 {
		t.Fatal(r, err)
	}
	if days := r.Chain.NotAfter().Sub(r.Chain.RenewAt()).Hours() / 24; days != 7 {
		t.Fatalf("renewed %v days before", days)
	}
	if again, err := a.client.Register(t.Context(), a.ada, key); err != nil || again.UserID != r.UserID {
		t.Fatal(err)
	}
}

func TestSimulatedVisitor(t *testing.T) {
	a := simulated(t, doordecksim.KeyEd25519)
	if _, err := a.client.Find(t.Context(), a.ada, doordeck.ByForeignKey, "visitor-77"); !isClass(err, doordeck.NotFound) {
		t.Fatal(err)
	}
	visitor, err := a.issuer.Token(doordeck.Person{Subject: "visitor-77", Email: "lee@example.test", Name: "Lee Ann"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if locks, err := a.client.ShareableLocks(t.Context(), visitor); err != nil || len(locks) != 0 {
		t.Fatal(locks, err)
	}
	if found, err := a.client.Find(t.Context(), a.ada, doordeck.ByForeignKey, "visitor-77"); err != nil || found.PublicKey == "" {
		t.Fatal(found, err)
	}
	if _, err := a.client.Find(t.Context(), a.ada, doordeck.ByEmail, "lee@example.test"); !isClass(err, doordeck.NotFound) {
		t.Fatal("found by an address that was not verified:", err)
	}
}
