package doordeck_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"gatehouse/doordeck"
)

// An identity whose key is registered shares a lock with a visitor.
func Example() {
	api := httptest.NewServer(http.HandlerFunc(pretend))
	defer api.Close()
	if err := share(context.Background(), api.URL, api.Client().Transport); err != nil {
		fmt.Println(err)
	}
	// Output: applied, good until 00:00:55
}

func share(ctx context.Context, url string, transport http.RoundTripper) error {
	client, err := doordeck.NewClient(doordeck.Config{URL: url, Transport: transport})
	if err != nil {
		return err
	}
	clock := doordeck.NewClock(client.Time, func() time.Time { return moment })
	if err := clock.Check(ctx); err != nil {
		return err
	}

	// What was kept of the identity: its key, sealed, and what came with registering it.
	key, err := doordeck.ParseEphemeralKey(keptSeed())
	if err != nil {
		return err
	}
	chain, err := doordeck.ParseChain(keptChain())
	if err != nil {
		return err
	}
	signer := doordeck.Signer{UserID: "7a1d2c30-0001-11f0-8000-00000000a001", Key: key, Chain: chain, Clock: clock}

	application, err := doordeck.ParseKey([]byte(v10Key), "gw-2026-01")
	if err != nil {
		return err
	}
	issuer := doordeck.Issuer{URL: "https://gateway.example/", Key: application, Clock: clock}
	token, err := issuer.Token(doordeck.Person{Subject: "admin-1", Email: "admin@gateway.example"}, time.Hour)
	if err != nil {
		return err
	}

	found, err := client.FindAll(ctx, token, doordeck.ByEmail, []string{"ana@example.test"})
	if err != nil {
		return err
	}
	visitor, known := found["ana@example.test"]
	if !known {
		return errors.New("the directory does not know the visitor")
	}
	const front = doordeck.LockID("7a1d2c30-0002-11f0-8000-00000000b001")
	signed, err := signer.Sign(front, doordeck.AddUser{User: visitor.ID, PublicKey: visitor.PublicKey}, doordeck.Now)
	if err != nil {
		return err
	}
	outcome, err := client.Execute(ctx, token, front, signed.JWT)
	if err != nil {
		return err
	}
	fmt.Printf("%s, good until %s\n", outcome, signed.ExpiresAt.Format(time.TimeOnly))
	return nil
}

// pretend answers as Doordeck would.
func pretend(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/time":
		_, _ = fmt.Fprintf(w, `{"now":%d}`, moment.UnixMilli())
	case "/directory/query":
		_, _ = fmt.Fprintf(w, `[{"id":%q,"email":"ana@example.test","publicKey":%q}]`, invitee1, kept("v3-pk1.txt"))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func kept(name string) string {
	b, err := os.ReadFile("testdata/vectors/" + name)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(b))
}

func keptChain() []string { return []string{kept("v2-leaf.txt"), kept("v2-ca.txt")} }

func keptSeed() []byte {
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = byte(i)
	}
	return seed
}
