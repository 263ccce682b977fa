package doordeck

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"
)

// By is what the directory is asked by.
type By string

// What the directory knows people by. It sees only users of the token's own application, and an address only
// if their OpenID token said that it is verified.
const (
	ByEmail      By = "email"
	ByTelephone  By = "telephone"  // E.164: +442034341020
	ByLocalKey   By = "localKey"   // the Doordeck user id
	ByForeignKey By = "foreignKey" // the OpenID subject
	// ByIdentity takes an OpenID token encrypted to the application's own key (a JWE) and makes the user if
	// there is none. Find only.
	ByIdentity By = "identity"
)

const (
	maxValue    = 1024      // bytes of what is asked for; a foreign key may be as long
	maxIdentity = 16 << 10  // bytes of an encrypted identity
	maxLookup   = MaxPeople // Doordeck's limit for one query
)

// Entry is what the directory tells about a user: enough to share a lock with them.
type Entry struct {
	ID UserID
	// PublicKey goes into a share as it is.
	PublicKey string
	// Asked is the value by which the directory found them; empty where it does not repeat it.
	Asked string
}

// entry is as the directory answers. A telephone comes back under either name; documentation shows none.
type entry struct {
	ID         UserID `json:"id"`
	PublicKey  string `json:"publicKey"`
	Email      string `json:"email"`
	ForeignKey string `json:"foreignKey"`
	Phone      string `json:"phone"`
	Telephone  string `json:"telephone"`
}

func (e entry) entry(by By) Entry {
	found := Entry{ID: e.ID, PublicKey: e.PublicKey}
	switch by {
	case ByEmail:
		found.Asked = e.Email
	case ByTelephone:
		if found.Asked = e.Phone; found.Asked == "" {
			found.Asked = e.Telephone
		}
	case ByLocalKey:
		found.Asked = string(e.ID)
	case ByForeignKey:
		found.Asked = e.ForeignKey
	}
	return found
}

func (by By) check(value string) error {
	limit := maxValue
	switch by {
	case ByIdentity:
		limit = maxIdentity
	case ByLocalKey:
		if err := UserID(value).check(); err != nil {
			return err
		}
	case ByEmail, ByTelephone, ByForeignKey:
	default:
		return errors.New("the directory cannot be asked by that")
	}
	if value == "" || len(value) > limit || !utf8.ValidString(value) {
		return fmt.Errorf("%s must be UTF-8 of 1 to %d bytes", by, limit)
	}
	return nil
}

// Find looks one person up. Someone the directory does not know is NotFound.
func (c *Client) Find(ctx context.Context, token Token, by By, value string) (Entry, error) {
	if err := by.check(value); err != nil {
		return Entry{}, err
	}
	var secrets []string
	if by == ByIdentity {
		secrets = []string{value}
	}
	var answer entry
	if err := c.post(ctx, token, "/directory/query", version1, map[By]string{by: value}, &answer, secrets...); err != nil {
		return Entry{}, err
	}
	if !answer.ID.Valid() || answer.PublicKey == "" || (by == ByLocalKey && !same(answer.ID, UserID(value))) {
		return Entry{}, misread(http.StatusOK, "the answer has no user")
	}
	found := answer.entry(by)
	found.Asked = value
	return found, nil
}

// FindAll looks many people up, 25 in one query, and returns those found by the value asked for; whom the
// directory does not know is left out. Nobody is returned who was not asked for. When the directory does not
// repeat by what it found somebody, those still missing are looked up one by one. An error ends it.
func (c *Client) FindAll(ctx context.Context, token Token, by By, values []string) (map[string]Entry, error) {
	if by == ByIdentity {
		return nil, errors.New("the directory takes one identity at a time")
	}
	asked := make([]string, 0, len(values))
	seen := make(map[string]bool, len(values))
	for _, value := range values {
		if err := by.check(value); err != nil {
			return nil, err
		}
		if !seen[value] {
			seen[value] = true
			asked = append(asked, value)
		}
	}
	found := make(map[string]Entry, len(asked))
	for len(asked) > 0 {
		n := min(maxLookup, len(asked))
		if err := c.findSome(ctx, token, by, asked[:n], found); err != nil {
			return nil, err
		}
		asked = asked[n:]
	}
	return found, nil
}

func unknown(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Class == NotFound
}

// findSome makes one query and puts those found into a map.
func (c *Client) findSome(ctx context.Context, token Token, by By, asked []string, found map[string]Entry) error {
	var answer list[entry]
	err := c.post(ctx, token, "/directory/query", version2, map[By][]string{by: asked}, &answer)
	if err != nil && !unknown(err) {
		return err
	}
	index, unnamed, err := indexed(by, answer)
	if err != nil {
		return err
	}
	for _, value := range asked {
		if entry, ok := index.find(by, value); ok {
			entry.Asked = value
			found[value] = entry
			continue
		}
		if !unnamed {
			continue
		}
		entry, err := c.Find(ctx, token, by, value)
		if unknown(err) {
			continue
		}
		if err != nil {
			return err
		}
		found[value] = entry
	}
	return nil
}
