package natsauth_test

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/natsauth"
	"gatehouse/internal/sqldb/sqldbtest"
)

// Neither the key nor the token of a minted file is in the log, an error, or the directory.
func TestTheFileIsNowhereElse(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	loud := slog.New(slog.NewJSONHandler(locked{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	base := t.TempDir()
	db := sqldbtest.SQLiteIn(t, base)
	s := open(t, db, filepath.Join(base, "jetstream"), func(c *natsauth.Config) { c.Log = loud })
	_, file, err := s.Mint(t.Context(), hears, time.Time{})
	must(t, err)
	creds := save(t, file)
	a := s.connect(t, "app", creds)
	must(t, a.Publish("gatehouse.event.hX9aQ2.x.y", nil))
	s.say(t, "gatehouse.event.hX9aQ2.access.granted", "1")
	a.fetch(t, 1)
	_, _, again := s.Mint(t.Context(), hears, time.Time{})
	must(t, s.Revoke(t.Context(), "app", natsauth.All))
	a.gone(t)
	s.shut(t, creds)
	s.stop()
	mu.Lock()
	places := log.String() + again.Error()
	mu.Unlock()
	if !strings.Contains(places, `"level":"DEBUG"`) {
		t.Fatal("the log was not looked at")
	}
	found := 0
	must(t, filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, failed := os.ReadFile(path)
			places, err = places+string(data), failed
			found++
		}
		return err
	}))
	if found < 3 || !strings.Contains(places, "nats_credentials") {
		t.Fatalf("only %d files were looked at", found)
	}
	secrets := 0
	for line := range strings.Lines(file.Reveal()) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "SU") || strings.HasPrefix(line, "eyJ") {
			secrets++
			if strings.Contains(places, line) || strings.Contains(places, base64.StdEncoding.EncodeToString([]byte(line))) {
				t.Errorf("found %s…", line[:3])
			}
		}
	}
	if secrets != 2 {
		t.Fatalf("the file has %d secrets", secrets)
	}
}

type locked struct {
	mu  *sync.Mutex
	buf *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}
