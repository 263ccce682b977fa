package doordeck

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Role is what a user may do with a lock. Doordeck may know more roles than these.
type Role string

const (
	// RoleUser opens the lock.
	RoleUser Role = "USER"
	// RoleAdmin also shares it and changes its settings.
	RoleAdmin Role = "ADMIN"
)

// BatchSharing is the capability of a lock that AddUsers needs.
const BatchSharing = "BATCH_SHARING_25"

// NamedLock is a lock as it stands in a list.
type NamedLock struct {
	ID   LockID `json:"id"`
	Name string `json:"name"`
}

// Lock is a lock as the token's user sees it.
type Lock struct {
	ID   LockID
	Name string
	Role Role
	// Start and End bound the user's own access; zero means at once and for ever.
	Start, End time.Time
	// Connected tells whether the lock is online. A lock that does not say counts as online: trying tells.
	Connected bool
	// Capabilities as Doordeck names them, each SUPPORTED or not; see Supports.
	Capabilities map[string]string
}

// Supports tells whether the lock has a capability: it is not enough that its name is there.
func (l Lock) Supports(capability string) bool { return l.Capabilities[capability] == "SUPPORTED" }

// ShareableLocks lists the locks that the token's user is an administrator of.
func (c *Client) ShareableLocks(ctx context.Context, token Token) ([]NamedLock, error) {
	var answer list[NamedLock]
	if err := c.list(ctx, token, "/device/shareable", &answer); err != nil {
		return nil, err
	}
	locks := make([]NamedLock, 0, len(answer))
	for _, lock := range answer {
		if lock.ID.Valid() {
			locks = append(locks, lock)
		}
	}
	return locks, nil
}

// Lock gets one lock. One that the token's user has no access to is NotFound.
func (c *Client) Lock(ctx context.Context, token Token, id LockID) (Lock, error) {
	if err := id.check(); err != nil {
		return Lock{}, err
	}
	var answer struct {
		NamedLock
		Role     Role  `json:"role"`
		Start    epoch `json:"start"`
		End      epoch `json:"end"`
		Settings struct {
			Capabilities capabilities `json:"capabilities"`
		} `json:"settings"`
		State struct {
			Connected *bool `json:"connected"`
		} `json:"state"`
	}
	if err := c.get(ctx, token, "/device/"+string(id), version3, &answer); err != nil {
		return Lock{}, err
	}
	if !same(answer.ID, id) {
		return Lock{}, misread(http.StatusOK, "the answer is about another lock")
	}
	return Lock{
		ID: answer.ID, Name: answer.Name, Role: answer.Role, Start: answer.Start.Time, End: answer.End.Time,
		Connected:    answer.State.Connected == nil || *answer.State.Connected,
		Capabilities: answer.Settings.Capabilities,
	}, nil
}

// capabilities takes any names and leaves out values that are not texts: Doordeck adds new ones.
type capabilities map[string]string

func (c *capabilities) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*c = make(capabilities, len(raw))
	for name, value := range raw {
		var text string
		if json.Unmarshal(value, &text) == nil {
			(*c)[name] = text
		}
	}
	return nil
}
