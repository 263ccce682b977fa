package web_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"gatehouse/web"
)

type everything struct{}

func (everything) StartPage(echo.Context) error    { return nil }
func (everything) Start(echo.Context) error        { return nil }
func (everything) Callback(echo.Context) error     { return nil }
func (everything) CreateLink(echo.Context) error   { return nil }
func (everything) GetLink(echo.Context) error      { return nil }
func (everything) CompleteLink(echo.Context) error { return nil }
func (everything) List(echo.Context) error         { return nil }
func (everything) Get(echo.Context) error          { return nil }
func (everything) Delete(echo.Context) error       { return nil }
func (everything) Create(echo.Context) error       { return nil }
func (everything) Status(echo.Context) error       { return nil }
func (everything) Rotate(echo.Context) error       { return nil }
func (everything) Drop(echo.Context) error         { return nil }
func (everything) Handle(echo.Context) error       { return nil }
func (everything) Register(echo.Context) error     { return nil }
func (everything) Verify(echo.Context) error       { return nil }
func (everything) Check(echo.Context) error        { return nil }
func (everything) Doors(echo.Context) error        { return nil }
func (everything) Door(echo.Context) error         { return nil }
func (everything) DoorUsers(echo.Context) error    { return nil }
func (everything) Submit(echo.Context) error       { return nil }
func (everything) Lookup(echo.Context) error       { return nil }

// everyRoute gives a server all routes there are.
func everyRoute(c *web.Config) {
	c.Connect, c.Connections, c.DoorFlow, c.Audit, c.Keys = everything{}, everything{}, everything{}, everything{}, everything{}
	c.Ring, c.NATSCredentials, c.Identities, c.Operations = everything{}, everything{}, everything{}, everything{}
}

// described reads the paths and methods of the description by their indentation.
func described(t *testing.T, yaml string) map[string]bool {
	t.Helper()
	found, path, inside := map[string]bool{}, "", false
	for line := range strings.Lines(yaml) {
		line = strings.TrimRight(line, "\n")
		switch name, isKey := strings.CutSuffix(line, ":"); {
		case line == "paths:":
			inside = true
		case line != "" && line[0] != ' ':
			inside = false
		case !inside || !isKey:
		case strings.HasPrefix(name, "  /"):
			path = strings.TrimSpace(name)
		case strings.HasPrefix(name, "    ") && name[4] != ' ' && name != "    parameters":
			found[strings.ToUpper(strings.TrimSpace(name))+" "+path] = true
		}
	}
	return found
}

func TestTheDescriptionAndTheRouteTableAgree(t *testing.T) {
	f := newFixture(t, everyRoute)
	w := do(f.Public(true), httptest.NewRequest("GET", "/openapi.yaml", nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/yaml" {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	documented := described(t, w.Body.String())
	for _, r := range f.Public(true).(*echo.Echo).Routes() {
		if r.Method == http.MethodHead {
			continue
		}
		parts := strings.Split(r.Path, "/")
		for i, p := range parts {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				parts[i] = "{" + name + "}"
			}
			if p == "*" {
				parts[i] = "{path}"
			}
		}
		key := r.Method + " " + strings.Join(parts, "/")
		if !documented[key] {
			t.Errorf("%s is not described", key)
		}
		delete(documented, key)
	}
	for key := range documented {
		t.Errorf("%s is described and does not exist", key)
	}
}

var (
	security = regexp.MustCompile(`^      security: \[(\{key: \["[^"]+"\]\}(?:, )?)+\]$`)
	oneScope = regexp.MustCompile(`\["([^"]+)"\]`)
)

// scopesDescribed returns the scopes that the description names for each method and path below /v1, of which any
// will do.
func scopesDescribed(t *testing.T) map[string][]string {
	t.Helper()
	f := newFixture(t, nil)
	w := do(f.Public(true), httptest.NewRequest(http.MethodGet, "/openapi.yaml", nil))
	scopes, path, key := map[string][]string{}, "", ""
	for line := range strings.Lines(w.Body.String()) {
		line = strings.TrimRight(line, "\n")
		name, isKey := strings.CutSuffix(line, ":")
		switch {
		case line == "components:":
			return scopes
		case isKey && strings.HasPrefix(name, "  /"):
			path = strings.TrimSpace(name)
		case isKey && strings.HasPrefix(name, "    ") && name[4] != ' ' && name != "    parameters" && strings.HasPrefix(path, "/v1/"):
			key = strings.ToUpper(strings.TrimSpace(name)) + " " + path
			scopes[key] = nil
		}
		if security.MatchString(line) {
			for _, m := range oneScope.FindAllStringSubmatch(line, -1) {
				scopes[key] = append(scopes[key], m[1])
			}
		}
	}
	return scopes
}
