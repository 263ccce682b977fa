package doordeck

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxPeople is how many people one directory query and one AddUsers take.
const MaxPeople = 25

// Operation is what a lock shall do: AddUser, AddUsers, RemoveUsers or Unlock.
type Operation interface {
	// wire checks the operation and gives its JSON, whose fields stand in the order of Doordeck's examples.
	wire(now time.Time) (any, error)
	// longest is how long it may live.
	longest() time.Duration
}

// AddUser shares a lock with a user, or changes role and times of one who has it. The signer must be an
// administrator of the lock.
type AddUser struct {
	User UserID
	// PublicKey is the directory's, unchanged. It is not an ephemeral key.
	PublicKey string
	// Role is RoleUser if it is empty.
	Role Role
	// Start and End bound the access, to the second. Zero means at once, and for ever.
	Start, End time.Time
}

// AddUsers shares a lock with 1 to 25 users at once. The lock must support BatchSharing.
type AddUsers []AddUser

// RemoveUsers takes a lock away from users. A user may give a lock up without being its administrator.
type RemoveUsers []UserID

// Unlock opens a lock now. The lock shuts by itself.
type Unlock struct{}

func (AddUser) longest() time.Duration     { return MaxWait }
func (AddUsers) longest() time.Duration    { return MaxWait }
func (RemoveUsers) longest() time.Duration { return MaxWait }
func (Unlock) longest() time.Duration      { return MaxNow }

type grant struct {
	User      UserID `json:"user"`
	PublicKey string `json:"publicKey"`
	Role      Role   `json:"role"`
	Start     int64  `json:"start,omitempty"`
	End       int64  `json:"end,omitempty"`
}

func (a AddUser) grant(now time.Time) (grant, error) {
	g := grant{User: a.User, PublicKey: a.PublicKey, Role: a.Role}
	if err := a.User.check(); err != nil {
		return g, err
	}
	der, err := base64.StdEncoding.DecodeString(a.PublicKey)
	if err != nil {
		return g, errors.New("the user's public key is not in standard base64")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if _, ok := key.(*rsa.PublicKey); err != nil || !ok {
		return g, errors.New("the user's public key is not an RSA key: it must be the one from Doordeck's directory")
	}
	switch a.Role {
	case "":
		g.Role = RoleUser
	case RoleUser, RoleAdmin:
	default:
		return g, errors.New("the role must be USER or ADMIN")
	}
	if g.Start, err = seconds("start", a.Start); err != nil {
		return g, err
	}
	if g.End, err = seconds("end", a.End); err != nil {
		return g, err
	}
	if g.End != 0 && (g.End <= g.Start || g.End <= now.Unix()) {
		return g, errors.New("the end must be after the start and in the future")
	}
	return g, nil
}

func seconds(name string, t time.Time) (int64, error) {
	if t.IsZero() {
		return 0, nil
	}
	if s := t.Unix(); s > 0 && s < endOfTime {
		return s, nil
	}
	return 0, fmt.Errorf("the %s must be after 1970 and before the year 10000", name)
}

func (a AddUser) wire(now time.Time) (any, error) {
	g, err := a.grant(now)
	return struct {
		Type string `json:"type"`
		grant
	}{"ADD_USER", g}, err
}

func (a AddUsers) wire(now time.Time) (any, error) {
	if len(a) == 0 || len(a) > MaxPeople {
		return nil, fmt.Errorf("a batch has %d users; it must have 1 to %d", len(a), MaxPeople)
	}
	grants := make([]grant, 0, len(a))
	seen := make(map[string]bool, len(a))
	for i, user := range a {
		g, err := user.grant(now)
		if err != nil {
			return nil, fmt.Errorf("user %d of the batch: %w", i+1, err)
		}
		if id := strings.ToLower(string(g.User)); seen[id] {
			return nil, fmt.Errorf("user %d of the batch is in it twice", i+1)
		} else {
			seen[id] = true
		}
		grants = append(grants, g)
	}
	return struct {
		Type  string  `json:"type"`
		Users []grant `json:"users"`
	}{"BATCH_ADD_USER", grants}, nil
}

func (r RemoveUsers) wire(time.Time) (any, error) {
	if len(r) == 0 {
		return nil, errors.New("there is no user to remove")
	}
	for i, user := range r {
		if err := user.check(); err != nil {
			return nil, fmt.Errorf("user %d: %w", i+1, err)
		}
	}
	return struct {
		Type  string   `json:"type"`
		Users []UserID `json:"users"`
	}{"REMOVE_USER", r}, nil
}

// The field says what the lock shall be afterwards; a table in Doordeck's documentation has it the wrong way
// round.
func (Unlock) wire(time.Time) (any, error) {
	return struct {
		Type   string `json:"type"`
		Locked bool   `json:"locked"`
	}{"MUTATE_LOCK", false}, nil
}
