package sharing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/doordeck"
)

// tokenLife is how long an auth token lives. Each session has a fresh one.
const tokenLife = 5 * time.Minute

// Session is an identity that may act now. It is for one operation and not to be kept: its token lives for five
// minutes. Nothing secret is printed with it.
type Session struct {
	// Identity is its name.
	Identity string
	// User is its id at Doordeck.
	User doordeck.UserID
	// Token is its auth token, for the calls of Identities.Client.
	Token doordeck.Token
	// Until is when its certificate chain ends, in Doordeck's time. A door that gets an operation later may
	// refuse it.
	Until time.Time

	signer doordeck.Signer
}

// Sign signs an operation for a lock that lives for so long; 0 means doordeck.Now. Errors are those of
// doordeck.Signer.
func (s Session) Sign(lock doordeck.LockID, op doordeck.Operation, life time.Duration) (doordeck.Signed, error) {
	return s.signer.Sign(lock, op, life)
}

// clockFor bounds how long setting the clock may hold an operation up. Without it the clock goes on as it was.
const clockFor = 5 * time.Second

// Session lets an identity act. Its chain is renewed first if it has ended. Errors: ErrNoIdentity;
// *NotReadyError, when nothing may be signed as it.
func (i *Identities) Session(ctx context.Context, name string) (Session, error) {
	r, err := i.read(ctx, name)
	if err != nil {
		return Session{}, err
	}
	i.setClock(ctx)
	if !r.serves(i.clock.Now()) {
		if r, err = i.revive(ctx, r); err != nil {
			return Session{}, err
		}
	}
	key, err := i.openKey(&r, serving)
	if err != nil {
		return Session{}, fmt.Errorf("acting as identity %s: %w", name, err)
	}
	chain, err := r.parsedChain()
	if err != nil {
		return Session{}, fmt.Errorf("acting as identity %s: %w", name, err)
	}
	token, err := i.issuer.Token(r.person(), tokenLife)
	if err != nil {
		return Session{}, fmt.Errorf("acting as identity %s: %w", name, err)
	}
	user := doordeck.UserID(r.UserID)
	return Session{
		Identity: name, User: user, Token: token, Until: chain.NotAfter(),
		signer: doordeck.Signer{UserID: user, Key: key, Chain: chain, Clock: i.clock},
	}, nil
}

// Client is the client that sessions' tokens are for.
func (i *Identities) Client() *doordeck.Client { return i.client }

// Clock tells Doordeck's time, by which operations are signed. Set it when a signature is refused for its time.
func (i *Identities) Clock() *doordeck.Clock { return i.clock }

func (i *Identities) setClock(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clockFor)
	defer cancel()
	if err := i.clock.Check(ctx); err != nil && ctx.Err() == nil {
		i.log.Debug("Doordeck's clock could not be read", "error", err)
	}
}

// Provision makes a user at Doordeck for somebody whom the directory does not know, by a call that is signed as
// that person. What p says to be verified must have been proven. Errors: ErrReserved, for the subject or an
// address of an identity; *doordeck.Error.
func (i *Identities) Provision(ctx context.Context, p doordeck.Person) error {
	taken, err := i.claimed(ctx, p)
	if err != nil {
		return err
	}
	if taken {
		return ErrReserved
	}
	return i.call(ctx, p, func(ctx context.Context, token doordeck.Token) error {
		_, err := i.client.ShareableLocks(ctx, token) // any call would do; this one changes nothing
		return err
	})
}

// callFor bounds one call that concerns an identity itself.
const callFor = 15 * time.Second

// call asks Doordeck as somebody. When the token is refused, which a wrong clock can be the reason for, it sets
// the clock and asks once more: a call with a refused token has had no effect.
func (i *Identities) call(ctx context.Context, p doordeck.Person, ask func(context.Context, doordeck.Token) error) error {
	i.setClock(ctx)
	once := func() error {
		token, err := i.issuer.Token(p, tokenLife)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, callFor)
		defer cancel()
		return ask(ctx, token)
	}
	err := once()
	if refused, ok := errors.AsType[*doordeck.Error](err); !ok || refused.Class != doordeck.Unauthorized {
		return err
	}
	setting, cancel := context.WithTimeout(ctx, clockFor)
	defer cancel()
	if i.clock.Set(setting) != nil {
		return err
	}
	return once()
}
