package doordeck_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/doordeck"
)

func TestShareableLocks(t *testing.T) {
	client, got := answering(t, 200, `[{"id":"`+string(lock)+`","name":"Front","x":1},{"id":"nonsense","name":"Odd"},null]`)
	locks, err := client.ShareableLocks(t.Context(), bearer())
	if diff := cmp.Diff([]doordeck.NamedLock{{ID: lock, Name: "Front"}}, locks); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	expect(t, *got, "GET", "/device/shareable", v1, "", "")
}

// The lock of the reference, v3.
const lockBody = `{"id":"7a1d2c30-0002-11f0-8000-00000000b001","name":"Front","colour":"#24BD9A","role":"ADMIN","favourite":false,"start":null,"end":null,
 "settings":{"unlockTime":7.0,"permittedAddresses":[],"defaultName":"Front","usageRequirements":{"time":[],"location":null},
  "unlockBetweenWindow":null,"tiles":[],"hidden":false,"directAccessEndpoints":[],
  "capabilities":{"OPEN_HOURS":"SUPPORTED","BATCH_SHARING_25":"SUPPORTED","CONFIGURABLE_UNLOCK_DURATION":"UNSUPPORTED"}},
 "state":{"locked":true,"connected":true}}`

func TestLock(t *testing.T) {
	client, got := answering(t, 200, lockBody)
	l, err := client.Lock(t.Context(), bearer(), lock)
	want := doordeck.Lock{ID: lock, Name: "Front", Role: doordeck.RoleAdmin, Connected: true, Capabilities: map[string]string{
		"OPEN_HOURS": "SUPPORTED", "BATCH_SHARING_25": "SUPPORTED", "CONFIGURABLE_UNLOCK_DURATION": "UNSUPPORTED",
	}}
	if diff := cmp.Diff(want, l); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	if !l.Supports(doordeck.BatchSharing) || l.Supports("CONFIGURABLE_UNLOCK_DURATION") || l.Supports("FLYING") {
		t.Fatal("capabilities are judged by their names")
	}
	expect(t, *got, "GET", "/device/"+string(lock), v3, "", "")
}

func TestLockReadsWhatComes(t *testing.T) {
	id := `"id":"` + string(lock) + `"`
	for _, tt := range []struct {
		name, body string
		want       doordeck.Lock
	}{
		{"little", `{` + id + `}`, doordeck.Lock{Connected: true}},
		{"in capitals", `{"id":"` + strings.ToUpper(string(lock)) + `"}`, doordeck.Lock{ID: doordeck.LockID(strings.ToUpper(string(lock))), Connected: true}},
		{"offline", `{` + id + `,"state":{"connected":false}}`, doordeck.Lock{}},
		{"nulls", `{` + id + `,"name":null,"role":null,"settings":null,"state":null}`, doordeck.Lock{Connected: true}},
		{"a role of tomorrow", `{` + id + `,"role":"GUARD"}`, doordeck.Lock{Role: "GUARD", Connected: true}},
		{"odd capabilities", `{` + id + `,"settings":{"capabilities":{"A":true,"B":"SUPPORTED","C":{"x":1}}}}`, doordeck.Lock{Connected: true, Capabilities: map[string]string{"B": "SUPPORTED"}}},
		{"decimals", `{` + id + `,"start":1473061669.000000000,"end":1516709124.659}`, doordeck.Lock{
			Start: time.Unix(1473061669, 0).UTC(), End: time.Unix(1516709124, 659e6).UTC(), Connected: true,
		}},
		{"seconds as a text", `{` + id + `,"end":"1.516709124E9"}`, doordeck.Lock{End: time.Unix(1516709124, 0).UTC(), Connected: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, 200, tt.body)
			if tt.want.ID == "" {
				tt.want.ID = lock
			}
			got, err := client.Lock(t.Context(), bearer(), lock)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Fatal(err, diff)
			}
		})
	}
}

func TestLockRefuses(t *testing.T) {
	id := `"id":"` + string(lock) + `"`
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"id":"` + string(invitee1) + `"}`, `{` + id + `,"end":"soon"}`, `{` + id + `,"end":-1}`,
		`{` + id + `,"end":1e300}`, `{` + id + `,"end":"NaN"}`, `{` + id + `,"end":{}}`, `{` + id + `,"settings":{"capabilities":[]}}`,
		`{` + id + `,"name":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		client, _ := answering(t, 200, body)
		if l, err := client.Lock(t.Context(), bearer(), lock); !isClass(err, doordeck.Transient) || l.ID != "" {
			t.Errorf("%.60s gives %+v, %v", body, l, err)
		}
	}
}

func TestLockUsers(t *testing.T) {
	client, got := answering(t, 200, `[
		{"userId":"`+string(admin)+`","email":"ada@x.test","publicKey":"K1","displayName":"Ada","orphan":false,"foreign":true,"role":"ADMIN"},
		{"userId":"`+string(invitee1)+`","email":null,"publicKey":"K2","orphan":true,"foreign":false,"role":"USER","start":1767312000.0,"end":1769904000},
		{"userId":null,"role":"USER"}]`)
	users, err := client.LockUsers(t.Context(), bearer(), lock)
	want := []doordeck.LockUser{
		{User: doordeck.User{ID: admin, Email: "ada@x.test", PublicKey: "K1", DisplayName: "Ada", Foreign: true}, Role: doordeck.RoleAdmin},
		{User: doordeck.User{ID: invitee1, PublicKey: "K2", Orphan: true}, Role: doordeck.RoleUser, Start: moment, End: time.Unix(1769904000, 0).UTC()},
	}
	if diff := cmp.Diff(want, users); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	expect(t, *got, "GET", "/device/"+string(lock)+"/users", v1, "", "")
}

func TestUser(t *testing.T) {
	client, got := answering(t, 200, `{"userId":"`+string(invitee1)+`","email":"a@x.test","publicKey":"K","orphan":false,"foreign":false,
		"devices":[{"deviceId":"`+string(lock)+`","role":"USER","end":1769904000.5},{"deviceId":"odd"}]}`)
	user, locks, err := client.User(t.Context(), bearer(), invitee1)
	if diff := cmp.Diff(doordeck.User{ID: invitee1, Email: "a@x.test", PublicKey: "K"}, user); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	if diff := cmp.Diff([]doordeck.UserLock{{Lock: lock, Role: doordeck.RoleUser, End: time.Unix(1769904000, 5e8).UTC()}}, locks); diff != "" {
		t.Fatal(diff)
	}
	expect(t, *got, "GET", "/user/"+string(invitee1), v1, "", "")
	client, _ = answering(t, 200, `{"userId":"`+string(invitee2)+`"}`)
	if _, _, err := client.User(t.Context(), bearer(), invitee1); !isClass(err, doordeck.Transient) {
		t.Fatal("another user:", err)
	}
}

// An id becomes part of a path: only a UUID may.
func TestIDsAreUUIDs(t *testing.T) {
	client, got := answering(t, 200, `{}`)
	for _, id := range []string{"", "..", "../auth", string(lock) + "/execute", string(lock) + "\n", "7a1d2c30000211f080000000000b001"} {
		_, err1 := client.Lock(t.Context(), bearer(), doordeck.LockID(id))
		_, err2 := client.LockUsers(t.Context(), bearer(), doordeck.LockID(id))
		_, _, err3 := client.User(t.Context(), bearer(), doordeck.UserID(id))
		_, err4 := client.Execute(t.Context(), bearer(), doordeck.LockID(id), doordeck.JWT{})
		if err1 == nil || err2 == nil || err3 == nil || err4 == nil {
			t.Errorf("%q was taken for an id", id)
		}
	}
	if len(*got) != 0 {
		t.Errorf("asked %q", *got)
	}
}

func TestListsAreBounded(t *testing.T) {
	entry := `{"id":"` + string(lock) + `"}`
	for _, tt := range []struct {
		name string
		body string
		ok   bool
	}{
		{"as many as allowed", "[" + strings.Repeat(entry+",", 19_999) + entry + "]", true},
		{"one more", "[" + strings.Repeat(entry+",", 20_000) + entry + "]", false},
		{"too many bytes", `[{"name":"` + strings.Repeat("x", 8<<20) + `"}]`, false},
		{"null", "null", true},
		{"nothing", "", false},
		{"an object", "{}", false},
		{"cut", "[" + entry, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, 200, tt.body)
			if _, err := client.ShareableLocks(t.Context(), bearer()); (err == nil) != tt.ok || (!tt.ok && !isClass(err, doordeck.Transient)) {
				t.Fatal(err)
			}
		})
	}
}

// An answer without end is cut off.
func TestEndlessAnswer(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, _ asked) {
		_, _ = io.WriteString(w, `[{"name":"`)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	})
	if _, err := client.ShareableLocks(t.Context(), bearer()); !isClass(err, doordeck.Transient) || !strings.Contains(err.Error(), "too large") {
		t.Fatal(err)
	}
}
