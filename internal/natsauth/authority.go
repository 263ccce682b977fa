package natsauth

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"gatehouse/events"
)

// The names of the accounts, as monitoring shows them.
const (
	gatehouseName = "GATEHOUSE"
	systemName    = "SYSTEM"
	appsName      = "APPS"
)

// The gateway's account and the server's own have fixed public keys that nobody has the private keys of.
// JetStream names its store after the account's, so that a store goes on with any database.
var gatehouseID, systemID = fixedAccount(gatehouseName), fixedAccount(systemName)

func fixedAccount(name string) string {
	sum := sha256.Sum256([]byte("gatehouse NATS account " + name))
	id, err := nkeys.Encode(nkeys.PrefixByteAccount, sum[:])
	if err != nil {
		panic(err) // it encodes 32 bytes
	}
	return string(id)
}

// Authority signs for one run of the gateway: the operator, and the key that signs the gateway's own user.
type Authority struct{ operator, signer nkeys.KeyPair }

// NewAuthority makes the keys.
func NewAuthority() (*Authority, error) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		return nil, fmt.Errorf("making the NATS operator: %w", err)
	}
	signer, err := nkeys.CreateAccount()
	if err != nil {
		return nil, fmt.Errorf("making the NATS account's signing key: %w", err)
	}
	return &Authority{operator, signer}, nil
}

// Trust is what the embedded server starts with: the operator, and the accounts of the gateway, the server
// itself and the credentials given.
func (a *Authority) Trust(credentials []Credential) (*events.Trust, error) {
	id, err := a.operator.PublicKey()
	if err != nil {
		return nil, err
	}
	operator := jwt.NewOperatorClaims(id)
	operator.Name = gatehouseName
	operator.SystemAccount = systemID
	t := &events.Trust{Operator: operator, System: systemID, Accounts: map[string]string{}}
	gateway, err := a.gatewayAccount()
	if err != nil {
		return nil, err
	}
	system := jwt.NewAccountClaims(systemID)
	system.Name = systemName
	claims := []*jwt.AccountClaims{gateway, system}
	for _, c := range credentials {
		claims = append(claims, c.account())
	}
	for _, c := range claims {
		if t.Accounts[c.Subject], err = c.Encode(a.operator); err != nil {
			return nil, fmt.Errorf("signing the NATS account %s: %w", c.Name, err)
		}
	}
	return t, nil
}

// gatewayAccount is the account that has the streams, answers asks and takes commands. Others get at it
// by what it exports, and at nothing else.
func (a *Authority) gatewayAccount() (*jwt.AccountClaims, error) {
	signer, err := a.signer.PublicKey()
	if err != nil {
		return nil, err
	}
	c := jwt.NewAccountClaims(gatehouseID)
	c.Name = gatehouseName
	c.SigningKeys.Add(signer)
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{
		DiskStorage: jwt.NoLimit, MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	streams, services := Exports()
	for _, subject := range streams {
		c.Exports.Add(&jwt.Export{Name: subject, Subject: jwt.Subject(subject), Type: jwt.Stream})
	}
	for _, subject := range services {
		c.Exports.Add(&jwt.Export{Name: subject, Subject: jwt.Subject(subject), Type: jwt.Service})
	}
	c.Exports.Add(&jwt.Export{Name: "next", Subject: jwt.Subject("$JS.API." + nextOf("*")), Type: jwt.Service, ResponseType: jwt.ResponseTypeStream})
	c.Exports.Add(&jwt.Export{Name: "info", Subject: jwt.Subject("$JS.API." + infoOf("*")), Type: jwt.Service})
	c.Exports.Add(&jwt.Export{Name: "ack", Subject: jwt.Subject("$JS.ACK." + events.StreamName + ".>"), Type: jwt.Service})
	return c, nil
}

// User is who the gateway itself connects as.
func (a *Authority) User() (nats.Option, error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("making the gateway's NATS user: %w", err)
	}
	id, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(id)
	claims.Name, claims.IssuerAccount = "gatehouse", gatehouseID
	claims.AllowedConnectionTypes.Add(jwt.ConnectionTypeInProcess)
	token, err := claims.Encode(a.signer)
	if err != nil {
		return nil, fmt.Errorf("signing the gateway's NATS user: %w", err)
	}
	return nats.UserJWT(func() (string, error) { return token, nil }, key.Sign), nil
}

var errNotSigned = errors.New("natsauth: the key did not sign")

// mint makes the account's key and the user's, and returns the account's public key and the .creds file.
// Both private keys are wiped.
func mint(name string, expires int64) (account string, file []byte, err error) {
	accountKey, err := nkeys.CreateAccount()
	if err != nil {
		return "", nil, fmt.Errorf("making a NATS account: %w", err)
	}
	defer accountKey.Wipe()
	userKey, err := nkeys.CreateUser()
	if err != nil {
		return "", nil, fmt.Errorf("making a NATS user: %w", err)
	}
	defer userKey.Wipe()
	account, err = accountKey.PublicKey()
	if err != nil {
		return "", nil, errNotSigned
	}
	id, err := userKey.PublicKey()
	if err != nil {
		return "", nil, errNotSigned
	}
	claims := jwt.NewUserClaims(id)
	claims.Name, claims.Expires = name, expires
	claims.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard)
	token, err := claims.Encode(accountKey)
	if err != nil {
		return "", nil, errNotSigned
	}
	seed, err := userKey.Seed()
	if err != nil {
		return "", nil, errNotSigned
	}
	defer clear(seed)
	file, err = jwt.FormatUserConfig(token, seed)
	if err != nil {
		return "", nil, errNotSigned
	}
	return account, file, nil
}
