package doordeck

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// UserID is Doordeck's id of a user, a UUID. It is not the OpenID subject, by which the directory knows the
// user as foreign key.
type UserID string

// LockID is Doordeck's id of a lock, a UUID. Doordeck's paths call a lock a device.
type LockID string

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Valid tells whether the id is a UUID. Every method checks it: ids become parts of paths.
func (id UserID) Valid() bool { return uuid.MatchString(string(id)) }

// Valid tells whether the id is a UUID. Every method checks it: ids become parts of paths.
func (id LockID) Valid() bool { return uuid.MatchString(string(id)) }

func (id UserID) check() error {
	if !id.Valid() {
		return errors.New("the user id is not a UUID")
	}
	return nil
}

func (id LockID) check() error {
	if !id.Valid() {
		return errors.New("the lock id is not a UUID")
	}
	return nil
}

// same compares ids as Doordeck does, whatever the case of their letters.
func same[ID ~string](a, b ID) bool { return strings.EqualFold(string(a), string(b)) }

// newID makes a random UUID (version 4, RFC 9562).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails: it ends the program instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
