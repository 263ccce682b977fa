package oauth_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb/sqldbtest"
)

// TestNothingLeaks lets everything happen, good and bad, and then looks for every secret in whatever
// could be seen: logs at debug level, pages, API replies, errors, messages, the files of the database.
func TestNothingLeaks(t *testing.T) {
	dir := t.TempDir()
	db := sqldbtest.SQLiteIn(t, dir)
	g := newGateway(t, db)
	b := g.browser()
	secrets := []string{clientSecret}
	note := func(raw string) string { // codes and states of a URL
		u, err := url.Parse(raw)
		must(t, err)
		for _, name := range []string{"code", "state", "code_challenge"} {
			if s := u.Query().Get(name); s != "" {
				secrets = append(secrets, s)
			}
		}
		return raw
	}
	noteTokens := func(account string) {
		if token, err := g.keeper.Token(t.Context(), account); err == nil {
			secrets = append(secrets, token.Reveal(), g.sim.LiveRefreshToken(account))
		}
	}
	walk := func(link, decision, account string) page {
		return b.get(note(b.consent(note(b.press(link)), decision, account)))
	}

	walk(g.link(`{}`), "allow", account)
	noteTokens(account)
	walk(g.link(`{}`), "deny", account)
	walk(g.link(`{"account":"`+account+`"}`), "allow", doorflowsim.AccountB)
	spoiled := b.consent(note(b.press(g.link(`{}`))), "allow", account)
	b.get(strings.Replace(note(spoiled), "code=", "code=wrong", 1))
	b.get(spoiled)
	for _, body := range []string{"down", `{"error":"invalid_client","error_description":"` + clientSecret + `"}`} {
		g.sim.Faults().FailToken(1, 401, body)
		walk(g.link(`{}`), "allow", account)
	}

	pending := g.link(`{"return_url":"` + returnURL + `"}`)
	back, err := url.Parse(note(walk(pending, "allow", doorflowsim.AccountB).to))
	must(t, err)
	secrets = append(secrets, g.sim.LiveRefreshToken(doorflowsim.AccountB))
	g.api(http.MethodPost, "/v1/connect-links/"+pending+"/complete", `{"code":"x`+back.Query().Get("code")+`"}`)
	g.api(http.MethodPost, "/v1/connect-links/"+pending+"/complete", `{"code":"`+back.Query().Get("code")+`"}`)
	noteTokens(doorflowsim.AccountB)

	fail := func(err error) { fmt.Fprintln(g.seen, "error:", err) }
	g.advance(2 * time.Hour)
	g.sim.Advance(2 * time.Hour)
	g.sim.Faults().FailToken(1, 500, `{"error":"`+clientSecret+`"}`)
	_, err = g.keeper.Token(t.Context(), account)
	fail(err)
	g.advance(time.Minute)
	noteTokens(account)
	g.sim.RevokeGrant(account)
	g.advance(2 * time.Hour)
	_, err = g.keeper.Token(t.Context(), account)
	fail(err)
	for _, a := range []string{account, doorflowsim.AccountB} {
		_, err = g.keeper.Disconnect(t.Context(), a)
		fail(err)
	}

	var bodies []string
	must(t, db.Select(t.Context(), &bodies, `SELECT body FROM messages`))
	if len(bodies) < 5 || len(secrets) < 20 {
		t.Fatalf("only %d messages and %d secrets: the test has lost its subject", len(bodies), len(secrets))
	}
	places := map[string]string{"logs, pages, replies, errors": g.seen.String(), "messages": strings.Join(bodies, "\n")}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		must(t, err)
		places[filepath.Base(file)] = string(raw)
	}
	if len(places["gatehouse.db"])+len(places["gatehouse.db-wal"]) == 0 {
		t.Fatal("the database's files were not found")
	}
	for where, text := range places {
		for _, secret := range secrets {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("%s: holds the secret %.6s…", where, secret)
			}
		}
	}
}
