package events_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"gatehouse/events"
	"gatehouse/internal/sqldb/sqldbtest"
)

// An external NATS as operators run it: TLS by a private CA, and credentials made from an operator's keys.
func TestExternalNATSWithTLSAndCredentials(t *testing.T) {
	ca, serverTLS := authority(t)
	url, creds, otherCreds := secured(t, serverTLS)
	config := events.BusConfig{URL: url, CAFile: ca, CredsFile: creds, Retention: time.Hour, Log: quiet}
	bus, err := events.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	g := start(t, sqldbtest.SQLite(t), bus)
	awaitExactly(t, bus, say(t, g.Log, 20))

	for name, change := range map[string]func(*events.BusConfig){
		"without the CA":                    func(c *events.BusConfig) { c.CAFile = "" },
		"without credentials":               func(c *events.BusConfig) { c.CredsFile = "" },
		"credentials of a foreign operator": func(c *events.BusConfig) { c.CredsFile = otherCreds },
	} {
		t.Run(name, func(t *testing.T) {
			c := config
			change(&c)
			bus, err := events.Connect(t.Context(), c)
			if err == nil {
				bus.Close()
				t.Fatal("it was let in")
			}
			if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "reaching NATS: ") {
				t.Fatalf("not one clear line: %v", err)
			}
		})
	}
}

// secured starts a nats-server that wants TLS and a user signed by its operator. It returns its URL, the
// credentials of such a user, and those of another operator's.
func secured(t *testing.T, serverTLS *tls.Config) (url, creds, otherCreds string) {
	t.Helper()
	operator, account, systemAccount, creds := operatorAccountsUser(t)
	_, _, _, otherCreds = operatorAccountsUser(t)
	claims, err := jwt.DecodeOperatorClaims(operator)
	if err != nil {
		t.Fatal(err)
	}
	accountClaims, err := jwt.DecodeAccountClaims(account)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(accountClaims.Subject, account); err != nil {
		t.Fatal(err)
	}
	system, err := jwt.DecodeAccountClaims(systemAccount)
	if err != nil {
		t.Fatal(err)
	}
	if err := resolver.Store(system.Subject, systemAccount); err != nil {
		t.Fatal(err)
	}
	s := running(t, &server.Options{
		SystemAccount: system.Subject, JetStreamMaxStore: 1 << 40, // JetStream wants an account where there is an operator
		TLS: true, TLSConfig: serverTLS, TLSTimeout: 2,
		TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: resolver,
	})
	return "tls://" + s.Addr().String(), creds, otherCreds
}

// running starts a nats-server with JetStream.
func running(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog, o.JetStream, o.StoreDir = "127.0.0.1", server.RANDOM_PORT, true, true, true, t.TempDir()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	return s
}

// A server that may store too little says so in a way that its operator can do something about.
func TestExternalNATSWithTooLittleRoom(t *testing.T) {
	s := running(t, &server.Options{JetStreamMaxStore: 2 << 30})
	bus, err := events.Connect(t.Context(), events.BusConfig{URL: s.ClientURL(), Retention: time.Hour, Log: quiet})
	if err == nil {
		bus.Close()
		t.Fatal("it has room")
	}
	if !strings.Contains(err.Error(), "16 GiB") || !strings.Contains(err.Error(), "max_file_store") {
		t.Error(err)
	}
}

func operatorAccountsUser(t *testing.T) (operator, account, system, creds string) {
	t.Helper()
	key := func(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		pair, err := create()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return pair, public
	}
	encode := func(claims interface {
		Encode(nkeys.KeyPair) (string, error)
	}, by nkeys.KeyPair,
	) string {
		token, err := claims.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	operatorKey, operatorID := key(nkeys.CreateOperator)
	accountKey, accountID := key(nkeys.CreateAccount)
	userKey, userID := key(nkeys.CreateUser)
	accountClaims := jwt.NewAccountClaims(accountID)
	accountClaims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	seed, err := userKey.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file, err := jwt.FormatUserConfig(encode(jwt.NewUserClaims(userID), accountKey), seed)
	if err != nil {
		t.Fatal(err)
	}
	creds = filepath.Join(t.TempDir(), "gatehouse.creds")
	if err := os.WriteFile(creds, file, 0o600); err != nil {
		t.Fatal(err)
	}
	_, systemID := key(nkeys.CreateAccount)
	system = encode(jwt.NewAccountClaims(systemID), operatorKey)
	return encode(jwt.NewOperatorClaims(operatorID), operatorKey), encode(accountClaims, operatorKey), system, creds
}

// authority makes a self-signed certificate for 127.0.0.1 and returns it as a CA file and for a server.
func authority(t *testing.T) (caFile string, config *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a building's own CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return caFile, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}
