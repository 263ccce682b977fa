package sharing_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/doordeck"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

func newDoors(t *testing.T) (*replica, *cloud) {
	t.Helper()
	c := newCloud(t, doordecksim.Options{})
	r := newReplica(t, sqldbtest.SQLite(t), keyset(t), c)
	r.make(t)
	_, err := r.Create(t.Context(), sharing.IdentityRequest{Name: "ben", Subject: doordecksim.AdminBen, Email: "ben@example.test", EmailVerified: true})
	must(t, err)
	_, err = r.Create(t.Context(), sharing.IdentityRequest{Name: "dora", Subject: doordecksim.VisitorDora, Email: "dora@example.test", EmailVerified: true})
	must(t, err)
	return r, c
}

func TestDoors(t *testing.T) {
	r, c := newDoors(t)
	for limit, pages := range map[int]int{2: 3, 5: 1, 100: 1} {
		var ids []doordeck.LockID
		after, n := "", 0
		for {
			page, next, err := r.Doors(t.Context(), "acme", "", after, limit)
			must(t, err)
			for _, d := range page {
				if d.Connected == nil || d.Role != doordeck.RoleAdmin || *d.Connected == (d.ID == doordecksim.LockBoat) || d.BatchSharing == (d.ID == doordecksim.LockArchive || d.ID == doordecksim.LockLoading) {
					t.Errorf("%+v", d)
				}
				ids = append(ids, d.ID)
			}
			n++
			if after = next; next == "" {
				break
			}
		}
		// By name.
		want := []doordeck.LockID{doordecksim.LockArchive, doordecksim.LockBoat, doordecksim.LockFront, doordecksim.LockLift, doordecksim.LockLoading}
		if !slices.Equal(ids, want) || n != pages {
			t.Errorf("%d pages of %q", n, ids)
		}
	}
	if page, _, err := r.Doors(t.Context(), "ben", "", "", 100); err != nil || len(page) != 2 {
		t.Errorf("%+v, %v", page, err)
	}
	if page, next, err := r.Doors(t.Context(), "acme", "DO", "", 100); err != nil || next != "" || len(page) != 1 || page[0].ID != doordecksim.LockFront {
		t.Errorf("searching for DO finds %+v, %v", page, err)
	}
	if n := c.Stats().MaxInFlight[doordecksim.RouteLock]; n > 8 {
		t.Errorf("%d at once", n)
	}
	if _, _, err := r.Doors(t.Context(), "acme", "", "!", 100); err == nil {
		t.Error("any cursor will do")
	}
}

func TestADoorAndItsUsers(t *testing.T) {
	r, _ := newDoors(t)
	if name := r.DoorName(t.Context(), "acme", doordecksim.LockBoat); name != "" {
		t.Errorf("%q is known before anybody asked", name)
	}
	defer func() {
		for identity, want := range map[string]string{"acme": "Boat Shed", "ben": ""} { // each knows what it saw itself
			if name := r.DoorName(t.Context(), identity, strings.ToUpper(doordecksim.LockBoat)); name != want {
				t.Errorf("%s knows the door as %q", identity, name)
			}
		}
	}()
	door, err := r.Door(t.Context(), "acme", doordecksim.LockBoat)
	if err != nil || door.Name != "Boat Shed" || *door.Connected {
		t.Errorf("%+v, %v", door, err)
	}
	var emails []string
	for after := ""; ; {
		page, next, err := r.DoorUsers(t.Context(), "acme", doordecksim.LockFront, after, 2)
		must(t, err)
		for _, u := range page {
			emails = append(emails, u.Email)
		}
		if after = next; next == "" {
			break
		}
	}
	if slices.Sort(emails); !slices.Equal(emails, []string{"ada@example.test", "ben@example.test", "dora@example.test"}) {
		t.Errorf("%q", emails)
	}
	for name, row := range map[string]struct {
		identity string
		lock     doordeck.LockID
		door     error
		users    error
	}{
		"no such door":     {"acme", "5e3c0f10-0001-4f00-8000-0000000000ff", sharing.ErrNoDoor, sharing.ErrNoDoor},
		"not an id":        {"acme", "../../auth", sharing.ErrNoDoor, sharing.ErrNoDoor},
		"another's":        {"ben", doordecksim.LockArchive, sharing.ErrNoDoor, sharing.ErrNoDoor},
		"a user's":         {"dora", doordecksim.LockFront, nil, sharing.ErrNotDoorAdmin},
		"no such identity": {"nobody", doordecksim.LockFront, sharing.ErrNoIdentity, sharing.ErrNoIdentity},
	} {
		_, err := r.Door(t.Context(), row.identity, row.lock)
		if !errors.Is(err, row.door) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err = r.DoorUsers(t.Context(), row.identity, row.lock, "", 10); !errors.Is(err, row.users) {
			t.Errorf("%s: users: %v", name, err)
		}
	}
}

func TestDoorsWhileDoordeckIsAway(t *testing.T) {
	r, c := newDoors(t)
	for status, want := range map[int]error{503: sharing.ErrDoordeckAway, 429: sharing.ErrDoordeckBusy, 400: sharing.ErrDoordeckRefuses} {
		for _, route := range []string{doordecksim.RouteShareable, doordecksim.RouteLock} {
			c.Faults().Fail(route, -1, status)
			if _, _, err := r.Doors(t.Context(), "acme", "", "", 10); !errors.Is(err, want) {
				t.Errorf("%d: %v", status, err)
			}
			c.Faults().Reset()
		}
	}
}

// What a door is called outlives a restart, follows what it is called now, and goes with the identity.
func TestDoorNamesAreKept(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c, keys := newCloud(t, doordecksim.Options{}), keyset(t)
		called := "Front Door"
		answered(t, c, "/device/"+front, func(_, answer string) (int, string) {
			return 200, strings.ReplaceAll(answer, "Front Door", called)
		})
		first := newDesk(t, db, keys, c)
		for _, want := range []string{"Front Door", "East Gate"} {
			called = want
			door, err := first.Door(t.Context(), "acme", front)
			must(t, err)
			if got := newDesk(t, db, keys, c).DoorName(t.Context(), "acme", front); got != want || door.Name != want {
				t.Errorf("after a restart %q, which is called %q, is called %q", want, door.Name, got)
			}
		}
		must(t, first.Delete(t.Context(), "acme"))
		if got := first.DoorName(t.Context(), "acme", front); got != "" {
			t.Errorf("with the identity gone it is called %q", got)
		}
		var kept int
		must(t, db.Get(t.Context(), &kept, `SELECT COUNT(*) FROM door_names`))
		if kept != 0 {
			t.Errorf("%d names are kept", kept)
		}
	})
}
