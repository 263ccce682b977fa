package sharing_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/doordeck"
	"gatehouse/doordeck/doordecksim"
	"gatehouse/events"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/sharing"
)

// identityToken is an OpenID token for somebody whom Doordeck does not know, encrypted to the application's key.
func (c *cloud) identityToken(t testing.TB, subject string) string {
	t.Helper()
	issuer := doordeck.Issuer{URL: doordecksim.DefaultIssuer, Key: c.key(t)}
	token, err := issuer.Token(doordeck.Person{Subject: subject, Email: subject + "@example.test", EmailVerified: true}, time.Hour)
	must(t, err)
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: c.IdentityKey(doordecksim.DefaultIssuer)}, nil)
	must(t, err)
	sealed, err := encrypter.Encrypt([]byte(token.Reveal()))
	must(t, err)
	compact, err := sealed.CompactSerialize()
	must(t, err)
	return compact
}

// Somebody named by an identity token gets the door; the token itself is nowhere to be seen, whatever goes wrong.
func TestAnIdentityTokenIsShownNowhere(t *testing.T) {
	for _, mishap := range []func(*doordecksim.Faults){
		func(*doordecksim.Faults) {},
		func(f *doordecksim.Faults) { f.Fail(doordecksim.RouteDirectory, 1, 500) },
		func(f *doordecksim.Faults) {
			f.Inject(doordecksim.Fault{Route: doordecksim.RouteDirectory, N: 1, Status: 400, Body: `{"code":400,"message":"no"}`})
		},
	} {
		dir := t.TempDir()
		db := sqldbtest.SQLiteIn(t, dir)
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c)
		token := c.identityToken(t, "visitor-jwe")
		a := d.submit(t, `{"type":"share","lock":"%s","invitees":[{"identity_token":"%s"}]}`, front, token)
		if strings.Contains(read(t, dir), token[:40]) {
			t.Error("the token is on disk in clear")
		}
		mishap(c.Faults())
		d.run(t)
		a = d.final(t, a.Operation)
		if a.Status != sharing.Applied && a.Results[0].Error != "identity_token_refused" {
			t.Error(text(a))
		}
		if a.Status == sharing.Applied && !strings.Contains(c.members(front), "visitor-jwe:USER") {
			t.Errorf("the door has %s", c.members(front))
		}
		stored, _, err := events.NewHistory(db, d.events).List(t.Context(), events.Query{Limit: events.MaxPage})
		must(t, err)
		shown := text(a) + d.log.String() + gathered(t, d.reg)
		for _, m := range stored {
			shown += string(m.Body)
		}
		_, err = d.ops.Submit(t.Context(), everything("x"), sharing.Request{Identity: "acme", Body: fmt.Appendf(nil, `{"lock":"%s","invitees":[{"identity_token":"%s","x":1}]}`, front, token)})
		_, other := d.ops.Submit(t.Context(), everything("x"), sharing.Request{Identity: "acme", Body: fmt.Appendf(nil, `{"lock":"%s","invitees":[{"identity_token":"%s!"}]}`, front, token)})
		if shown += fmt.Sprint(err, other); strings.Contains(shown, token[:40]) {
			t.Error("the token is shown")
		}
		if !strings.Contains(text(a), `"identity_token":"REDACTED"`) {
			t.Error(text(a))
		}
		var left int
		must(t, db.Get(t.Context(), &left, `SELECT COUNT(*) FROM operations WHERE tokens IS NOT NULL`))
		if left != 0 {
			t.Error("the token is kept although the operation has ended")
		}
	}
}

// Of an identity that was deleted nothing is left in the database's files: SQLite would leave it in the gaps of its pages.
func TestADeletedIdentityIsGoneFromDisk(t *testing.T) {
	dir := t.TempDir()
	db := sqldbtest.SQLiteIn(t, dir)
	d := newDesk(t, db, keyset(t), newCloud(t, doordecksim.Options{}))
	_, err := d.Create(t.Context(), sharing.IdentityRequest{Name: "zed", Subject: "tell-tale-subject", Email: "tell-tale@example.test", DisplayName: "Tell Tale"})
	must(t, err)
	if !strings.Contains(strings.ToLower(read(t, dir)), "tell-tale") {
		t.Fatal("it is not where it is looked for")
	}
	must(t, d.Delete(t.Context(), "zed"))
	d.close()
	must(t, db.Close()) // which empties the write-ahead log
	if left := strings.ToLower(read(t, dir)); strings.Contains(left, "tell-tale") || strings.Contains(left, "tell tale") {
		t.Error("something is left")
	}
}

// read is everything in a directory.
func read(t testing.TB, dir string) string {
	t.Helper()
	var all strings.Builder
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		must(t, err)
		all.Write(data)
	}
	return all.String()
}

func gathered(t testing.TB, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	must(t, err)
	return fmt.Sprint(families)
}

// What is signed, and who signs, is in no log either.
func TestNothingSignedIsLogged(t *testing.T) {
	c := newCloud(t, doordecksim.Options{})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c).run(t)
	c.Faults().Fail(execute, 1, 400)
	c.Faults().Fail(doordecksim.RouteLockUsers, 1, 500)
	d.do(t, `{"type":"unlock","lock":"%s"}`, front)
	d.do(t, `{"type":"share","lock":"%s","invitees":[{"email":"ana@example.test"}]}`, front)
	for _, mark := range []string{"eyJ", "Bearer", "ana@example.test", "MIIB"} {
		if strings.Contains(d.log.String(), mark) {
			t.Errorf("the log holds %q:\n%s", mark, d.log.String())
		}
	}
}

// Somebody who is to be made known is, with nothing verified that the caller did not say was.
func TestProvision(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		c := newCloud(t, doordecksim.Options{Strict: true})
		d := newDesk(t, db, keyset(t), c).run(t)
		share := func(person string) sharing.Answer {
			return d.do(t, `{"type":"share","lock":"%s","invitees":[%s]}`, front, person)
		}
		if a := share(`{"foreign_key":"visitor-77","email":"lee@example.test","email_verified":true,"display_name":"Lee Ann","provision":true},
			{"foreign_key":"visitor-78","telephone":"+442034341078","provision":true},
			{"foreign_key":"visitor-ana","email":"other@example.test","email_verified":true,"provision":true}`); a.Status != sharing.Applied {
			t.Fatal(text(a))
		}
		lee, _ := c.User("visitor-77")
		kim, _ := c.User("visitor-78")
		ana, _ := c.User("visitor-ana")
		if lee.Email != "lee@example.test" || !lee.EmailVerified || lee.Name != "Lee Ann" || kim.Telephone != "+442034341078" || kim.TelephoneVerified {
			t.Errorf("%+v\n%+v", lee, kim)
		}
		if ana.Email != "ana@example.test" {
			t.Errorf("somebody who was known was changed: %+v", ana)
		}
		if a := share(`{"foreign_key":"admin-ada","email":"mallory@example.test","provision":true}`); a.Results[0].Error != "own_identity" {
			t.Errorf("the identity: %s", text(a))
		}
		if a := share(`{"foreign_key":"visitor-79","email":"ada@example.test","provision":true}`); a.Results[0].Error != "reserved" {
			t.Errorf("with the identity's address: %s", text(a))
		}
		if a := d.do(t, `{"type":"revoke","lock":"%s","invitees":[{"foreign_key":"visitor-77"},{"email":"lee@example.test"},{"foreign_key":"visitor-78"}]}`, front); a.Status != sharing.Applied {
			t.Error(text(a))
		}
	})
}

func TestLookup(t *testing.T) {
	c := newCloud(t, doordecksim.Options{Strict: true})
	d := newDesk(t, sqldbtest.SQLite(t), keyset(t), c)
	found, err := d.ops.Lookup(t.Context(), "acme", []byte(`{"invitees":[{"email":"nobody@example.test"},{"email":"ana@example.test"},{"telephone":"+442079460012"},{"foreign_key":"visitor-dora"}]}`))
	must(t, err)
	if len(found) != 4 || found[0].Error != "not_in_directory" || found[0].User != "" || found[1].User == "" || found[2].User == "" || found[3].User == "" {
		t.Error(text(found))
	}
	for _, body := range []string{``, `{}`, `{"invitees":[]}`, `{"invitees":[{"email":"a@b.c","provision":true}]}`, `{"invitees":[{"email":"a@b.c"}],"lock":"x"}`} {
		if _, err := d.ops.Lookup(t.Context(), "acme", []byte(body)); err == nil {
			t.Errorf("%s was taken", body)
		}
	}
	if n := len(c.Ledger()); n != 0 {
		t.Errorf("%d operations were sent", n)
	}
	if data, err := json.Marshal(found[1]); err != nil || !strings.Contains(string(data), `"invitee":{"email":"ana@example.test"}`) {
		t.Errorf("%s %v", data, err)
	}
}
