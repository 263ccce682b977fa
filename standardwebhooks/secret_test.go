package standardwebhooks_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatehouse/standardwebhooks"
)

func TestParseSecret(t *testing.T) {
	of := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, n)) }
	for _, test := range []struct {
		name, secret string
		ok           bool
	}{
		{"24 bytes", of(24), true},
		{"23 bytes", of(23), false},
		{"64 bytes", of(64), true},
		{"65 bytes", of(65), false},
		{"empty", "", false},
		{"the prefix alone", "whsec_", false},
		{"no prefix", strings.TrimPrefix(of(32), "whsec_"), false},
		{"another case", "WHSEC_" + strings.TrimPrefix(of(32), "whsec_"), false},
		{"an asymmetric key", "whsk_" + strings.TrimPrefix(of(32), "whsec_"), false},
		{"without padding", strings.TrimRight(of(32), "="), false},
		{"base64 for URLs", strings.NewReplacer("+", "-", "/", "_").Replace("whsec_" + strings.Repeat("+/", 16)), false},
		{"a line end", of(32) + "\n", false},
		{"a line end within", of(32)[:20] + "\n" + of(32)[20:], false},
		{"bits that stand for nothing", of(32)[:len(of(32))-2] + "/=", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			secret, err := standardwebhooks.ParseSecret(test.secret)
			if test.ok {
				if err != nil || secret.Reveal() != test.secret {
					t.Fatalf("%q, %v", secret.Reveal(), err)
				}
				return
			}
			if !errors.Is(err, standardwebhooks.ErrSecret) || secret.Reveal() != "" {
				t.Errorf("%q, %v", secret.Reveal(), err)
			}
		})
	}
}

func TestNewSecret(t *testing.T) {
	a, b := standardwebhooks.NewSecret(), standardwebhooks.NewSecret()
	if a == b {
		t.Error("twice the same")
	}
	if got, err := standardwebhooks.ParseSecret(a.Reveal()); err != nil || got != a {
		t.Errorf("it is not read again: %v", err)
	}
	if n := base64.StdEncoding.DecodedLen(len(a.Reveal()) - len("whsec_")); n < 32 {
		t.Errorf("%d bytes", n)
	}
}

func TestASecretIsNotPrinted(t *testing.T) {
	secret := standardwebhooks.NewSecret()
	inside := struct{ secret standardwebhooks.Secret }{secret}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "inside", inside)
	text, err := json.Marshal(map[string]any{"secret": secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(secret, inside), fmt.Sprintf("%v %+v %#v %s %x %q", secret, inside, secret, secret, secret, inside), log.String(), string(text)} {
		if strings.Contains(s, secret.Reveal()[len("whsec_"):]) || strings.Contains(s, fmt.Sprintf("%x", secret.Reveal())) {
			t.Errorf("it is in %s", s)
		}
	}
	if !strings.Contains(log.String(), "secret=REDACTED") || string(text) != `{"secret":"REDACTED"}` {
		t.Errorf("%s%s", log.String(), text)
	}
}
