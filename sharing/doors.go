package sharing

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/doordeck"
	"gatehouse/internal/invalid"
)

const (
	// doorsFor bounds an answer about doors, and doorsAtOnce how many are asked for at a time.
	doorsFor    = 30 * time.Second
	doorsAtOnce = 8
)

// Door is a lock that an identity may share.
type Door struct {
	ID   doordeck.LockID `json:"id"`
	Name string          `json:"name"`
	// Connected tells whether the lock is online; absent where it could not be learned.
	Connected *bool `json:"connected,omitempty"`
	// Role is what the identity is to the lock, USER or ADMIN, from Start until End.
	Role  doordeck.Role `json:"role,omitempty"`
	Start time.Time     `json:"start,omitzero"`
	End   time.Time     `json:"end,omitzero"`
	// BatchSharing tells whether up to 25 people can be given the lock in one operation.
	BatchSharing bool `json:"batch_sharing"`
	// Capabilities as Doordeck names them, each SUPPORTED or not.
	Capabilities map[string]string `json:"capabilities,omitempty"`
}

// DoorUser is somebody who has a lock.
type DoorUser struct {
	User        doordeck.UserID `json:"user"`
	Email       string          `json:"email,omitempty"`
	DisplayName string          `json:"display_name,omitempty"`
	Role        doordeck.Role   `json:"role"`
	Start       time.Time       `json:"start,omitzero"`
	End         time.Time       `json:"end,omitzero"`
}

func shownDoor(l doordeck.Lock) Door {
	return Door{
		ID: l.ID, Name: l.Name, Connected: &l.Connected, Role: l.Role, Start: l.Start, End: l.End,
		BatchSharing: l.Supports(doordeck.BatchSharing), Capabilities: l.Capabilities,
	}
}

// ask calls Doordeck as an identity. That needs no key: who may see a door depends on the token alone.
func (i *Identities) ask(ctx context.Context, name string, call func(context.Context, doordeck.Token) error) error {
	r, err := i.read(ctx, name)
	if err != nil {
		return err
	}
	return i.call(ctx, r.person(), call)
}

// Doors returns a page of the locks that an identity may share, by name, and the cursor of the next page, "" at
// the end. With search only those whose name has it in it, in capitals or not. Errors: ErrNoIdentity,
// ErrDoordeckRefuses, *AwayError, *invalid.Error.
func (i *Identities) Doors(ctx context.Context, name, search, after string, limit int) (page []Door, more string, err error) {
	ctx, cancel := context.WithTimeout(ctx, doorsFor)
	defer cancel()
	var locks []doordeck.NamedLock
	err = i.ask(ctx, name, func(ctx context.Context, token doordeck.Token) (err error) {
		locks, err = i.client.ShareableLocks(ctx, token)
		return err
	})
	if err != nil {
		return nil, "", doorError(ctx, err)
	}
	if search != "" {
		wanted := strings.ToLower(search)
		locks = slices.DeleteFunc(locks, func(l doordeck.NamedLock) bool { return !strings.Contains(strings.ToLower(l.Name), wanted) })
	}
	locks, more, err = paged(locks, after, limit, func(l doordeck.NamedLock) string { return l.Name + "\x00" + string(l.ID) })
	if err != nil {
		return nil, "", err
	}
	page = make([]Door, len(locks))
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(doorsAtOnce)
	for n, l := range locks {
		group.Go(func() (err error) {
			if page[n], err = i.door(asking, name, l.ID); errors.Is(err, ErrNoDoor) {
				page[n], err = Door{ID: l.ID, Name: l.Name}, nil // it was taken away this moment
			}
			return err
		})
	}
	return page, more, group.Wait()
}

// Door returns one lock of an identity. Errors: ErrNoIdentity, ErrNoDoor, ErrDoordeckRefuses, *AwayError.
func (i *Identities) Door(ctx context.Context, name string, id doordeck.LockID) (Door, error) {
	ctx, cancel := context.WithTimeout(ctx, doorsFor)
	defer cancel()
	return i.door(ctx, name, id)
}

func (i *Identities) door(ctx context.Context, name string, id doordeck.LockID) (Door, error) {
	if !id.Valid() {
		return Door{}, ErrNoDoor
	}
	var lock doordeck.Lock
	err := i.ask(ctx, name, func(ctx context.Context, token doordeck.Token) (err error) {
		lock, err = i.client.Lock(ctx, token, id)
		return err
	})
	seen := lane{name, strings.ToLower(string(id))}
	if isForbidden(err) {
		i.sawDoor(ctx, seen, "")
		return Door{}, ErrNoDoor
	}
	if err != nil {
		return Door{}, doorError(ctx, err)
	}
	i.sawDoor(ctx, seen, lock.Name)
	return shownDoor(lock), nil
}

// DoorUsers returns a page of those who have a lock, by their ids, and the cursor of the next page, "" at the end.
// Errors: those of Door; ErrNotDoorAdmin, *invalid.Error.
func (i *Identities) DoorUsers(ctx context.Context, name string, id doordeck.LockID, after string, limit int) (page []DoorUser, more string, err error) {
	ctx, cancel := context.WithTimeout(ctx, doorsFor)
	defer cancel()
	if !id.Valid() {
		return nil, "", ErrNoDoor
	}
	var users []doordeck.LockUser
	err = i.ask(ctx, name, func(ctx context.Context, token doordeck.Token) (err error) {
		users, err = i.client.LockUsers(ctx, token, id)
		return err
	})
	if isForbidden(err) {
		// Who has no access at all may be answered the same, and should not learn that the lock exists.
		if _, err = i.door(ctx, name, id); err == nil {
			err = ErrNotDoorAdmin
		}
		return nil, "", err
	}
	if err != nil {
		return nil, "", doorError(ctx, err)
	}
	users, more, err = paged(users, after, limit, func(u doordeck.LockUser) string { return string(u.ID) })
	page = make([]DoorUser, len(users))
	for n, u := range users {
		page[n] = DoorUser{User: u.ID, Email: u.Email, DisplayName: u.DisplayName, Role: u.Role, Start: u.Start, End: u.End}
	}
	return page, more, err
}

func isForbidden(err error) bool {
	answer, ok := errors.AsType[*doordeck.Error](err)
	return ok && answer.Class == doordeck.Forbidden
}

// doorError says in this package's words why Doordeck did not answer about a door.
func doorError(ctx context.Context, err error) error {
	answer, ok := errors.AsType[*doordeck.Error](err)
	switch {
	case !ok, errors.Is(context.Cause(ctx), context.Canceled):
		return err
	case answer.Class == doordeck.NotFound:
		return ErrNoDoor
	case answer.Class.Retryable():
		return &AwayError{Wait: max(answer.RetryAfter, awayFirst), TooMany: answer.Class == doordeck.TooMany, cause: err}
	}
	return fmt.Errorf("%w: %w", ErrDoordeckRefuses, err)
}

// paged cuts a page out of a list that is known whole, in the order of its keys. The cursor is the key of the last.
func paged[T any](all []T, after string, limit int, key func(T) string) (page []T, more string, err error) {
	last, err := base64.RawURLEncoding.DecodeString(after)
	if err != nil {
		return nil, "", invalid.Field("after", "is not a cursor that this list gave out")
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if after != "" {
		from, found := slices.BinarySearchFunc(all, string(last), func(t T, k string) int { return strings.Compare(key(t), k) })
		if found {
			from++
		}
		all = all[from:]
	}
	if len(all) > limit {
		all = all[:limit]
		more = base64.RawURLEncoding.EncodeToString([]byte(key(all[limit-1])))
	}
	return all, more, nil
}
