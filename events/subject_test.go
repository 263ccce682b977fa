package events_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gatehouse/events"
)

func TestToken(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "hX9aQ2-_", "hX9aQ2-_"},
		{"empty", "", "%"},
		{"dot", "a.b", "a%2Eb"},
		{"wildcards", "*>", "%2A%3E"},
		{"per cent", "%", "%25"},
		{"what reads like an escape", "%2E", "%252E"},
		{"blank and control", " \t\n\x00\x7f", "%20%09%0A%00%7F"},
		{"not ASCII", "é\xff", "%C3%A9%FF"},
		{"as long as allowed", strings.Repeat("x", 96), strings.Repeat("x", 96)},
		{"too long", strings.Repeat("x", 97), "%h7cc3e8aedd25cc0f85a0e1ee8c27c0e1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := events.Token(tt.in)
			if tt.name == "too long" {
				if !strings.HasPrefix(got, "%h") || len(got) != 34 || got == events.Token(tt.in+"x") {
					t.Fatalf("got %q", got)
				}
				return
			}
			if got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzToken(f *testing.F) {
	f.Add("hX9aQ2", "hX9aq2")
	f.Add("", "%")
	f.Add("a.b", "a%2Eb")
	f.Add(strings.Repeat("x", 97), "%h")
	f.Fuzz(func(t *testing.T, a, b string) {
		token, other := events.Token(a), events.Token(b)
		for _, c := range []byte(token) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte(".*>", c) >= 0 {
				t.Fatalf("%q becomes %q", a, token)
			}
		}
		if token == "" || !server.IsValidLiteralSubject("x."+token+".y") {
			t.Fatalf("%q becomes %q, which is no token", a, token)
		}
		if a != b && token == other {
			t.Fatalf("%q and %q both become %q", a, b, token)
		}
	})
}

func TestParsePattern(t *testing.T) {
	for pattern, good := range map[string]bool{
		"": true, ">": true, "*": true, "a": true, "a.*.b": true, "a.>": true, "gatehouse.event.*.access.>": true,
		".": false, "a.": false, ".a": false, "a..b": false, ">.a": false, "a.>.b": false, "a*": false, "a.b>": false, "a b": false,
		"a\x00": false, strings.Repeat("a", 513): false,
	} {
		if _, err := events.ParsePattern(pattern); (err == nil) != good {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestPatternsOfWhatIsSaid(t *testing.T) {
	for pattern, want := range map[string]bool{
		"": true, ">": true, "*": false, "*.>": true, "gatehouse": false, "gatehouse.>": true, "gatehouse.*": true, "gatehouse.event": true,
		"gatehouse.event.>": true, "gatehouse.*.hX9aQ2.>": true, "*.endpoint.*.disabled": true,
		"doorflow.>": false, "gatehouse.command.>": false, "gatehouse.ask.acme.share.me": false, "gatehouse.audit.head": false, "Gatehouse.event.>": false,
	} {
		p, err := events.ParsePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Spoken(); got != want {
			t.Errorf("%q: %v, want %v", pattern, got, want)
		}
	}
}

func TestPatternMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, subject string
		want             bool
	}{
		{"", "a.b", true},
		{"a.b", "a.b", true},
		{"a.b", "a", false},
		{"a.b", "a.b.c", false},
		{"a", "a.", false},
		{"*", "a", true},
		{"*", "a.b", false},
		{"a.*", "a", false},
		{"a.*", "a.b", true},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.d", false},
		{">", "a", true},
		{">", "a.b", true},
		{"a.>", "a", false},
		{"a.>", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.>", "b.c", false},
		{"a.*.>", "a.b", false},
		{"a.*.>", "a.b.c", true},
		{"A", "a", false},
	} {
		p, err := events.ParsePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(tt.subject); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.subject, got, tt.want)
		}
	}
}

// NATS itself says what matches.
func FuzzPatternMatch(f *testing.F) {
	for _, seed := range [][2]string{{"a.*.>", "a.b.c"}, {"a.>", "a"}, {"*", "a"}, {"a.b", "a.b.c"}, {">", "a.b"}, {"a.*", "a.b"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		p, err := events.ParsePattern(pattern)
		if err != nil || pattern == "" || !server.IsValidSubject(pattern) || !server.IsValidLiteralSubject(subject) {
			return
		}
		if got, want := p.Match(subject), server.SubjectsCollide(pattern, subject); got != want {
			t.Fatalf("%q matches %q: %v, NATS says %v", pattern, subject, got, want)
		}
	})
}

// A source is a URI reference, whatever an account is called.
func TestSourcesAreReferences(t *testing.T) {
	for _, account := range []string{"hX9aQ2", "", "a b/c%", strings.Repeat("x", 97)} {
		m := events.NewMessage(events.ConnectionTopic(account, "active"), time.Now(), nil)
		u, err := url.Parse(m.Source)
		if err != nil || u.EscapedPath() != m.Source || strings.Count(u.EscapedPath(), "/") != 3 {
			t.Errorf("%q: %q %v", account, m.Source, err)
		}
	}
}
