package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/telemetry"
	"gatehouse/internal/vault"
)

const planted = "pLaNtEd7"

func TestSecretsDoNotReachTheLog(t *testing.T) {
	address := &url.URL{Scheme: "https", Host: "api.example.test", Path: "/api/3/events/7", RawQuery: "ack_token=" + planted}
	failed := &url.Error{Op: "Get", URL: address.String(), Err: errors.New("refused")}
	for name, attr := range map[string]slog.Attr{
		"authorization":       slog.String("Authorization", "Bearer "+planted),
		"set-cookie":          slog.String("Set-Cookie", planted),
		"suffix _token":       slog.String("ack_token", planted),
		"camel x-api-key":     slog.String("X-Api-Key", planted),
		"suffix password":     slog.String("dbpassword", planted),
		"pin as a number":     slog.Any("pin", json.Number("1")),
		"code":                slog.String("code", planted),
		"state":               slog.String("state", planted),
		"client secret":       slog.String("client_secret", planted),
		"any under the name":  slog.Any("signature", []string{planted}),
		"vault secret":        slog.Any("key", vault.NewSecret(planted)),
		"log valuer":          slog.Any("x", valuer{slog.StringValue("https://h/?code=" + planted)}),
		"inside a group":      slog.Group("request", slog.String("cookie", planted)),
		"group named so":      slog.Group("credentials", slog.String("x", planted)),
		"url":                 slog.Any("url", address),
		"url value":           slog.Any("url", *address),
		"url as text":         slog.String("where", address.String()),
		"relative url":        slog.String("path", "/oauth/callback?code="+planted+"&state=x"),
		"fragment":            slog.String("path", "/#access_token="+planted),
		"user information":    slog.String("where", "nats://gatehouse:"+planted+"@127.0.0.1:4222"),
		"url error":           slog.Any("error", failed),
		"wrapped url error":   slog.Any("error", fmt.Errorf("fetching: %w", failed)),
		"odd query":           slog.Any("error", &url.Error{Op: "Get", URL: "https://h/?f={\"a\":(1)}&code=" + planted, Err: io.EOF}),
		"header":              slog.Any("h", http.Header{"Authorization": {planted}}),
		"form":                slog.Any("f", url.Values{"code": {planted}}),
		"texts":               slog.Any("list", []string{address.String()}),
		"bytes":               slog.Any("body", []byte(planted)),
		"error with any name": slog.Any("cause", errors.New("GET "+address.String()+": refused")),
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{"json", "text"} {
				var out bytes.Buffer
				log := telemetry.NewLogger(&out, format, slog.LevelInfo)
				log.Info("m", attr)
				log.With(attr).Info("m")
				log.WithGroup("g").Info("m", "a", 1, attr)
				log.Info("calling " + address.String())
				if strings.Contains(out.String(), planted) {
					t.Errorf("%s: %s", format, out.String())
				}
			}
		})
	}
}

type valuer struct{ v slog.Value }

func (v valuer) LogValue() slog.Value { return v.v }

func TestSecretGroupCoversWhatIsAddedLater(t *testing.T) {
	var out bytes.Buffer
	telemetry.NewLogger(&out, "json", slog.LevelInfo).WithGroup("headers").With("a", planted).Info("m", "b", planted)
	if strings.Contains(out.String(), planted) {
		t.Error(out.String())
	}
}

func TestWhatIsNotSecretStays(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.FixedZone("x", 3600))
	telemetry.NewLogger(&out, "json", slog.LevelInfo).Info("why? because", "code", 17, "state", 2, "at", at,
		"url", "https://h.example.test/a/b", "account", "hX9aQ2", "question", "a=b? c=d", "tokens_refreshed", 3)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"msg": "why? because", "code": 17.0, "state": 2.0, "at": "2026-01-01T11:00:00Z", "url": "https://h.example.test/a/b",
		"account": "hX9aQ2", "question": "a=b? c=d", "tokens_refreshed": 3.0,
	} {
		if line[key] != want {
			t.Errorf("%s = %v, want %v", key, line[key], want)
		}
	}
	if stamp, _ := line["time"].(string); !strings.HasSuffix(stamp, "Z") {
		t.Errorf("time %q is not in UTC", stamp)
	}
}

func TestScrub(t *testing.T) {
	for in, want := range map[string]string{
		"":        "",
		"is it?":  "is it?",
		"a ?b c":  "a ?b c",
		"#12 is":  "#12 is",
		"?a=b":    "",
		"x?a=b?c": "x",
		`Get "https://u:p@h.test/a?b=c": refused`: `Get "https://h.test/a": refused`,
		"two /a?b=c and /d?e=f, here":             "two /a and /d, here",
		"https://h.test/a?b=c: refused":           "https://h.test/a: refused",
		"a@b.test and ftp://x":                    "a@b.test and ftp://x",
	} {
		if got := telemetry.Scrub(in); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("https://u:p@h/?a=b")
	f.Add("://@?=#")
	f.Fuzz(func(t *testing.T, s string) {
		if once := telemetry.Scrub(s); len(once) > len(s) {
			t.Fatalf("%q grew to %q", s, once)
		}
	})
}

func BenchmarkLogLine(b *testing.B) {
	log := telemetry.NewLogger(io.Discard, "json", slog.LevelInfo)
	b.ReportAllocs()
	for b.Loop() {
		log.LogAttrs(b.Context(), slog.LevelInfo, "webhook", slog.String("request_id", "0193"), slog.String("outcome", "stored"),
			slog.Int("items", 3), slog.Duration("took", time.Millisecond), slog.String("remote", "192.0.2.1"))
	}
}
