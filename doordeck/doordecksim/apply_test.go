package doordecksim_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

func audited(c *cloud, lock string) (types []string) {
	for _, a := range c.Audit(lock) {
		name := a.Type
		if a.Rejected {
			name += " rejected " + a.RejectionReason
		}
		types = append(types, name)
	}
	return types
}

func TestSharesAreUpserts(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	share := func(changes ...any) {
		t.Helper()
		wantStatus(t, ada.do(doordecksim.LockLoading, with(c.add(doordecksim.VisitorAna), changes...)), 204)
	}
	share()
	if got := c.role(doordecksim.LockLoading, doordecksim.VisitorAna); got != doordecksim.RoleUser {
		t.Errorf("without a role Ana is %q", got)
	}
	share("role", "ADMIN", "start", at(-time.Hour), "end", at(time.Hour))
	share("role", "ADMIN", "start", nil, "end", nil)
	if got := c.Users(doordecksim.LockLoading)[2]; got.Role != doordecksim.RoleAdmin || !got.Start.IsZero() || !got.End.IsZero() {
		t.Errorf("Ana has %+v", got)
	}
	share("role", "USER", "surprise", true)
	wantStatus(t, ada.do(doordecksim.LockLoading, remove(c.id(doordecksim.VisitorAna), c.id(doordecksim.VisitorDora))), 200)
	wantStatus(t, ada.do(doordecksim.LockLoading, remove(c.id(doordecksim.VisitorAna))), 200)
	want := "LOCK_SHARED USER_PROMOTED LOCK_SHARED USER_DEMOTED LOCK_REVOKED"
	if got := strings.Join(audited(c, doordecksim.LockLoading), " "); got != want {
		t.Errorf("audit %s, want %s", got, want)
	}
}

func TestABatchIsAllOrNothing(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	var entries []object
	for n := range 25 {
		u, err := c.AddUser(doordecksim.User{Subject: fmt.Sprint("guest-", n), Email: "guest@example.test"})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, object{"user": u.ID, "publicKey": u.PublicKey, "role": "USER", "end": at(time.Hour)})
	}
	bad := append(append([]object{}, entries[:24]...), with(entries[24], "publicKey", entries[0]["publicKey"]))
	wantStatus(t, ada.do(doordecksim.LockFront, batch(bad...)), 400)
	if got := len(c.Users(doordecksim.LockFront)); got != 3 {
		t.Fatalf("%d users after a batch that failed", got)
	}
	wantStatus(t, ada.do(doordecksim.LockFront, batch(entries...)), 204)
	if got := len(c.Users(doordecksim.LockFront)); got != 28 {
		t.Errorf("%d users", got)
	}
	if e := c.last(); len(e.Targets) != 25 || e.Operation != "BATCH_ADD_USER" || e.Order != 1 {
		t.Errorf("ledger %+v", e)
	}
}

func TestUnlockAndRelock(t *testing.T) {
	c := newCloud(t)
	dora := c.identity(doordecksim.VisitorDora)
	a := dora.do(doordecksim.LockFront, with(unlock(), "duration", 99))
	wantStatus(t, a, 200)
	if string(a.body) != "{}\n" || !c.Open(doordecksim.LockFront) {
		t.Errorf("body %q, open %t", a.body, c.Open(doordecksim.LockFront))
	}
	c.Advance(7 * time.Second)
	if c.Open(doordecksim.LockFront) {
		t.Error("it is still open")
	}
	ada := c.identity(doordecksim.AdminAda)
	wantStatus(t, ada.do(doordecksim.LockFront, object{"type": "MUTATE_SETTING", "unlockDuration": 20}), 200)
	wantStatus(t, dora.do(doordecksim.LockFront, unlock()), 200)
	c.Advance(19 * time.Second)
	if !c.Open(doordecksim.LockFront) {
		t.Error("it has shut too early")
	}
	wantStatus(t, dora.do(doordecksim.LockFront, object{"type": "MUTATE_LOCK", "locked": true}), 200)
	if c.Open(doordecksim.LockFront) || c.Unlocks(doordecksim.LockFront) != 2 {
		t.Errorf("open %t after %d unlocks", c.Open(doordecksim.LockFront), c.Unlocks(doordecksim.LockFront))
	}
	c.Advance(time.Minute)
	want := "DOOR_UNLOCK DOOR_LOCK SETTING_CHANGED DOOR_UNLOCK DOOR_LOCK"
	if got := strings.Join(audited(c, doordecksim.LockFront), " "); got != want {
		t.Errorf("audit %s, want %s", got, want)
	}
}

func TestSettings(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	settings := func() map[string]any {
		t.Helper()
		return c.api(ada.token, "GET", "/device/"+doordecksim.LockFront, "", "Accept", v3).object(t)["settings"].(map[string]any)
	}
	hours := object{"start": "09:00", "end": "17:30", "timezone": "Europe/London", "days": []string{"MONDAY"}, "exceptions": []string{}}
	set := func(operation object) {
		t.Helper()
		wantStatus(t, ada.do(doordecksim.LockFront, with(operation, "type", "MUTATE_SETTING")), 200)
	}
	set(object{"unlockBetween": hours, "unlockDuration": nil})
	if got := settings(); got["unlockBetweenWindow"].(map[string]any)["end"] != "17:30" || got["unlockTime"] != 7.0 {
		t.Errorf("settings %v", got)
	}
	set(object{"unlockDuration": 2.5})
	if got := settings(); got["unlockBetweenWindow"] == nil || got["unlockTime"] != 2.5 {
		t.Errorf("settings %v", got)
	}
	set(object{"unlockBetween": nil})
	if got := settings(); got["unlockBetweenWindow"] != nil {
		t.Errorf("settings %v", got)
	}
}

func TestGivingALockUp(t *testing.T) {
	c := newCloud(t)
	dora := c.identity(doordecksim.VisitorDora)
	wantStatus(t, dora.do(doordecksim.LockFront, remove(strings.ToUpper(dora.id))), 200)
	wantStatus(t, dora.do(doordecksim.LockFront, unlock()), 404)
}

func TestTheLastAdministrator(t *testing.T) {
	for _, keep := range []bool{false, true} {
		c := newCloud(t, func(o *doordecksim.Options) { o.KeepLastAdmin = keep })
		ada := c.identity(doordecksim.AdminAda)
		demote := with(c.add(doordecksim.AdminAda), "role", "USER")
		if !keep {
			wantStatus(t, ada.do(doordecksim.LockArchive, demote), 204)
			continue
		}
		wantStatus(t, ada.do(doordecksim.LockArchive, demote), 409)
		wantStatus(t, ada.do(doordecksim.LockArchive, remove(ada.id)), 409)
		if c.last().Step != 16 {
			t.Errorf("refused by %d", c.last().Step)
		}
		wantStatus(t, ada.do(doordecksim.LockFront, remove(ada.id)), 200) // Ben is left
		wantStatus(t, ada.do(doordecksim.LockArchive, with(c.add(doordecksim.AdminBen), "role", "ADMIN")), 204)
		wantStatus(t, ada.do(doordecksim.LockArchive, remove(ada.id)), 200)
	}
}

func TestTheMinute(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	for name, test := range map[string]struct {
		exp  time.Duration
		want int
	}{"a minute": {time.Minute, 204}, "a second more": {61 * time.Second, 202}, "14 days": {14 * 24 * time.Hour, 202}} {
		if a := ada.do(doordecksim.LockFront, c.add(doordecksim.VisitorAna), ada.later(test.exp)...); a.status != test.want {
			t.Errorf("%s: %d, want %d", name, a.status, test.want)
		} else if len(a.body) != 0 {
			t.Errorf("%s: body %q", name, a.body)
		}
	}
	wantStatus(t, ada.do(doordecksim.LockFront, unlock(), ada.later(90*time.Second)...), 202) // within the leeway
	if got := c.Unlocks(doordecksim.LockFront); got != 1 {
		t.Errorf("%d unlocks", got)
	}
	queueing := newCloud(t, func(o *doordecksim.Options) { o.QueueUnlocks = true })
	ada = queueing.identity(doordecksim.AdminAda)
	wantStatus(t, ada.do(doordecksim.LockBoat, unlock(), ada.later(time.Hour)...), 202)
}

func TestStrict(t *testing.T) {
	c := newCloud(t, func(o *doordecksim.Options) { o.Strict = true })
	ada := c.identity(doordecksim.AdminAda)
	jwt := compact(t, ada.key, ada.header(), ada.claims(doordecksim.LockFront, unlock()))
	wantStatus(t, c.api(ada.token, "POST", "/device/"+doordecksim.LockFront+"/execute", jwt, "Content-Type", "application/json"), 415)
	wantStatus(t, ada.do(doordecksim.LockFront, c.add(doordecksim.VisitorAna), "nbf", at(time.Second)), 403)
	wantStatus(t, ada.do(doordecksim.LockFront, unlock(), "exp", at(61*time.Second)), 400)
	wantStatus(t, ada.execute(doordecksim.LockFront, jwt), 200)

	c = newCloud(t)
	ada = c.identity(doordecksim.AdminAda)
	jwt = compact(t, ada.key, ada.header(), ada.claims(doordecksim.LockFront, unlock()))
	wantStatus(t, c.api(ada.token, "POST", "/device/"+strings.ToUpper(doordecksim.LockFront)+"/execute", jwt, "Content-Type", "application/json;charset=UTF-8"), 200)
	wantStatus(t, ada.do(doordecksim.LockFront, unlock(), "nbf", at(60*time.Second), "exp", at(65*time.Second)), 202)
}

func TestReplays(t *testing.T) {
	c := newCloud(t)
	ada, ben := c.identity(doordecksim.AdminAda), c.identity(doordecksim.AdminBen)
	// A failure after the replay check spends the token too.
	wantStatus(t, ada.do(doordecksim.LockFront, with(c.add(doordecksim.VisitorAna), "role", "OWNER"), "jti", "a"), 400)
	wantStatus(t, ada.do(doordecksim.LockFront, unlock(), "jti", "a"), 409)
	wantStatus(t, ben.do(doordecksim.LockFront, unlock(), "jti", "a"), 200) // another user's
	// One before it does not.
	wantStatus(t, ada.do(doordecksim.LockFront, unlock(), "jti", "b", "exp", at(0)), 403)
	wantStatus(t, ada.do(doordecksim.LockFront, unlock(), "jti", "b"), 200)
	if got := c.JTICount("b"); got != 2 {
		t.Errorf("b was seen %d times", got)
	}
	// Without jti the signature stands for it.
	jwt := compact(t, ada.key, ada.header(), with(ada.claims(doordecksim.LockFront, unlock()), "jti", absent))
	wantStatus(t, ada.execute(doordecksim.LockFront, jwt), 200)
	wantStatus(t, ada.execute(doordecksim.LockFront, jwt), 409)
	// It is remembered until exp and no longer.
	c.Advance(54 * time.Second)
	wantStatus(t, ada.do(doordecksim.LockFront, unlock(), "jti", "b"), 409)
	c.Advance(2 * time.Second)
	wantStatus(t, ada.do(doordecksim.LockFront, unlock(), "jti", "b"), 200)
}

func TestTheQueue(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	queue := func(operation object, d time.Duration) {
		t.Helper()
		wantStatus(t, ada.do(doordecksim.LockBoat, operation, ada.later(d)...), 202)
	}
	queue(c.add(doordecksim.VisitorAna), time.Hour)
	queue(c.add(doordecksim.VisitorDora), 2*time.Minute)
	queue(batch(with(c.entry(doordecksim.VisitorAna), "role", "ADMIN"), c.entry(doordecksim.VisitorBram)), time.Hour)
	queue(remove(c.id(doordecksim.VisitorBram)), time.Hour)
	c.Advance(2 * time.Minute)
	if len(c.Users(doordecksim.LockBoat)) != 1 || c.last().Outcome != doordecksim.Queued {
		t.Fatalf("users %v, last %+v", c.Users(doordecksim.LockBoat), c.last())
	}
	if err := c.SetOnline(doordecksim.LockBoat, true); err != nil {
		t.Fatal(err)
	}
	if got := c.role(doordecksim.LockBoat, doordecksim.VisitorAna); got != "ADMIN" {
		t.Errorf("Ana is %q", got)
	}
	if c.role(doordecksim.LockBoat, doordecksim.VisitorDora) != "" || c.role(doordecksim.LockBoat, doordecksim.VisitorBram) != "" {
		t.Error("Dora or Bram has the lock")
	}
	want := "LOCK_SHARED rejected EXPIRED, DEVICE_CONNECTED, LOCK_SHARED, USER_PROMOTED, LOCK_SHARED, LOCK_REVOKED"
	if got := strings.Join(audited(c, doordecksim.LockBoat), ", "); got != want {
		t.Errorf("audit %s\nwant  %s", got, want)
	}
	outcomes := []string{}
	for _, e := range c.Ledger() {
		outcomes = append(outcomes, fmt.Sprint(e.Status, e.Outcome, e.Order))
	}
	if got := strings.Join(outcomes, " "); got != "202applied1 202dropped0 202applied2 202applied3" {
		t.Errorf("ledger %s", got)
	}
}

// TestTheQueueOfALockThatHangs, and one whose lock was reachable before the operation was too old, although
// nobody looked meanwhile.
func TestTheQueueOfALockThatHangs(t *testing.T) {
	c := newCloud(t, func(o *doordecksim.Options) { o.QueueDelay = 10 * time.Second })
	ada := c.identity(doordecksim.AdminAda)
	wantStatus(t, ada.do(doordecksim.LockLift, c.add(doordecksim.VisitorAna), ada.later(time.Hour)...), 202)
	wantStatus(t, ada.do(doordecksim.LockFront, c.add(doordecksim.VisitorAna), ada.later(time.Hour)...), 202)
	if c.role(doordecksim.LockFront, doordecksim.VisitorAna) != "" {
		t.Error("it did not wait")
	}
	if err := c.SetHanging(doordecksim.LockLift, false); err != nil {
		t.Fatal(err)
	}
	c.Advance(48 * time.Hour)
	for _, e := range c.Ledger() {
		if e.Outcome != doordecksim.Applied || !e.Settled.Equal(start.Add(10*time.Second)) {
			t.Errorf("%+v", e)
		}
	}
}

// TestRun lets real time pass: a queued operation and a door are settled while nobody calls.
func TestRun(t *testing.T) {
	c := newCloud(t, func(o *doordecksim.Options) { o.Now, o.QueueDelay = nil, 50*time.Millisecond })
	c.run()
	ada := c.identity(doordecksim.AdminAda)
	wantStatus(t, ada.do(doordecksim.LockFront, c.add(doordecksim.VisitorAna), ada.later(time.Hour)...), 202)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := c.WaitLedger(ctx, func(entries []doordecksim.LedgerEntry) bool {
		return len(entries) == 1 && entries[0].Outcome == doordecksim.Applied
	})
	if err != nil {
		t.Fatal(err)
	}
	gone, stop := context.WithCancelCause(t.Context())
	stop(fmt.Errorf("enough"))
	if err := c.WaitLedger(gone, func([]doordecksim.LedgerEntry) bool { return false }); err == nil || err.Error() != "enough" {
		t.Errorf("error %v", err)
	}
}
