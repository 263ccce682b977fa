package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow/doorflowsim"
	"gatehouse/internal/sqldb"
	"gatehouse/internal/sqldb/sqldbtest"
	"gatehouse/internal/vault"
	"gatehouse/keys"
)

const plantedSealed = "planted-sealed-Zt6Yb2Nc8M"

// sealMany keeps pending links with sealed tokens in a database that no gateway uses, so that a rotation has
// something to do. They expire in the far future.
func sealMany(t *testing.T, db *sqldb.DB, keyset string, count int) {
	t.Helper()
	v, err := vault.Load(t.Context(), keyset, db.Writer(), false)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for i := range count {
		id := fmt.Sprintf("many-%05d", i)
		sealed, err := v.Seal(vault.Place{Table: "connect_links", Row: id, Field: "refresh_token"}, vault.NewSecret(plantedSealed+id))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `INSERT INTO connect_links (id, status, return_url, reference, account, refresh_token, created_at, expires_at)
			VALUES (?, 'pending', '', '', '', ?, 1, 4000000000000)`, id, sealed); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// openMany opens them all, and returns how many there are for each key.
func openMany(t *testing.T, db *sqldb.DB, keyset string) map[uint32]int {
	t.Helper()
	v, err := vault.Load(t.Context(), keyset, db.Writer(), false)
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		ID     string
		Sealed []byte
	}
	if err := db.Select(t.Context(), &rows, `SELECT id, refresh_token AS sealed FROM connect_links WHERE id LIKE 'many-%'`); err != nil {
		t.Fatal(err)
	}
	counts := map[uint32]int{}
	for _, r := range rows {
		opened, err := v.Open(vault.Place{Table: "connect_links", Row: r.ID, Field: "refresh_token"}, r.Sealed)
		if err != nil || opened.Reveal() != plantedSealed+r.ID {
			t.Fatalf("%s does not open: %v", r.ID, err)
		}
		id, _ := vault.KeyID(r.Sealed)
		counts[id]++
	}
	return counts
}

// withData opens the database of a gateway on SQLite that is stopped.
func (g *gateway) withData(use func(db *sqldb.DB, keyset string)) {
	g.t.Helper()
	db, err := sqldb.Open(context.Background(), "", g.data)
	if err != nil {
		g.t.Fatal(err)
	}
	defer db.Close()
	use(db, filepath.Join(g.data, "keyset.json"))
}

func (g *gateway) keys() (s keys.Status) {
	g.t.Helper()
	a := g.call(http.MethodGet, "/v1/keys", "")
	for a.status == http.StatusTooManyRequests { // these tests ask more often than a key may
		time.Sleep(100 * time.Millisecond)
		a = g.call(http.MethodGet, "/v1/keys", "")
	}
	if a.status != http.StatusOK {
		g.t.Fatalf("%d %s", a.status, a.body)
	}
	a.json(g.t, &s)
	return s
}

func (g *gateway) awaitRotated(within time.Duration) keys.Status {
	g.t.Helper()
	var s keys.Status
	eventually(g.t, within, func() string {
		if s = g.keys(); s.Rotation.Open() {
			return fmt.Sprintf("the rotation is not done: %+v", *s.Rotation)
		}
		return ""
	})
	if s.Rotation == nil || s.Rotation.Error != "" {
		g.t.Fatalf("%+v", s.Rotation)
	}
	for _, v := range s.Sealed {
		if v.Values > 0 && v.Key != s.Current {
			g.t.Errorf("%d values of %s.%s are sealed with key %d, not %d", v.Values, v.Table, v.Field, v.Key, s.Current)
		}
	}
	return s
}

// A rotation is killed again and again: at random, and at the very moment when the key set file has changed.
// After each kill everything opens, and in the end nothing is sealed with the old key.
func TestKill9WhileRotating(t *testing.T) {
	t.Parallel()
	g := newGateway(t, map[string]string{"GATEHOUSE_LOG_LEVEL": "debug"})
	df := newCloud(t, g)
	g.start()
	df.connected(g)
	g.stop()
	const many = 3000
	g.withData(func(db *sqldb.DB, keyset string) { sealMany(t, db, keyset, many) })
	seen := map[string]int{}
	g.start()
	for range rounds(t) {
		before := g.keys().Current
		g.call(http.MethodPost, "/v1/keys/rotate", "")
		open := true
		for kills := 0; open && kills < 8; kills++ {
			switch {
			case kills < 2:
				awaitChange(t, filepath.Join(g.data, "keyset.json"), 100*time.Millisecond)
			case kills == 2:
				eventually(t, 30*time.Second, func() string {
					if r := g.keys().Rotation; r.Open() && r.State != keys.StateResealing {
						return "nothing is sealed again: the rotation is " + r.State
					}
					return ""
				})
			default:
				pause(0, 400*time.Millisecond)
			}
			g.kill()
			g.withData(func(db *sqldb.DB, keyset string) {
				counts := openMany(t, db, keyset)
				if len(counts) > 2 {
					t.Fatalf("three keys: %v", counts)
				}
				var state string
				if err := db.Get(t.Context(), &state, `SELECT state FROM key_rotations ORDER BY id DESC LIMIT 1`); err != nil {
					t.Fatal(err)
				}
				seen[state]++
			})
			g.start()
			open = g.keys().Rotation.Open()
		}
		if s := g.awaitRotated(30 * time.Second); s.Current == before || len(s.Keys) < 2 {
			t.Fatalf("%+v", s)
		}
	}
	// The account's tokens are still good.
	df.ExpireAccessTokens(doorflowsim.AccountA)
	df.Emit(doorflowsim.AccountA, doorflowsim.EventSpec{Code: 10, ChannelID: 5012})
	df.awaitAcknowledged(t, 1)
	current := g.keys().Current
	g.stop()
	g.withData(func(db *sqldb.DB, keyset string) {
		if counts := openMany(t, db, keyset); counts[current] != many {
			t.Errorf("%v, want %d with key %d", counts, many, current)
		}
	})
	secrets := map[string][]string{"a key": keyMaterial(t, g), "what was sealed": {plantedSealed}}
	for _, leak := range leaks(secrets, map[string][]byte{"the log": []byte(g.log())}) {
		t.Error(leak)
	}
	t.Logf("killed in these states: %v", seen)
	if seen[keys.StateResealing] == 0 {
		t.Error("never killed while sealing again: this test proves nothing")
	}
}

// awaitChange returns when a file is another one than it was, or after a while.
func awaitChange(t *testing.T, path string, within time.Duration) {
	t.Helper()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		if now, err := os.Stat(path); err == nil && !os.SameFile(before, now) {
			return
		}
	}
}

// keyMaterial is what stands in the key set file of a gateway that has rotated, and must stand nowhere else.
func keyMaterial(t *testing.T, g *gateway) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(g.data, "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	if err := json.Unmarshal(data, &file); err != nil || len(file.Key) < 2 {
		t.Fatalf("%d keys, %v", len(file.Key), err)
	}
	var values []string
	for _, k := range file.Key {
		if len(k.KeyData.Value) < 40 {
			t.Fatal("a key is too short to be one")
		}
		values = append(values, strings.TrimRight(k.KeyData.Value, "="))
	}
	return values
}

// Without a gateway the command does the same itself, and is killed as often.
func TestKill9OfTheCommandThatRotates(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil).start()
	g.stop()
	const many = 2000
	g.withData(func(db *sqldb.DB, keyset string) { sealMany(t, db, keyset, many) })
	env := map[string]string{"GATEHOUSE_DATA_DIR": g.data}
	for range 4 * rounds(t) {
		args := []string{"keys", "rotate"}
		if rand.IntN(3) == 0 {
			args = []string{"keys", "drop"}
		}
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = environment(env)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pause(0, 900*time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		g.withData(func(db *sqldb.DB, keyset string) { openMany(t, db, keyset) })
	}
	code, stdout, stderr := command(t, env, "keys", "rotate", "--drop-old")
	if code != 0 || !strings.Contains(stdout, "values were sealed again") || stderr != "" {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = command(t, env, "keys", "status", "--json")
	var s keys.Status
	if err := json.Unmarshal([]byte(stdout), &s); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if len(s.Replicas) != 1 || len(s.Replicas[0].Keys) != 1 {
		t.Errorf("%+v", s.Replicas)
	}
	g.withData(func(db *sqldb.DB, keyset string) {
		if counts := openMany(t, db, keyset); counts[s.Current] != many {
			t.Errorf("%v, want %d with key %d", counts, many, s.Current)
		}
	})
	if files, err := filepath.Glob(filepath.Join(g.data, "*.new")); err != nil || len(files) != 0 {
		t.Errorf("left lying around: %v %v", files, err)
	}
	g.start() // and a gateway starts on what is left
}

// Two replicas, each with its own copy of the key set: the rotation waits for the one that lags, and goes on
// although the other dies.
func TestRotationAcrossReplicas(t *testing.T) {
	t.Parallel()
	database := sqldbtest.PostgresURL(t)
	replicas := shared(t, database, newNATS(t), 2)
	one, two := replicas[0], replicas[1]
	second := filepath.Join(t.TempDir(), "keyset.json")
	copyKeyset(t, one.env["GATEHOUSE_KEYSET_FILE"], second)
	two.env["GATEHOUSE_KEYSET_FILE"] = second
	db, err := sqldb.Open(t.Context(), database, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	one.start()
	two.start()
	const many = 2000
	sealMany(t, db, second, many)
	old := one.keys().Current
	code, stdout, stderr := command(t, map[string]string{"GATEHOUSE_DATABASE_URL": database, "GATEHOUSE_KEYSET_FILE": second}, "keys", "status")
	if code != 0 || strings.Count(stdout, "replaced by the gateway") != 3 { // the command is one of them for the moment
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}

	if a := one.call(http.MethodPost, "/v1/keys/rotate", `{"drop_old":true}`); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var s keys.Status
	eventually(t, time.Minute, func() string {
		if s = one.keys(); s.Rotation.NewKey == 0 || s.Rotation.WaitsFor == "" {
			return "the rotation does not wait"
		}
		return ""
	})
	if s.Current != old || s.Rotation.State != keys.StateAdding || len(s.Replicas) != 2 {
		t.Fatalf("%+v %+v", s, s.Rotation)
	}
	// Both are the operator now.
	from, to := one.env["GATEHOUSE_KEYSET_FILE"], second
	if held, err := vault.ReadKeyset(to); err != nil || held.Has(s.Rotation.NewKey) {
		from, to = to, from
	}
	copyKeyset(t, from, to)
	eventually(t, time.Minute, func() string {
		if s = two.keys(); s.Current == old {
			return "the new key does not seal yet"
		}
		return ""
	})
	one.kill()
	openMany(t, db, second)
	eventually(t, 60*time.Second, func() string { // its lease and its row run out first
		if s = two.keys(); s.Rotation.State == keys.StateAdding || s.Rotation.State == keys.StateSwitching {
			return "the other one does not go on"
		}
		return ""
	})
	one.start()
	eventually(t, 120*time.Second, func() string {
		s = two.keys()
		if strings.Contains(s.Rotation.WaitsFor, "keys file drop") {
			// One of the files has been replaced, the other is the operator's to replace.
			for _, pair := range [][2]string{{from, to}, {to, from}} {
				if held, err := vault.ReadKeyset(pair[0]); err == nil && !held.Has(old) {
					copyKeyset(t, pair[0], pair[1])
				}
			}
		}
		if s.Rotation.Open() {
			return fmt.Sprintf("the rotation is not done: %+v", *s.Rotation)
		}
		return ""
	})
	one.awaitRotated(time.Second)
	if counts := openMany(t, db, second); counts[s.Current] != many {
		t.Errorf("%v, want %d with key %d", counts, many, s.Current)
	}
	for _, path := range []string{from, to} {
		if held, err := vault.ReadKeyset(path); err != nil || held.Has(old) || !held.Has(s.Current) {
			t.Errorf("%v %v", held.Keys(), err)
		}
	}
	logs := one.log() + two.log()
	if strings.Contains(logs, plantedSealed) {
		t.Error("a secret is in the log")
	}
}

func copyKeyset(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".copy", bytes.Clone(data), 0o600)
	}
	if err == nil {
		err = os.Rename(to+".copy", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}
