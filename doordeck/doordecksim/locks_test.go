package doordecksim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gatehouse/doordeck/doordecksim"
)

func TestShareable(t *testing.T) {
	c := newCloud(t)
	get := func(subject string) string {
		t.Helper()
		a := c.api(c.openID(c.claims(subject)), "GET", "/device/shareable", "")
		wantStatus(t, a, 200)
		var names []string
		for _, l := range a.list(t) {
			if len(l) != 2 {
				t.Errorf("entry %v", l)
			}
			names = append(names, l["name"].(string))
		}
		return strings.Join(names, ",")
	}
	if got := get(doordecksim.AdminBen); got != "Front Door,Loading Bay" {
		t.Errorf("Ben: %s", got)
	}
	if got := get(doordecksim.VisitorDora); got != "" {
		t.Errorf("Dora: %s", got)
	}
	ben := doordecksim.Member{User: doordecksim.AdminBen, Role: doordecksim.RoleAdmin, Start: start.Add(time.Hour), End: start.Add(2 * time.Hour)}
	if err := c.SetAccess(doordecksim.LockFront, ben); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Loading Bay", "Front Door,Loading Bay", "Loading Bay"} {
		if got := get(doordecksim.AdminBen); got != want {
			t.Errorf("at %s Ben has %s, want %s", c.Now(), got, want)
		}
		c.Advance(time.Hour)
	}
}

func TestLockObject(t *testing.T) {
	c := newCloud(t)
	ada := c.openID(c.claims(doordecksim.AdminAda))
	for _, accept := range []string{v3, v2, "application/json"} {
		got := c.api(ada, "GET", "/device/"+doordecksim.LockFront, "", "Accept", accept).object(t)
		settings := got["settings"].(map[string]any)
		for _, name := range []string{"unlockTime", "permittedAddresses", "defaultName", "tiles", "hidden"} {
			if settings[name] == nil {
				t.Errorf("settings lack %s", name)
			}
		}
		if settings["capabilities"].(map[string]any)[doordecksim.BatchSharing] != "SUPPORTED" || got["role"] != "ADMIN" || got["favourite"] != false {
			t.Errorf("lock %v", got)
		}
		if state := got["state"].(map[string]any); state["connected"] != true || state["locked"] != true {
			t.Errorf("state %v", state)
		}
	}
	boat := c.api(ada, "GET", "/device/"+strings.ToUpper(doordecksim.LockBoat), "").object(t)
	if boat["state"].(map[string]any)["connected"] != false {
		t.Errorf("boat shed %v", boat)
	}
	ben := c.openID(c.claims(doordecksim.AdminBen))
	wantStatus(t, c.api(ben, "GET", "/device/"+doordecksim.LockArchive, ""), 404)
	wantStatus(t, c.api(ben, "GET", "/device/"+newUUID(), ""), 404)
	if got := c.api(ben, "GET", "/device", "").list(t); len(got) != 2 {
		t.Errorf("Ben has %d locks", len(got))
	}
}

func TestUpdatingALock(t *testing.T) {
	c := newCloud(t)
	dora, ada := c.openID(c.claims(doordecksim.VisitorDora)), c.openID(c.claims(doordecksim.AdminAda))
	put := func(token, body string, want int) {
		t.Helper()
		wantStatus(t, c.api(token, "PUT", "/device/"+doordecksim.LockFront, body), want)
	}
	put(dora, `{"favourite":true,"colour":"#24BD9A","type":"com.example.Kotlin"}`, 200)
	wantStatus(t, c.identity(doordecksim.AdminAda).do(doordecksim.LockFront, c.add(doordecksim.VisitorDora)), 204) // leaves it alone
	put(dora, `{"name":"Mine"}`, 403)
	put(ada, `{"name":"Main","settings":{"permittedAddresses":["192.0.2.1"]}}`, 200)
	put(ada, `{"settings":{"permittedAddresses":7}}`, 400)
	put(ada, `x`, 400)
	got := c.api(dora, "GET", "/device/favourite", "", "Accept", v3).list(t)
	if len(got) != 1 || got[0]["colour"] != "#24BD9A" || got[0]["name"] != "Main" {
		t.Errorf("favourites %v", got)
	}
	if got := c.api(ada, "GET", "/device/favourite", "").list(t); len(got) != 0 {
		t.Errorf("Ada's favourites %v", got)
	}
}

func TestUserList(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	wantStatus(t, ada.do(doordecksim.LockFront, with(c.add(doordecksim.VisitorBram), "start", at(0), "end", at(time.Hour))), 204)
	for _, accept := range []string{"application/json", v2} {
		got := c.api(ada.token, "GET", "/device/"+doordecksim.LockFront+"/users", "", "Accept", accept).list(t)
		if len(got) != 4 {
			t.Fatalf("%d users", len(got))
		}
		bram := got[3]
		if bram["userId"] != c.id(doordecksim.VisitorBram) || bram["email"] != nil || bram["start"] != 1767312000.0 || bram["end"] != 1767315600.0 ||
			bram["foreign"] != false || bram["orphan"] != false || bram["role"] != "USER" || bram["displayName"] != "Bram de Wit" {
			t.Errorf("bram %v", bram)
		}
		if _, has := got[0]["end"]; has || got[0]["email"] != "ada@example.test" {
			t.Errorf("ada %v", got[0])
		}
	}
	dora := c.openID(c.claims(doordecksim.VisitorDora))
	wantStatus(t, c.api(dora, "GET", "/device/"+doordecksim.LockFront+"/users", ""), 403)
	wantStatus(t, c.api(dora, "GET", "/device/"+doordecksim.LockArchive+"/users", ""), 404)
}

func TestProfiles(t *testing.T) {
	c := newCloud(t)
	ada, ben := c.openID(c.claims(doordecksim.AdminAda)), c.openID(c.claims(doordecksim.AdminBen))
	got := c.api(ben, "GET", "/user/"+c.id(doordecksim.AdminAda), "").object(t)
	if devices := got["devices"].([]any); len(devices) != 2 || got["email"] != "ada@example.test" {
		t.Errorf("Ada as Ben sees her: %v", got)
	}
	wantStatus(t, c.api(ada, "GET", "/user/"+c.id(doordecksim.VisitorAna), ""), 404) // at none of her doors
	wantStatus(t, c.api(ada, "GET", "/user/"+newUUID(), ""), 404)
	dora := c.openID(c.claims(doordecksim.VisitorDora))
	wantStatus(t, c.api(dora, "GET", "/user/"+c.id(doordecksim.VisitorDora), ""), 200)
	wantStatus(t, c.api(dora, "GET", "/user/"+c.id(doordecksim.AdminAda), ""), 404)
}

func TestLogs(t *testing.T) {
	c := newCloud(t)
	ada := c.identity(doordecksim.AdminAda)
	wantStatus(t, ada.do(doordecksim.LockFront, c.add(doordecksim.VisitorAna)), 204)
	c.Advance(time.Hour)
	wantStatus(t, c.identity(doordecksim.VisitorDora).do(doordecksim.LockFront, unlock()), 200)
	read := func(path string) []map[string]any {
		t.Helper()
		a := c.api(ada.token, "GET", path, "", "Accept", v2)
		wantStatus(t, a, 200)
		return a.list(t)
	}
	front := "/device/" + doordecksim.LockFront + "/log"
	if got := read(front); len(got) != 2 || got[0]["type"] != "DOOR_UNLOCK" || got[1]["subject"].(map[string]any)["userId"] != c.id(doordecksim.VisitorAna) ||
		got[1]["issuer"].(map[string]any)["displayName"] != "Ada Achterberg" || got[1]["rejected"] != false || got[1]["timestamp"] != 1767312000.0 {
		t.Errorf("log %v", got)
	}
	if got := read(front + "?start=1767312001"); len(got) != 1 {
		t.Errorf("%d entries later", len(got))
	}
	if got := read(front + "?end=1767312001.5"); len(got) != 1 || got[0]["type"] != "LOCK_SHARED" {
		t.Errorf("entries until then %v", got)
	}
	if got := read("/user/" + c.id(doordecksim.VisitorAna) + "/log"); len(got) != 1 {
		t.Errorf("%d entries of Ana", len(got))
	}
	wantStatus(t, c.api(ada.token, "GET", front+"?start=yesterday", "", "Accept", v2), 400)
	wantStatus(t, c.api(ada.token, "GET", front+"?end=NaN", "", "Accept", v2), 400)
	wantStatus(t, c.api(c.openID(c.claims(doordecksim.VisitorDora)), "GET", front, "", "Accept", v2), 403)
	wantStatus(t, c.api(ada.token, "GET", "/user/"+newUUID()+"/log", "", "Accept", v2), 404)
}

func TestDecimals(t *testing.T) {
	c := newCloud(t)
	c.Faults().Decimals(true)
	ada := c.identity(doordecksim.AdminAda)
	wantStatus(t, ada.do(doordecksim.LockFront, with(c.add(doordecksim.VisitorAna), "end", 1767315600.25)), 204)
	var users []struct{ End *json.Number }
	if err := json.Unmarshal(c.api(ada.token, "GET", "/device/"+doordecksim.LockFront+"/users", "").body, &users); err != nil {
		t.Fatal(err)
	}
	if got := *users[3].End; got != "1767315600.250000000" {
		t.Errorf("end is %s", got)
	}
}

func TestRegisteringWhatIsWrong(t *testing.T) {
	c := newCloud(t)
	for name, lock := range map[string]doordecksim.Lock{
		"no id":     {Name: "x"},
		"known":     {ID: doordecksim.LockFront},
		"stranger":  {ID: newUUID(), Users: []doordecksim.Member{{User: "nobody", Role: doordecksim.RoleUser}}},
		"odd roles": {ID: newUUID(), Users: []doordecksim.Member{{User: doordecksim.AdminAda}}},
	} {
		if c.AddLock(lock) == nil {
			t.Errorf("a lock with %s was taken", name)
		}
	}
	for name, user := range map[string]doordecksim.User{
		"no subject":    {Email: "a@b.test"},
		"no such app":   {Issuer: "https://x.test", Subject: "x"},
		"id no UUID":    {ID: "x", Subject: "x"},
		"known subject": {Subject: doordecksim.AdminAda},
		"known id":      {ID: c.id(doordecksim.AdminAda), Subject: "x"},
	} {
		if _, err := c.AddUser(user); err == nil {
			t.Errorf("a user with %s was taken", name)
		}
	}
	if c.SetOnline(newUUID(), true) == nil || c.Users(newUUID()) != nil || c.RegisterKey("nobody", nil) == nil {
		t.Error("something unknown was changed")
	}
}
