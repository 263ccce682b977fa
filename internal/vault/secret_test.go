package vault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatehouse/internal/vault"
)

func TestASecretIsNotSeen(t *testing.T) {
	const planted = "pLaNtEd-secret"
	secret := vault.NewSecret(planted)
	type holder struct {
		Shown  vault.Secret
		hidden vault.Secret // fmt and slog's text handler look into it without asking its methods
	}
	for name, v := range map[string]any{
		"itself": secret, "pointer": &secret, "exported field": holder{Shown: secret}, "unexported field": holder{hidden: secret},
		"behind a pointer": &holder{hidden: secret}, "slice": []holder{{hidden: secret}}, "map": map[string]holder{"x": {hidden: secret}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
			if err := json.NewEncoder(&out).Encode(v); err != nil {
				t.Fatal(err)
			}
			for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%X", planted), fmt.Sprint([]byte(planted))} {
				if strings.Contains(out.String(), form) {
					t.Errorf("seen as %s in\n%s", form, &out)
				}
			}
		})
	}
}

func TestSecretsAreComparedByWhatTheyAre(t *testing.T) {
	for name, row := range map[string]struct {
		a, b string
		same bool
	}{
		"same": {"one", "one", true}, "different": {"one", "two", false}, "none": {"", "", true}, "one of them none": {"one", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := vault.NewSecret(row.a), vault.NewSecret(strings.Clone(row.b))
			if (a == b) != row.same || a.Reveal() != row.a || b.Reveal() != row.b || a.IsZero() != (row.a == "") {
				t.Errorf("equal: %v, want %v; %q %q", a == b, row.same, a.Reveal(), b.Reveal())
			}
			var read vault.Secret
			if err := read.UnmarshalText([]byte(row.a)); err != nil || read != a {
				t.Errorf("read from text: %q, %v", read.Reveal(), err)
			}
		})
	}
}
