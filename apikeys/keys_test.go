package apikeys_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/apikeys"
	"gatehouse/internal/audit"
	"gatehouse/internal/invalid"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
)

const token = "configured-admin-token-4Yt"

var keyForm = regexp.MustCompile(`^gh_[A-Za-z0-9_-]{43}$`)

func TestAKeyIsFoundByWhatWasShownOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPlace(t, db)
		k := p.open(token)
		expires := p.now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		made, secret := create(t, k, apikeys.Request{
			Name: "Harbour visitors", Scopes: []string{"messages:read", "connections:read"}, Accounts: []string{"hX9aQ2", "bK3"},
			Identities: []string{}, ExpiresAt: new(expires.Format(time.RFC3339Nano)),
		})
		if !keyForm.MatchString(secret.Reveal()) {
			t.Error("the key does not look like one")
		}
		want := apikeys.Key{
			ID: made.ID, Name: "Harbour visitors", Scopes: []string{"connections:read", "messages:read"}, Accounts: []string{"hX9aQ2", "bK3"},
			Identities: []string{}, CreatedAt: made.CreatedAt, ExpiresAt: expires,
		}
		found, ok, err := k.Authenticate(t.Context(), secret)
		if diff := cmp.Diff(want, found); diff != "" || !ok || err != nil {
			t.Errorf("%v %v\n%s", ok, err, diff)
		}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Error(diff)
		}
		unlimited, _ := create(t, k, reader("all"))
		if unlimited.Accounts != nil || unlimited.Identities != nil || !unlimited.ExpiresAt.IsZero() {
			t.Errorf("%+v", unlimited)
		}
		for _, other := range []string{"", "gh_", "x", token + "x", secret.Reveal() + "x", secret.Reveal()[1:], strings.ToLower(secret.Reveal()), made.ID} {
			if works(t, k, vault.NewSecret(other)) {
				t.Error("something else was taken for the key")
			}
		}
		if !works(t, k, vault.NewSecret(token)) {
			t.Error("the configured admin token does not work")
		}
		dump(t, db, secret)
	})
}

// dump wants the key to be nowhere in the database.
func dump(t *testing.T, db *sqldb.DB, secret vault.Secret) {
	t.Helper()
	var rows []struct {
		Name, Scopes, ID string
		Hash             []byte
	}
	must(t, db.Select(t.Context(), &rows, `SELECT id, name, scopes, hash FROM api_keys`))
	for _, r := range rows {
		if strings.Contains(fmt.Sprintf("%s", r), secret.Reveal()) {
			t.Error("the key is stored in clear")
		}
	}
	if len(rows) == 0 {
		t.Error("nothing is stored")
	}
}

func TestKeysEnd(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		p := newPlace(t, db)
		k, replica := p.open(token), p.open(token)
		request := reader("short")
		request.ExpiresAt = new(p.now().Add(time.Hour).Format(time.RFC3339))
		_, short := create(t, k, request)
		revoked, long := create(t, k, reader("long"))
		_, other := create(t, k, reader("long"))
		must(t, k.Revoke(t.Context(), revoked.ID))
		if works(t, replica, long) || works(t, k, long) || !works(t, replica, other) || !works(t, replica, short) {
			t.Error("revoking ends one key, and at once, at every replica")
		}
		if err := k.Revoke(t.Context(), revoked.ID); !errors.Is(err, apikeys.ErrNotFound) {
			t.Errorf("revoked again: %v", err)
		}
		p.offset.Store(int64(time.Hour))
		if works(t, replica, short) || works(t, k, short) {
			t.Error("a key works although it has expired")
		}
		// It is still listed, and goes when it is old.
		listed := func() []string {
			page, _, err := k.List(t.Context(), "", 10)
			must(t, err)
			var names []string
			for _, i := range page {
				names = append(names, i.Name)
			}
			return names
		}
		if got := listed(); !slices.Equal(got, []string{"long", "short"}) {
			t.Error(got)
		}
		p.offset.Add(int64(31 * 24 * time.Hour))
		create(t, k, reader("new"))
		if got := listed(); !slices.Equal(got, []string{"new", "long"}) {
			t.Error(got)
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	k := p.open(token)
	many := func(n int, of string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(of, i)
		}
		return list
	}
	for name, row := range map[string]struct {
		change func(*apikeys.Request)
		field  string
	}{
		"nothing":                      {func(*apikeys.Request) {}, ""},
		"as long as may be":            {func(r *apikeys.Request) { r.Name = strings.Repeat("ä", 64) }, ""},
		"every scope":                  {func(r *apikeys.Request) { r.Scopes = apikeys.Scopes() }, ""},
		"many accounts":                {func(r *apikeys.Request) { r.Accounts = many(100, "a%d") }, ""},
		"no name":                      {func(r *apikeys.Request) { r.Name = "" }, "name"},
		"long name":                    {func(r *apikeys.Request) { r.Name = strings.Repeat("ä", 65) }, "name"},
		"name with a line end":         {func(r *apikeys.Request) { r.Name = "a\nb" }, "name"},
		"name with NUL":                {func(r *apikeys.Request) { r.Name = "a\x00b" }, "name"},
		"name not UTF-8":               {func(r *apikeys.Request) { r.Name = "a\xff" }, "name"},
		"blank name":                   {func(r *apikeys.Request) { r.Name = " " }, "name"},
		"no scopes":                    {func(r *apikeys.Request) { r.Scopes = nil }, "scopes"},
		"unknown scope":                {func(r *apikeys.Request) { r.Scopes = []string{"messages"} }, "scopes"},
		"scope with a wildcard":        {func(r *apikeys.Request) { r.Scopes = []string{"*"} }, "scopes"},
		"two scopes in one":            {func(r *apikeys.Request) { r.Scopes = []string{"messages:read admin"} }, "scopes"},
		"scope twice":                  {func(r *apikeys.Request) { r.Scopes = []string{"messages:read", "messages:read"} }, "scopes"},
		"too many scopes":              {func(r *apikeys.Request) { r.Scopes = many(1000, "s%d") }, "scopes"},
		"too many accounts":            {func(r *apikeys.Request) { r.Accounts = many(101, "a%d") }, "accounts"},
		"empty account":                {func(r *apikeys.Request) { r.Accounts = []string{""} }, "accounts"},
		"account twice":                {func(r *apikeys.Request) { r.Accounts = []string{"a", "a"} }, "accounts"},
		"long account":                 {func(r *apikeys.Request) { r.Accounts = []string{strings.Repeat("a", 65)} }, "accounts"},
		"account with a space":         {func(r *apikeys.Request) { r.Accounts = []string{"a b"} }, "accounts"},
		"identity with NUL":            {func(r *apikeys.Request) { r.Identities = []string{"a\x00"} }, "identities"},
		"admin with accounts":          {func(r *apikeys.Request) { r.Scopes, r.Accounts = []string{"admin"}, []string{"a"} }, "accounts"},
		"admin with no accounts":       {func(r *apikeys.Request) { r.Scopes, r.Accounts = []string{"admin"}, []string{} }, "accounts"},
		"admin and more with identity": {func(r *apikeys.Request) { r.Scopes, r.Identities = []string{"messages:read", "admin"}, []string{"a"} }, "identities"},
		"expired":                      {func(r *apikeys.Request) { r.ExpiresAt = new(p.now().Add(-time.Minute).Format(time.RFC3339)) }, "expires_at"},
		"expires, but at nothing":      {func(r *apikeys.Request) { r.ExpiresAt = new("") }, "expires_at"},
		"expires at no time":           {func(r *apikeys.Request) { r.ExpiresAt = new("tomorrow") }, "expires_at"},
	} {
		t.Run(name, func(t *testing.T) {
			r := reader("x")
			row.change(&r)
			_, _, err := k.Create(t.Context(), r)
			fault, refused := errors.AsType[*invalid.Error](err)
			switch {
			case row.field == "" && err != nil:
				t.Error(err)
			case row.field != "" && (!refused || fault.Field != row.field):
				t.Errorf("got %v, want the field %s named", err, row.field)
			}
		})
	}
	for _, id := range []string{"", "x", "0193F5A0-7D1C-7000-8000-000000000003", "a\x00", "0193f5a0-7d1c-7000-8000-000000000003"} {
		if err := k.Revoke(t.Context(), id); !errors.Is(err, apikeys.ErrNotFound) {
			t.Errorf("revoking %q: %v", id, err)
		}
	}
}

func TestKeysAreBounded(t *testing.T) {
	db := sqldbtest.SQLite(t)
	k := newPlace(t, db).open(token)
	create(t, k, reader("the first"))
	_, err := db.Writer().ExecContext(t.Context(), `INSERT INTO api_keys (id, hash, name, scopes, created_at)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT 'k' || i, CAST('h' || i AS BLOB), 'x', 'messages:read', 0 FROM n`)
	if err == nil {
		_, _, err = k.Create(t.Context(), reader("one too many"))
	}
	if !errors.Is(err, apikeys.ErrTooMany) {
		t.Error(err)
	}
}

func TestPagesHoldEachKeyOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newPlace(t, db).open(token)
		var want []string
		for i := range 7 {
			made, _ := create(t, k, reader(fmt.Sprint(i)))
			want = append([]string{made.ID}, want...)
		}
		var got []string
		after := ""
		for {
			page, next, err := k.List(t.Context(), after, 3)
			must(t, err)
			for _, i := range page {
				got = append(got, i.ID)
			}
			create(t, k, reader("meanwhile"))
			if after = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		for _, cursor := range []string{"x", "bm8", "!"} {
			if _, _, err := k.List(t.Context(), cursor, 3); err == nil {
				t.Errorf("%q was taken for a cursor", cursor)
			}
		}
	})
}

// A row that somebody damaged must not become a key without limits.
func TestLimitsThatCannotBeRead(t *testing.T) {
	db := sqldbtest.SQLite(t)
	k := newPlace(t, db).open(token)
	request := reader("held")
	request.Accounts = []string{"a"}
	_, secret := create(t, k, request)
	for _, damaged := range []string{``, `[`, `"a"`, `{}`, `null`} {
		_, err := db.Writer().ExecContext(t.Context(), `UPDATE api_keys SET accounts = ?`, damaged)
		must(t, err)
		if found, ok, err := k.Authenticate(t.Context(), secret); ok || err == nil {
			t.Errorf("%q became %+v", damaged, found)
		}
	}
}

func TestMakingAndRevokingAreAudited(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, db *sqldb.DB) {
		k := newPlace(t, db).open(token)
		ctx := audit.WithActor(t.Context(), audit.Actor{Kind: audit.KindKey, Name: "ops", KeyID: "k1"})
		made, secret, err := k.Create(ctx, reader("visitors"))
		must(t, err)
		must(t, k.Revoke(ctx, made.ID))
		if _, _, err := k.Create(ctx, apikeys.Request{}); err == nil {
			t.Error("a bad request made a key")
		}
		page, _, err := (&audit.Log{DB: db}).List(t.Context(), audit.Query{Limit: 10})
		must(t, err)
		if len(page) != 2 || page[1].Action != "api_key.create" || page[0].Action != "api_key.revoke" {
			t.Fatalf("%+v", page)
		}
		for _, e := range page {
			if e.Actor != "ops" || e.KeyID != "k1" || e.Outcome != "done" || e.Target != made.ID+" visitors: messages:read" ||
				strings.Contains(fmt.Sprint(e), secret.Reveal()) {
				t.Errorf("%+v", e)
			}
		}
	})
}
