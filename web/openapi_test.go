package web_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"gatehouse/apikeys"
	"gatehouse/web"
	"gatehouse/web/webtest"
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
func (everything) Change(echo.Context) error       { return nil }
func (everything) Test(echo.Context) error         { return nil }
func (everything) RotateSecret(echo.Context) error { return nil }
func (everything) Retry(echo.Context) error        { return nil }
func (everything) Replay(echo.Context) error       { return nil }

// everyRoute gives a server all routes there are.
func everyRoute(c *web.Config) {
	c.Connect, c.Connections, c.DoorFlow, c.Audit, c.Keys = everything{}, everything{}, everything{}, everything{}, everything{}
	c.Ring, c.NATSCredentials, c.Identities, c.Operations, c.Endpoints = everything{}, everything{}, everything{}, everything{}, everything{}
	c.Deliveries = everything{}
	c.SignInLinks = everything{}
}

// description is openapi.yaml.
func description(t *testing.T) *webtest.API {
	t.Helper()
	api, err := webtest.OpenAPI("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// Valid by OpenAPI's own rules, and each example by its schema.
func TestTheDescriptionIsValid(t *testing.T) {
	api := description(t)
	err := api.Spec.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation(), openapi3.EnableMultiError())
	if err != nil {
		t.Error(err)
	}
	for _, place := range examples(api.Root(), nil) {
		pointer, value := api.Find(place...)
		schema, _ := api.Find(append(slices.Clone(place[:max(slices.Index(place, "example"), slices.Index(place, "examples"))]), "schema")...)
		if object, ok := value.(map[string]any); ok && object["value"] != nil && slices.Contains(place, "examples") {
			value = object["value"]
		}
		if err := api.Check(schema, value); err != nil {
			t.Errorf("%s: %v", pointer, err)
		}
	}
}

// examples finds the examples that stand beside a schema.
func examples(at any, place []string) (found [][]string) {
	object, _ := at.(map[string]any)
	for name, below := range object {
		here := append(slices.Clone(place), name)
		switch list, _ := below.(map[string]any); {
		case object["schema"] != nil && name == "example":
			found = append(found, here)
		case object["schema"] != nil && name == "examples":
			for example := range list {
				found = append(found, append(slices.Clone(here), example))
			}
		default:
			found = append(found, examples(below, here)...)
		}
	}
	return found
}

func TestTheDescriptionAndTheRouteTableAgree(t *testing.T) {
	f := newFixture(t, everyRoute)
	for _, name := range []string{"openapi.yaml", "asyncapi.yaml"} {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		w := do(f.Public(true), httptest.NewRequest("GET", "/"+name, nil))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/yaml" || !bytes.Equal(w.Body.Bytes(), file) {
			t.Errorf("%s: %d %s", name, w.Code, w.Header().Get("Content-Type"))
		}
	}
	described := map[string]bool{}
	for _, op := range description(t).Operations {
		described[op.String()] = true
	}
	for _, r := range f.Public(true).(*echo.Echo).Routes() {
		if r.Method == http.MethodHead {
			continue
		}
		key := r.Method + " " + webtest.Template(r.Path)
		if !described[key] {
			t.Errorf("%s is not described", key)
		}
		delete(described, key)
	}
	for key := range described {
		t.Errorf("%s is described and does not exist", key)
	}
}

// Each operation says all that its caller must know, so that a new one cannot leave it out.
func TestEveryOperationIsDescribedWhole(t *testing.T) {
	api := description(t)
	tags := map[string]bool{}
	for _, tag := range api.Spec.Tags {
		tags[tag.Name] = true
	}
	ids := map[string]bool{}
	for _, op := range api.Operations {
		if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 || !tags[op.Tags[0]] {
			t.Errorf("%s needs an operationId of its own, a summary, and one of the tags", op)
		}
		ids[op.OperationID] = true
		if strings.HasPrefix(op.Path, "/v1/") {
			for _, lack := range append(lacksErrors(op), lacksExamples(op)...) {
				t.Errorf("%s lacks %s", op, lack)
			}
		}
	}
}

// lacksErrors names what every caller of an operation below /v1 may be answered, and what is not said.
func lacksErrors(op *webtest.Operation) (lacks []string) {
	want := map[string][]string{
		"401": {"unauthorized"}, "403": {"forbidden"}, "429": {"rate-limited", "too-many-attempts", "crowded"},
		"503": {"unavailable", "shutting-down"}, "default": {"internal", "too-many-headers"},
	}
	if op.RequestBody != nil {
		want["400"], want["413"], want["429"] = []string{"invalid"}, []string{"too-large"}, append(want["429"], "overloaded")
	}
	if strings.Contains(op.Path, "{") {
		want["404"] = []string{"not-found"}
	}
	for _, p := range op.Parameters {
		if p.Value.In == "query" {
			want["400"] = []string{"invalid"}
		}
	}
	for status, words := range want {
		response := op.Responses.Value(status)
		if response == nil {
			lacks = append(lacks, status)
			continue
		}
		var types []string
		for _, p := range webtest.Problems(response.Value) {
			types = append(types, p.Type)
		}
		for _, word := range words {
			if !slices.Contains(types, "/problems/"+word) {
				lacks = append(lacks, status+" "+word)
			}
		}
	}
	return lacks
}

// lacksExamples names the bodies of an operation that have none.
func lacksExamples(op *webtest.Operation) (lacks []string) {
	bodies := map[string]openapi3.Content{}
	if op.RequestBody != nil {
		bodies["the request"] = op.RequestBody.Value.Content
	}
	for status, response := range op.Responses.Map() {
		bodies["the answer "+status] = response.Value.Content
	}
	for name, content := range bodies {
		for kind, media := range content {
			if media.Schema == nil || media.Example == nil && len(media.Examples) == 0 {
				lacks = append(lacks, fmt.Sprintf("a schema or an example of %s as %s", name, kind))
			}
		}
	}
	return lacks
}

// The problems that the description gives for examples are those that the server answers, all of them.
func TestTheDescriptionNamesTheProblems(t *testing.T) {
	real := map[string]webtest.Problem{}
	words := map[string]bool{}
	for _, p := range web.Problems() {
		words[p.Type] = true
		real[fmt.Sprint(p.Type, p.Status, p.Detail)] = webtest.Problem{Type: p.Type, Title: p.Title, Detail: p.Detail, Status: p.Status}
	}
	api := description(t)
	for name, example := range api.Spec.Components.Examples {
		p := webtest.ProblemOf(example.Value)
		if p.Type == "" {
			continue
		}
		if real[fmt.Sprint(p.Type, p.Status, p.Detail)] != p {
			t.Errorf("the example %s is none that the server answers: %+v", name, p)
		}
		delete(words, p.Type)
	}
	for word := range words {
		t.Errorf("%s has no example", word)
	}
	for _, op := range api.Operations {
		for status, response := range op.Responses.Map() {
			for _, p := range webtest.Problems(response.Value) {
				if status != "default" && strconv.Itoa(p.Status) != status {
					t.Errorf("%s: %s among the answers %s", op, p.Type, status)
				}
			}
		}
	}
}

// What the gateway answers has no properties but those described. Only what others have made passes as it is.
func TestAnswersAreDescribedClosely(t *testing.T) {
	api := description(t)
	for _, op := range api.Operations {
		for status, response := range op.Responses.Map() {
			for kind, media := range response.Value.Content {
				loose(media.Schema, map[*openapi3.Schema]bool{}, func(s *openapi3.Schema) {
					t.Errorf("%s, %s as %s: an object with the properties %v says nothing of additionalProperties", op, status, kind, s.Required)
				})
			}
		}
	}
}

// loose finds the objects below a schema whose further properties could be anything.
func loose(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool, found func(*openapi3.Schema)) {
	if ref == nil || ref.Value == nil || seen[ref.Value] {
		return
	}
	s := ref.Value
	seen[s] = true
	if s.Type.Is("object") && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
		found(s)
	}
	for _, p := range s.Properties {
		loose(p, seen, found)
	}
	for _, p := range s.AllOf {
		loose(p, seen, found)
	}
	loose(s.Items, seen, found)
	loose(s.AdditionalProperties.Schema, seen, found)
}

// scopesDescribed returns the scopes that the description names for each method and path below /v1, of which any
// will do.
func scopesDescribed(t *testing.T) map[string][]string {
	t.Helper()
	scopes := map[string][]string{}
	for _, op := range description(t).Operations {
		if !strings.HasPrefix(op.Path, "/v1/") {
			continue
		}
		scopes[op.String()] = nil
		if op.Security == nil {
			t.Errorf("%s names no scope", op)
			continue
		}
		for _, s := range *op.Security {
			for _, scope := range s["key"] {
				if !slices.Contains(apikeys.Scopes(), scope) {
					t.Errorf("%s names the scope %q", op, scope)
				}
				scopes[op.String()] = append(scopes[op.String()], scope)
			}
		}
	}
	return scopes
}

// Whoever writes a program against it finds said of each field and parameter what it is.
func TestEverythingInTheDescriptionIsExplained(t *testing.T) {
	explained(t, description(t).Root(), "")
}

func explained(t *testing.T, at any, place string) {
	t.Helper()
	if list, ok := at.([]any); ok {
		for i, below := range list {
			explained(t, below, fmt.Sprint(place, "/", i))
		}
	}
	object, _ := at.(map[string]any)
	if object["in"] != nil && object["schema"] != nil && object["description"] == nil {
		t.Errorf("%s (%v) is not explained", place, object["name"])
	}
	if fields, _ := object["properties"].(map[string]any); !strings.Contains(place, "/example") {
		for name, field := range fields {
			of, _ := field.(map[string]any)
			if of != nil && of["$ref"] == nil && of["description"] == nil && name != "items" {
				t.Errorf("%s/properties/%s is not explained", place, name)
			}
		}
	}
	for name, below := range object {
		explained(t, below, place+"/"+name)
	}
}
