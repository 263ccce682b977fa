package doordeck

import (
	"context"
	"net/http"
	"time"
)

// User is someone who has a lock.
type User struct {
	ID          UserID
	PublicKey   string // goes into a share as it is
	Email       string // empty where Doordeck knows none
	DisplayName string
	// Orphan tells that the user has no account of their own yet, Foreign that they belong to an application.
	Orphan, Foreign bool
}

// LockUser is a user of one lock.
type LockUser struct {
	User
	Role       Role
	Start, End time.Time // zero means at once and for ever
}

// UserLock is one lock of a user.
type UserLock struct {
	Lock       LockID
	Role       Role
	Start, End time.Time // zero means at once and for ever
}

// user is as Doordeck answers.
type user struct {
	UserID      UserID         `json:"userId"`
	Email       string         `json:"email"`
	PublicKey   string         `json:"publicKey"`
	DisplayName string         `json:"displayName"`
	Orphan      bool           `json:"orphan"`
	Foreign     bool           `json:"foreign"`
	Role        Role           `json:"role"`    // in a lock's list
	Devices     list[userLock] `json:"devices"` // of a single user
	Start       epoch          `json:"start"`
	End         epoch          `json:"end"`
}

type userLock struct {
	DeviceID LockID `json:"deviceId"`
	Role     Role   `json:"role"`
	Start    epoch  `json:"start"`
	End      epoch  `json:"end"`
}

func (u user) user() User {
	return User{
		ID: u.UserID, PublicKey: u.PublicKey, Email: u.Email, DisplayName: u.DisplayName, Orphan: u.Orphan, Foreign: u.Foreign,
	}
}

// LockUsers lists who has a lock. Only its administrators may ask.
func (c *Client) LockUsers(ctx context.Context, token Token, id LockID) ([]LockUser, error) {
	if err := id.check(); err != nil {
		return nil, err
	}
	var answer list[user]
	if err := c.list(ctx, token, "/device/"+string(id)+"/users", &answer); err != nil {
		return nil, err
	}
	users := make([]LockUser, 0, len(answer))
	for _, u := range answer {
		if u.UserID.Valid() {
			users = append(users, LockUser{User: u.user(), Role: u.Role, Start: u.Start.Time, End: u.End.Time})
		}
	}
	return users, nil
}

// User gets someone who has a lock of the token's user, and which of those locks they have.
func (c *Client) User(ctx context.Context, token Token, id UserID) (User, []UserLock, error) {
	if err := id.check(); err != nil {
		return User{}, nil, err
	}
	var answer user
	if err := c.get(ctx, token, "/user/"+string(id), version1, &answer); err != nil {
		return User{}, nil, err
	}
	if !same(answer.UserID, id) {
		return User{}, nil, misread(http.StatusOK, "the answer is about another user")
	}
	locks := make([]UserLock, 0, len(answer.Devices))
	for _, l := range answer.Devices {
		if l.DeviceID.Valid() {
			locks = append(locks, UserLock{Lock: l.DeviceID, Role: l.Role, Start: l.Start.Time, End: l.End.Time})
		}
	}
	return answer.user(), locks, nil
}
