package apikeys_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/apikeys"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
)

// kept is the token in the file, zero when there is no file.
func (p *place) kept() vault.Secret {
	p.t.Helper()
	data, err := os.ReadFile(p.file())
	if errors.Is(err, fs.ErrNotExist) {
		return vault.Secret{}
	}
	must(p.t, err)
	info, err := os.Stat(p.file())
	must(p.t, err)
	if info.Mode().Perm() != 0o600 {
		p.t.Errorf("the file has mode %v", info.Mode().Perm())
	}
	return vault.NewSecret(strings.TrimSpace(string(data)))
}

func TestTheFirstTokenLivesUntilThereIsAnAdminKey(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	k := p.open("")
	first := p.kept()
	if !keyForm.MatchString(first.Reveal()) || !works(t, k, first) {
		t.Fatal("there is no way in")
	}
	create(t, k, reader("no admin"))
	if k = p.open(""); p.kept() != first || !works(t, k, first) {
		t.Fatal("the token is another after a restart")
	}
	made, _ := create(t, k, administrator())
	if !p.kept().IsZero() || works(t, k, first) {
		t.Fatal("the first token is still there although there is an admin key")
	}
	if k = p.open(""); !p.kept().IsZero() || works(t, k, first) {
		t.Fatal("a restart made another token although there is an admin key")
	}
	if err := k.Revoke(t.Context(), made.ID); !errors.Is(err, apikeys.ErrLastAdmin) {
		t.Errorf("the last admin key was revoked: %v", err)
	}
	second, key := create(t, k, administrator())
	must(t, k.Revoke(t.Context(), made.ID))
	if err := k.Revoke(t.Context(), second.ID); !errors.Is(err, apikeys.ErrLastAdmin) || !works(t, k, key) {
		t.Errorf("the last admin key was revoked: %v", err)
	}
	if strings.Contains(p.log.String(), first.Reveal()) || strings.Contains(p.log.String(), key.Reveal()) {
		t.Error("a key is in the log")
	}
}

func TestTheFirstTokenComesBackWhenNoAdminKeyIsLeft(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	k := p.open("")
	old := p.kept()
	request := administrator()
	request.ExpiresAt = new(p.now().Add(time.Hour).Format(time.RFC3339))
	expiring, _ := create(t, k, request)
	p.offset.Store(int64(2 * time.Hour))
	if works(t, k, old) {
		t.Error("the old token works again")
	}
	k = p.open("")
	if token := p.kept(); token.IsZero() || token == old || !works(t, k, token) {
		t.Error("nobody can make keys any more")
	}
	must(t, k.Revoke(t.Context(), expiring.ID)) // it has expired: nothing depends on it
}

// The process may die between the commit of an admin key and the removal of the file.
func TestTheFileIsRemovedByTheNextStart(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	before := p.open("")
	first := p.kept()
	create(t, before, administrator())
	must(t, os.WriteFile(p.file(), []byte(first.Reveal()), 0o600))
	if k := p.open(""); !p.kept().IsZero() || works(t, k, first) {
		t.Error("the file is still there")
	}
}

// The answer to a commit may get lost. The token's end does not depend on it.
func TestTheFirstTokenIsJudgedByTheTable(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	elsewhere := p.open(token)
	must(t, os.WriteFile(p.file(), []byte("first-token-in-the-file"), 0o600))
	k := p.open("")
	first := p.kept()
	if !works(t, k, first) {
		t.Fatal("the token in the file does not work")
	}
	create(t, elsewhere, administrator())
	if works(t, k, first) || !p.kept().IsZero() {
		t.Error("the first token works beside an admin key")
	}
}

func TestAConfiguredTokenAlwaysWorks(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	p.open("")
	first := p.kept()
	k := p.open(token)
	if !p.kept().IsZero() || works(t, k, first) {
		t.Error("the token in the file outlives a configured one")
	}
	made, _ := create(t, k, administrator())
	if !works(t, k, vault.NewSecret(token)) {
		t.Error("the configured token ended with another admin key")
	}
	must(t, k.Revoke(t.Context(), made.ID)) // there is another way in
	if works(t, p.open(""), vault.NewSecret(token)) {
		t.Error("it works without being configured")
	}
}

func TestATokenThatCouldBeGuessedIsRefused(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	must(t, os.WriteFile(p.file(), []byte("letmein\n"), 0o600))
	_, err := apikeys.Open(t.Context(), apikeys.Config{DB: p.db, Events: p.events, TokenFile: p.file(), Log: p.logger()})
	if err == nil || !strings.Contains(err.Error(), "too short") || strings.Contains(err.Error(), "letmein") {
		t.Error(err)
	}
}

func TestNothingLetsNobodyIn(t *testing.T) {
	p := newPlace(t, sqldbtest.SQLite(t))
	k, err := apikeys.Open(t.Context(), apikeys.Config{DB: p.db, Events: p.events, Log: p.logger()})
	must(t, err)
	if works(t, k, vault.Secret{}) {
		t.Error("an empty key was accepted")
	}
}
