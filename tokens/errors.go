package tokens

import (
	"errors"
	"fmt"
)

var (
	// ErrNotConnected says that the account has no connection, one that was disconnected, or one that is
	// not yet completed.
	ErrNotConnected = errors.New("the account is not connected to DoorFlow")
	// ErrNeedsReconnect says that DoorFlow no longer takes the refresh token: somebody has to connect the
	// account again.
	ErrNeedsReconnect = errors.New("the account must be connected to DoorFlow again")
	// ErrUnavailable says that a token could not be refreshed for a reason that may pass.
	ErrUnavailable = errors.New("DoorFlow gives no access token at the moment")
	// ErrMisconfigured comes with ErrUnavailable when DoorFlow refuses the application's own credentials.
	ErrMisconfigured = errors.New("DoorFlow refuses the client id or client secret of this gateway")
	// ErrNotFound says that there is no connection of that account to show or disconnect.
	ErrNotFound = errors.New("there is no connection of this account")
	// ErrFewerScopes refuses a grant that would leave an active connection with less than it has.
	ErrFewerScopes error = fewerScopes{}
	// ErrForeignOrigin refuses to send a token anywhere but to the configured API.
	ErrForeignOrigin = errors.New("a token is only ever sent to the configured DoorFlow API")

	// errSuperseded says that the row is no longer the one a pair was refreshed from.
	errSuperseded = errors.New("the connection has changed meanwhile")
)

type fewerScopes struct{}

func (fewerScopes) Error() string {
	return "the account is connected with more scopes than this grant has; disconnect it first"
}

// FewerScopes lets other packages recognise the error without importing this one.
func (fewerScopes) FewerScopes() bool { return true }

// isRevoked tells whether DoorFlow said invalid_grant.
func isRevoked(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Revoked() bool
	}](err)
	return ok && e.Revoked()
}

// isMisconfigured tells whether DoorFlow refused the client, not the grant.
func isMisconfigured(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Misconfigured() bool
	}](err)
	return ok && e.Misconfigured()
}

// unavailable gives a failed refresh its sentinels.
func unavailable(account string, err error) error {
	if isMisconfigured(err) {
		return fmt.Errorf("refreshing the token of account %s: %w: %w: %w", account, ErrUnavailable, ErrMisconfigured, err)
	}
	return fmt.Errorf("refreshing the token of account %s: %w: %w", account, ErrUnavailable, err)
}
