package doordeck

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// Now is how long an operation lives that is done at once or not at all. Up to 60 seconds by its own
	// clock, Doordeck does an operation now and reports the outcome; five are left for the clocks to differ.
	Now = 55 * time.Second
	// MaxNow is the longest that an unlock may live.
	MaxNow = 60 * time.Second
	// MaxWait is the longest that any other operation may wait for its door
	// (https://www.doordeck.com/developer/sharing-doors).
	MaxWait = 14 * 24 * time.Hour
	// chainLeeway is how far ahead of our clock a chain may begin.
	chainLeeway = time.Minute
)

// ErrChainExpired says that a certificate has ended: the key must be registered again before it can sign.
var ErrChainExpired = errors.New("the certificate chain has expired; register the key again")

// Signer signs operations for one user.
type Signer struct {
	// UserID came with the chain. It is not the OpenID subject.
	UserID UserID
	Key    EphemeralKey
	Chain  Chain
	// Clock tells Doordeck's time; nil means the local one.
	Clock *Clock
}

// Signed is a signed operation, to be executed once.
type Signed struct {
	JWT JWT
	// ID is fresh for every signature; Doordeck refuses one that it has seen.
	ID string
	// ExpiresAt is when it ends, done or not.
	ExpiresAt time.Time
}

// Sign signs an operation for a lock that lives for so long; 0 means Now. Up to a minute the operation is
// done at once or fails; longer (up to MaxWait, and not for an unlock) it is queued for the door.
func (s Signer) Sign(lock LockID, op Operation, life time.Duration) (Signed, error) {
	return s.sign(lock, op, life, newID())
}

// claims stand in the order of Doordeck's examples.
type claims struct {
	Issuer    UserID `json:"iss"`
	Subject   LockID `json:"sub"`
	NotBefore int64  `json:"nbf"`
	IssuedAt  int64  `json:"iat"`
	Expires   int64  `json:"exp"`
	ID        string `json:"jti"`
	Operation any    `json:"operation"`
}

func (s Signer) sign(lock LockID, op Operation, life time.Duration, id string) (Signed, error) {
	now := time.Now()
	if s.Clock != nil {
		now = s.Clock.Now()
	}
	if err := errors.Join(s.check(now), lock.check()); err != nil {
		return Signed{}, err
	}
	life, err := lifeOf(op, life)
	if err != nil {
		return Signed{}, err
	}
	operation, err := op.wire(now)
	if err != nil {
		return Signed{}, err
	}
	expires := now.Add(life)
	jwt, err := compact(
		jose.SigningKey{Algorithm: jose.EdDSA, Key: *s.Key.private}, map[jose.HeaderKey]any{"x5c": s.Chain.entries},
		claims{s.UserID, lock, now.Unix(), now.Unix(), expires.Unix(), id, operation},
	)
	if err != nil {
		return Signed{}, err
	}
	return Signed{JWT: newJWT(jwt), ID: id, ExpiresAt: time.Unix(expires.Unix(), 0).UTC()}, nil
}

func (s Signer) check(now time.Time) error {
	switch {
	case !s.UserID.Valid():
		return errors.New("the signer's user id is not a UUID: it is the one that came with the certificate")
	case s.Key.IsZero():
		return errNoKey
	case s.Chain.IsZero():
		return errors.New("there is no certificate chain; register the key")
	case !s.Chain.For(s.Key):
		return errors.New("the certificate chain is for another key")
	case !now.Before(s.Chain.notAfter):
		return ErrChainExpired
	case now.Add(chainLeeway).Before(s.Chain.notBefore):
		return errors.New("the certificate chain is not good yet; is the clock right?")
	}
	return nil
}

func lifeOf(op Operation, life time.Duration) (time.Duration, error) {
	switch {
	case op == nil:
		return 0, errors.New("there is no operation")
	case life == 0:
		return Now, nil
	case life < time.Second || life > op.longest():
		return 0, fmt.Errorf("the operation must live between a second and %v", op.longest())
	}
	return life, nil
}

// compact gives the three segments of a signed JWT, all base64url without padding. The order of the header's
// fields is that of their names.
func compact(key jose.SigningKey, extra map[jose.HeaderKey]any, payload any) (string, error) {
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{jose.HeaderType: "JWT"}}
	for name, value := range extra {
		options.ExtraHeaders[name] = value
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		return "", errors.New("the key cannot sign")
	}
	signed, err := signer.Sign(encode(payload))
	if err != nil {
		return "", errors.New("the key cannot sign")
	}
	return signed.CompactSerialize()
}
