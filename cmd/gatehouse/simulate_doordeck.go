package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"gatehouse/doordeck/doordecksim"
)

type simulateDoordeck struct {
	Addr    string `env:"-" default:"127.0.0.1:8091" placeholder:"HOST:PORT" help:"Where it listens. Default: ${default}."`
	Issuer  string `env:"-" default:"https://gatehouse.example/" placeholder:"URL" help:"The issuer of the application it knows. Default: ${default}."`
	KeyID   string `env:"-" default:"sim-1" placeholder:"ID" help:"The id of the key that signs the application's tokens."`
	KeyFile string `env:"-" placeholder:"FILE" help:"Where that key is kept, as PEM. It is made, readable by you alone, if it is not there. Without this nothing can sign."`
}

func (c *simulateDoordeck) Run(ctx context.Context, t *terminal) error {
	if c.Issuer == doordecksim.OwnIssuer {
		return usageError("--issuer: cannot be Doordeck's own")
	}
	key, err := c.applicationKey()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", c.Addr, err)
	}
	sim := doordecksim.New(doordecksim.Options{
		Applications: []doordecksim.Application{{Issuer: c.Issuer, Keys: []doordecksim.Key{{ID: c.KeyID, Public: key.Public()}}}},
		Log:          slog.New(slog.NewTextHandler(t.err, nil)),
		SendCode: func(code doordecksim.Code) {
			fmt.Fprintf(t.out, "%s to %s: your code is %s, until %s\n", code.Method, printable(code.Subject), code.Code, code.Expires.Format("15:04:05"))
		},
	})
	for person, name := range visitors {
		if _, err := sim.AddUser(known(foreignKey(person), name)); err != nil {
			return err
		}
	}
	c.explain(t.out, "http://"+listener.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sim.Run(ctx) })
	group.Go(func() error { return serveSimulator(ctx, listener, sim) })
	return group.Wait()
}

// explain says how to use it. Codes follow on the same output, operations on stderr.
func (c *simulateDoordeck) explain(w io.Writer, origin string) {
	fmt.Fprintf(w, "Doordeck stand-in on %s. Run the gateway with:\n\n", origin)
	file := c.KeyFile
	if file == "" {
		file = "…"
	}
	fmt.Fprintf(w, "  export GATEHOUSE_DOORDECK_API_URL=%s\n  export GATEHOUSE_DOORDECK_ISSUER=%s\n", origin, c.Issuer)
	fmt.Fprintf(w, "  export GATEHOUSE_DOORDECK_SIGNING_KEY_FILE=%s\n  export GATEHOUSE_DOORDECK_KEY_ID=%s\n  gatehouse serve\n\n", file, c.KeyID)
	if c.KeyFile == "" {
		fmt.Fprint(w, "Start it with --key-file FILE to get the key that goes there.\n\n")
	}
	fmt.Fprintf(w, "Administrators are %s (all doors) and %s (two of them); visitors are %s, %s and %s.\n",
		doordecksim.AdminAda, doordecksim.AdminBen, doordecksim.VisitorAna, doordecksim.VisitorBram, doordecksim.VisitorDora)
	fmt.Fprintf(w, "DoorFlow's people of the other stand-in are known as %s and so on.\n", foreignKey(4821))
	fmt.Fprintf(w, "Boat Shed is offline: POST {\"online\":true} to %s/sim/locks/%s connects it.\n", origin, doordecksim.LockBoat)
}

// applicationKey reads the key, or makes it. Without a file it lives as long as the process.
func (c *simulateDoordeck) applicationKey() (ed25519.PrivateKey, error) {
	if c.KeyFile == "" {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	path, err := filepath.Abs(c.KeyFile)
	if err != nil {
		return nil, err
	}
	c.KeyFile = path // the gateway may be started elsewhere
	key, err := readEd25519(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeEd25519(path)
	}
	return key, err
}

// readEd25519 never quotes the file in an error.
func readEd25519(path string) (ed25519.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("key %s is not PEM: remove it, and a new one is made", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, isEd25519 := parsed.(ed25519.PrivateKey)
	if err != nil || !isEd25519 {
		return nil, fmt.Errorf("key %s is not an Ed25519 key in PKCS #8: remove it, and a new one is made", path)
	}
	return key, nil
}

// makeEd25519 overwrites nothing.
func makeEd25519(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("writing the key: %w", err)
	}
	if err := errors.Join(pem.Encode(file, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), file.Close()); err != nil {
		return nil, fmt.Errorf("writing the key: %w", err)
	}
	return key, nil
}
