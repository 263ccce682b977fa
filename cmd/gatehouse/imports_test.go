package main_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "gatehouse"

// mayImport is who may import whom, tests aside. What ends with a slash stands for all below it.
var mayImport = map[string][]string{
	"apikeys":                  {"events", "internal/"},
	"doordeck":                 {},
	"doordeck/doordecksim":     {},
	"doorflow":                 {},
	"doorflow/doorflowsim":     {"doorflow"},
	"events":                   {"internal/"},
	"oauth":                    {"doorflow", "events", "internal/"},
	"sharing":                  {"doordeck", "events", "internal/"},
	"passthrough":              {"doorflow", "tokens", "internal/"},
	"standardwebhooks":         {},
	"tokens":                   {"events", "internal/"},
	"webhooks":                 {"doorflow", "events", "standardwebhooks", "internal/"},
	"keys":                     {"internal/"},
	"sessions":                 {"apikeys", "events", "internal/"},
	"migrations":               {},
	"wording":                  {"events", "sharing"},
	"examples/":                {}, // they are what anybody could write
	"examples/receiver/go":     {"doorflow", "standardwebhooks"},
	"internal/audit":           {"internal/invalid", "internal/sqldb"},
	"internal/natsauth":        {"events", "internal/"},
	"internal/sqldb/sqldbtest": {"internal/sqldb", "migrations"},
	"internal/":                {},
	"web":                      {"apikeys", "doorflow", "events", "oauth", "passthrough", "sessions", "sharing", "tokens", "webhooks", "internal/"},
	"web/reference":            {},
	"web/dashboard":            {"web", "web/reference", "apikeys", "events", "oauth", "sessions", "sharing", "tokens", "webhooks", "wording", "internal/"},
	"web/webtest":              {},
	"cmd/gatehouse":            {"apikeys", "doordeck", "doordeck/doordecksim", "doorflow", "doorflow/doorflowsim", "events", "keys", "oauth", "passthrough", "sessions", "sharing", "standardwebhooks", "tokens", "webhooks", "web", "web/dashboard", "wording", "migrations", "internal/"},
}

// onlyIn says which files may know a library that must stay replaceable.
var onlyIn = map[string][]string{
	"github.com/nats-io/nats-server/v2": {"events/embedded.go"},
	"github.com/labstack/echo/v4": {
		"web/*.go", "web/dashboard/*.go", "*/handlers.go", "events/sse.go", "events/related.go", "webhooks/receive.go", "webhooks/*_handlers.go", "oauth/connect.go", "oauth/callback.go", "oauth/pages.go",
		"oauth/complete.go", "sharing/*_handlers.go", "internal/audit/*handlers.go", "internal/natsauth/handlers.go", "cmd/gatehouse/bench.go",
	},
}

// A leaf uses the standard library and these.
var (
	leaves        = []string{"doordeck", "doorflow", "standardwebhooks"}
	leafLibraries = []string{"github.com/go-jose/go-jose/v4"}
)

type goPackage struct {
	ImportPath, Dir string
	Imports         []string
	GoFiles         []string
	Standard        bool
}

func (p goPackage) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// packages lists every package that this program is made of, and those of its tests.
func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Dir,Imports,GoFiles,Standard", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func ours(importPath string) (string, bool) { return strings.CutPrefix(importPath, module+"/") }

// rule is the most particular one for a package.
func rule(name string) (allowed []string, ok bool) {
	if allowed, ok = mayImport[name]; ok {
		return allowed, true
	}
	for dir, allowed := range mayImport {
		if strings.HasSuffix(dir, "/") && strings.HasPrefix(name, dir) {
			return allowed, true
		}
	}
	return nil, false
}

func permits(allowed []string, name string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		return a == name || (strings.HasSuffix(a, "/") && strings.HasPrefix(name, a))
	})
}

func TestImportsFollowTheLayout(t *testing.T) {
	all := packages(t)
	standard := map[string]bool{}
	for _, p := range all {
		standard[p.ImportPath] = p.Standard
	}
	seen := 0
	for _, p := range all {
		if _, mine := ours(p.ImportPath); !mine {
			continue
		}
		seen++
		allowed, ok := rule(p.name())
		if !ok {
			t.Errorf("%s: no rule says what it may import; add one to this test", p.name())
			continue
		}
		for _, imported := range p.Imports {
			name, mine := ours(imported)
			switch {
			case mine && !permits(allowed, name):
				t.Errorf("%s imports %s", p.name(), name)
			case !mine && p.name() == "doordeck/doordecksim" && !standard[imported]:
				t.Errorf("%s imports %s: it checks with the standard library alone", p.name(), imported)
			case !mine && slices.Contains(leaves, p.name()) && !standard[imported] && !slices.Contains(leafLibraries, imported):
				t.Errorf("%s imports %s: it is a leaf", p.name(), imported)
			}
		}
		checkFiles(t, p)
	}
	if seen < 10 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

// checkFiles looks at single files: some libraries may be known to a few only.
func checkFiles(t *testing.T, p goPackage) {
	t.Helper()
	for _, file := range p.GoFiles {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			for library, places := range onlyIn {
				if imported != library && !strings.HasPrefix(imported, library+"/") {
					continue
				}
				at := path.Join(p.name(), file)
				if !slices.ContainsFunc(places, func(pattern string) bool {
					ok, _ := path.Match(pattern, at)
					return ok
				}) {
					t.Errorf("%s imports %s, which only %v may", at, imported, places)
				}
			}
		}
	}
}
