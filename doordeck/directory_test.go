package doordeck_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/doordeck"
)

const (
	v1 = "application/json"
	v2 = "application/vnd.doordeck.api-v2+json"
	v3 = "application/vnd.doordeck.api-v3+json"
)

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		by          doordeck.By
		value, body string
	}{
		{doordeck.ByEmail, "ana@example.test", `{"email":"ana@example.test"}`},
		{doordeck.ByTelephone, "+442034341020", `{"telephone":"+442034341020"}`},
		{doordeck.ByLocalKey, string(invitee1), `{"localKey":"` + string(invitee1) + `"}`},
		{doordeck.ByForeignKey, `emp<17>&"x"`, `{"foreignKey":"emp<17>&\"x\""}`},
		{doordeck.ByIdentity, "eyJ.a.b.c.d", `{"identity":"eyJ.a.b.c.d"}`},
	} {
		t.Run(string(tt.by), func(t *testing.T) {
			client, got := answering(t, 200, `{"id":"`+string(invitee1)+`","publicKey":"MIIB","new":{"thing":[1]}}`)
			found, err := client.Find(t.Context(), bearer(), tt.by, tt.value)
			if want := (doordeck.Entry{ID: invitee1, PublicKey: "MIIB", Asked: tt.value}); err != nil || found != want {
				t.Fatalf("%+v, %v", found, err)
			}
			expect(t, *got, "POST", "/directory/query", v1, "application/json", tt.body)
		})
	}
}

func TestFindTakesNobodyElse(t *testing.T) {
	for name, body := range map[string]string{
		"empty": ``, "null": `null`, "no id": `{"publicKey":"MIIB"}`, "no key": `{"id":"` + string(invitee1) + `"}`,
		"another": `{"id":"` + string(invitee2) + `","publicKey":"MIIB"}`, "a list": `[]`,
	} {
		client, _ := answering(t, 200, body)
		if _, err := client.Find(t.Context(), bearer(), doordeck.ByLocalKey, string(invitee1)); !isClass(err, doordeck.Transient) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDirectoryRefusesToAsk(t *testing.T) {
	client, got := answering(t, 200, `[]`)
	for _, tt := range []struct {
		by    doordeck.By
		value string
	}{
		{doordeck.ByEmail, ""},
		{doordeck.ByForeignKey, strings.Repeat("x", 1025)},
		{doordeck.ByForeignKey, "\xff"},
		{doordeck.ByLocalKey, "emp-17"},
		{"shoe", "46"},
	} {
		if _, err := client.Find(t.Context(), bearer(), tt.by, tt.value); err == nil {
			t.Errorf("asked by %s", tt.by)
		}
		if _, err := client.FindAll(t.Context(), bearer(), tt.by, []string{tt.value}); err == nil {
			t.Errorf("asked all by %s", tt.by)
		}
	}
	if _, err := client.FindAll(t.Context(), bearer(), doordeck.ByIdentity, []string{"eyJ"}); err == nil {
		t.Error("asked for a list of identities")
	}
	if none, err := client.FindAll(t.Context(), bearer(), doordeck.ByEmail, nil); err != nil || len(none) != 0 {
		t.Errorf("nobody is %v, %v", none, err)
	}
	if len(*got) != 0 {
		t.Errorf("asked %q", *got)
	}
}

// The documented example: one hit, one miss.
func TestFindAll(t *testing.T) {
	client, got := answering(t, 200, `[{"id":"`+string(invitee1)+`","foreignKey":"emp-17","publicKey":"MIIBIjAN"}]`)
	found, err := client.FindAll(t.Context(), bearer(), doordeck.ByForeignKey, []string{"emp-17", "emp-99", "emp-17"})
	want := map[string]doordeck.Entry{"emp-17": {ID: invitee1, PublicKey: "MIIBIjAN", Asked: "emp-17"}}
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Fatalf("%v %s", err, diff)
	}
	expect(t, *got, "POST", "/directory/query", v2, "application/json", `{"foreignKey":["emp-17","emp-99"]}`)
}

func TestFindAllAsksIn25s(t *testing.T) {
	var sizes []int
	client := serve(t, func(w http.ResponseWriter, r asked) {
		var query struct{ Email []string }
		if err := json.Unmarshal([]byte(r.body), &query); err != nil || r.accept != v2 {
			t.Errorf("%q %v", r, err)
		}
		sizes = append(sizes, len(query.Email))
		var entries []string
		for _, email := range query.Email {
			var n int
			if _, err := fmt.Sscanf(email, "p%d@", &n); err != nil {
				t.Error(err)
			}
			if n%10 != 0 {
				entries = append(entries, fmt.Sprintf(`{"id":"7a1d2c30-0003-11f0-8000-%012d","email":%q,"publicKey":"K%d"}`, n, email, n))
			}
		}
		_, _ = io.WriteString(w, "["+strings.Join(entries, ",")+"]")
	})
	var emails []string
	for n := range 60 {
		emails = append(emails, fmt.Sprintf("p%d@example.test", n))
	}
	found, err := client.FindAll(t.Context(), bearer(), doordeck.ByEmail, emails)
	if err != nil || len(found) != 54 || found["p59@example.test"].PublicKey != "K59" {
		t.Fatalf("%d found, %v", len(found), err)
	}
	if diff := cmp.Diff([]int{25, 25, 10}, sizes); diff != "" {
		t.Fatal(diff)
	}
}

func TestFindAllMatchesWhatComesBack(t *testing.T) {
	one := func(id doordeck.UserID, more string) string {
		return `{"id":"` + string(id) + `","publicKey":"K"` + more + `}`
	}
	for _, tt := range []struct {
		name   string
		by     doordeck.By
		asked  []string
		answer string
		want   map[string]doordeck.UserID
	}{
		{"email in other letters", doordeck.ByEmail, []string{"Ana@Example.test"}, one(invitee1, `,"email":"ana@example.test"`), map[string]doordeck.UserID{"Ana@Example.test": invitee1}},
		{"phone", doordeck.ByTelephone, []string{"+442034341020"}, one(invitee1, `,"phone":"+44 20 3434 1020"`), map[string]doordeck.UserID{"+442034341020": invitee1}},
		{"telephone", doordeck.ByTelephone, []string{"+442034341020"}, one(invitee1, `,"phone":null,"telephone":"+442034341020"`), map[string]doordeck.UserID{"+442034341020": invitee1}},
		{"local key", doordeck.ByLocalKey, []string{strings.ToUpper(string(invitee1))}, one(invitee1, ``), map[string]doordeck.UserID{strings.ToUpper(string(invitee1)): invitee1}},
		{"foreign keys keep their case", doordeck.ByForeignKey, []string{"emp-17"}, one(invitee1, `,"foreignKey":"EMP-17"`), nil},
		{"somebody who was not asked for", doordeck.ByEmail, []string{"a@x.test"}, one(invitee1, `,"email":"b@x.test"`), nil},
		{"two emails that differ in case", doordeck.ByEmail, []string{"A@x.test", "a@x.test", "a@X.test"}, one(invitee1, `,"email":"A@x.test"`) + "," + one(invitee2, `,"email":"a@x.test"`), map[string]doordeck.UserID{"A@x.test": invitee1, "a@x.test": invitee2}},
		{"entries of no use", doordeck.ByEmail, []string{"a@x.test"}, `null,{},{"id":"x","email":"a@x.test","publicKey":"K"},{"id":"` + string(invitee1) + `","email":"a@x.test"}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, 200, "["+tt.answer+"]")
			found, err := client.FindAll(t.Context(), bearer(), tt.by, tt.asked)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]doordeck.UserID{}
			for value, entry := range found {
				got[value] = entry.ID
				if entry.Asked != value {
					t.Errorf("%s was asked as %q", value, entry.Asked)
				}
			}
			if len(got) != len(tt.want) || (len(got) > 0 && !cmp.Equal(got, tt.want)) {
				t.Fatalf("found %v", got)
			}
		})
	}
}

func TestFindAllTwoForOne(t *testing.T) {
	client, _ := answering(t, 200, `[{"id":"`+string(invitee1)+`","email":"a@x.test","publicKey":"K"},{"id":"`+string(invitee2)+`","email":"a@x.test","publicKey":"K"}]`)
	if found, err := client.FindAll(t.Context(), bearer(), doordeck.ByEmail, []string{"a@x.test"}); !isClass(err, doordeck.Transient) {
		t.Fatalf("%v, %v", found, err)
	}
}

// Documentation shows no telephone in an answer: then it must be asked for one at a time, not guessed.
func TestFindAllAsksSinglyWhereNothingIsRepeated(t *testing.T) {
	var singly []string
	client := serve(t, func(w http.ResponseWriter, r asked) {
		switch {
		case r.accept == v2:
			_, _ = io.WriteString(w, `[{"id":"`+string(invitee2)+`","publicKey":"K2"}]`)
		case r.body == `{"telephone":"+442034341021"}`:
			singly = append(singly, r.body)
			_, _ = io.WriteString(w, `{"id":"`+string(invitee2)+`","publicKey":"K2"}`)
		default:
			singly = append(singly, r.body)
			w.WriteHeader(http.StatusNotFound)
		}
	})
	found, err := client.FindAll(t.Context(), bearer(), doordeck.ByTelephone, []string{"+442034341020", "+442034341021"})
	want := map[string]doordeck.Entry{"+442034341021": {ID: invitee2, PublicKey: "K2", Asked: "+442034341021"}}
	if diff := cmp.Diff(want, found); err != nil || diff != "" || len(singly) != 2 {
		t.Fatalf("%v %s, asked %q", err, diff, singly)
	}
}

func TestFindAllErrors(t *testing.T) {
	client, _ := answering(t, 404, ``)
	if found, err := client.FindAll(t.Context(), bearer(), doordeck.ByEmail, []string{"a@x.test"}); err != nil || len(found) != 0 {
		t.Errorf("nobody known: %v, %v", found, err)
	}
	client, _ = answering(t, 200, ``)
	if _, err := client.FindAll(t.Context(), bearer(), doordeck.ByEmail, []string{"a@x.test"}); !isClass(err, doordeck.Transient) {
		t.Errorf("no answer is taken for nobody: %v", err)
	}
	client, _ = answering(t, 401, ``)
	if _, err := client.FindAll(t.Context(), bearer(), doordeck.ByEmail, []string{"a@x.test"}); !isClass(err, doordeck.Unauthorized) {
		t.Error(err)
	}
	client = serve(t, func(w http.ResponseWriter, r asked) {
		if r.accept != v2 {
			w.WriteHeader(http.StatusTooManyRequests)
		} else {
			_, _ = io.WriteString(w, `[{"id":"`+string(invitee2)+`","publicKey":"K2"}]`)
		}
	})
	if _, err := client.FindAll(t.Context(), bearer(), doordeck.ByEmail, []string{"a@x.test"}); !isClass(err, doordeck.TooMany) {
		t.Error(err)
	}
}

func isClass(err error, class doordeck.Class) bool {
	e, ok := errors.AsType[*doordeck.Error](err)
	return ok && e.Class == class
}
