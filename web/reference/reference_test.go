package reference_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gatehouse/web/reference"
	"gatehouse/web/webtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func file(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(t *testing.T) *reference.Reference {
	t.Helper()
	r, err := reference.Read(file(t, "openapi.yaml"), file(t, "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Nothing of the HTTP API is lost on its way to a page.
func TestEveryRequestIsRead(t *testing.T) {
	api, err := webtest.OpenAPI("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, found := read(t), map[string]reference.Request{}
	for _, g := range r.Requests {
		if g.About == "" || len(g.Requests) == 0 {
			t.Errorf("the group %s says nothing", g.Name)
		}
		for _, q := range g.Requests {
			found[q.Method+" "+q.Path] = q
		}
	}
	for _, op := range api.Operations {
		q, ok := found[op.String()]
		delete(found, op.String())
		if !ok || q.ID != op.OperationID || q.Summary != op.Summary || (q.Body != nil) != (op.RequestBody != nil) || len(q.Answers) != op.Responses.Len() {
			t.Errorf("%s is read as %+v", op, q)
			continue
		}
		for _, s := range *op.Security {
			for _, scope := range s["key"] {
				if !slices.Contains(q.Scopes, scope) {
					t.Errorf("%s lacks the scope %s", op, scope)
				}
			}
		}
		for _, name := range pathParameters(op.Path) {
			if !slices.ContainsFunc(q.Parameters, func(f reference.Field) bool { return f.Name == name }) {
				t.Errorf("%s lacks the parameter %s", op, name)
			}
		}
		for _, a := range q.Answers {
			response := op.Responses.Value(strings.Replace(a.Status, "other", "default", 1))
			if response == nil || len(a.Problems) != len(webtest.Problems(response.Value)) {
				t.Errorf("%s, %s: %d problems", op, a.Status, len(a.Problems))
			}
			for _, b := range a.Bodies {
				examples(t, op.String(), b)
			}
		}
		if q.Body != nil {
			examples(t, op.String(), *q.Body)
		}
	}
	for key := range found {
		t.Errorf("%s does not exist", key)
	}
	if len(r.Problems) != len(api.Spec.Components.Examples) {
		t.Errorf("%d problems, want %d", len(r.Problems), len(api.Spec.Components.Examples))
	}
}

func pathParameters(path string) (names []string) {
	for _, part := range strings.Split(path, "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		names = append(names, name)
	}
	return names
}

// examples wants each example of JSON to be just that, with every field among those described.
func examples(t *testing.T, of string, b reference.Body) {
	t.Helper()
	if b.Kind != "" && !strings.HasSuffix(b.Kind, "json") {
		return
	}
	for _, e := range b.Examples {
		var value any
		if err := json.Unmarshal([]byte(e), &value); err != nil {
			t.Errorf("%s: %v: %s", of, err, e)
		}
		described(t, of, value, b.Field)
	}
}

func described(t *testing.T, of string, value any, f reference.Field) {
	t.Helper()
	fields := f.Fields
	for _, c := range f.Choices {
		fields = append(fields, c.Fields...)
	}
	switch value := value.(type) {
	case []any:
		for _, v := range value {
			described(t, of, v, f)
		}
	case map[string]any:
		for name, v := range value {
			i := slices.IndexFunc(fields, func(f reference.Field) bool { return f.Name == name || f.Name == "any name" })
			if i < 0 && len(fields) > 0 {
				t.Errorf("%s: the example has %s, which is not described", of, name)
			} else if i >= 0 {
				described(t, of, v, fields[i])
			}
		}
	}
}

// Nothing of the messages is lost either.
func TestEveryMessageIsRead(t *testing.T) {
	bus, err := webtest.AsyncAPI("../asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]reference.Channel{}
	carried := map[string]bool{}
	for _, g := range read(t).Messages {
		for _, c := range g.Channels {
			shown[c.ID] = c
			for _, m := range append(c.Messages, c.Replies...) {
				carried[m.Name] = true
				if m.Title == "" || len(m.Body.Examples) == 0 {
					t.Errorf("%s: the message %s has no title or no example", c.Subject, m.Name)
				}
				examples(t, c.Subject, m.Body)
			}
			if c.Asked == (len(c.Replies) == 0) {
				t.Errorf("%s: asked is %v, and there are %d replies", c.Subject, c.Asked, len(c.Replies))
			}
		}
	}
	for _, c := range bus.Channels {
		for _, m := range c.Messages {
			if !carried[m] {
				t.Errorf("%s is lost", m)
			}
		}
		if got := shown[c.ID]; c.Address != "" && (got.Subject != c.Address || len(got.Messages) != len(c.Messages) || len(got.Parameters) != len(pathParameters(c.Address))) {
			t.Errorf("%s is read as %+v", c.ID, got)
		}
	}
}

// What schemas say is said in words, those of several schemas together.
func TestSchemasInWords(t *testing.T) {
	r, err := reference.Read([]byte(`
info: {description: About.}
tags: [{name: things, description: Things.}]
paths:
  /things:
    put:
      tags: [things]
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}, example: {b: 1, a: "x<y", c: [true, null]}}}}
      responses: {}
components:
  schemas:
    Base: {type: object, required: [id], properties: {id: {type: string, format: uuid, description: Its id.}, data: true}}
    Thing:
      allOf: [{$ref: "#/components/schemas/Base"}]
      required: [data]
      properties:
        id: {pattern: "^0"}
        data: {anyOf: [{type: integer, minimum: 1, maximum: 3}, {$ref: "#/components/schemas/Base"}]}
        tags: {type: array, maxItems: 2, uniqueItems: true, items: {type: string, maxLength: 9}}
        kind: {enum: [one, two], default: one}
        more: {type: object, additionalProperties: {type: boolean}}
        self: {$ref: "#/components/schemas/Loop"}
    Loop: {type: object, properties: {loop: {$ref: "#/components/schemas/Loop"}}}
`), []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	body := r.Requests[0].Requests[0].Body
	if want := `{"b":1,"a":"x<y","c":[true,null]}`; body.Examples[0] != want {
		t.Errorf("the example is %s, want %s", body.Examples[0], want)
	}
	id := reference.Field{Name: "id", Type: "UUID", About: "Its id.", Required: true}
	of := func(f reference.Field, rules ...string) reference.Field { f.Rules = rules; return f }
	want := []reference.Field{
		of(id, "matches `^0`"),
		{Name: "data", Type: "one of several", Required: true, Choices: []reference.Field{
			{Type: "integer", Rules: []string{"1 to 3"}},
			{Name: "Base", Type: "Base", Fields: []reference.Field{id, {Name: "data", Type: "anything"}}},
		}},
		{Name: "tags", Type: "list of strings", Rules: []string{"at most 2 items", "each once", "each at most 9 characters"}},
		{Name: "kind", Type: "string", Rules: []string{"`one`, `two`", "`one` unless given"}},
		{Name: "more", Type: "object", Fields: []reference.Field{{Name: "any name", Type: "boolean"}}},
	}
	if diff := cmp.Diff(want, body.Field.Fields[:5]); diff != "" {
		t.Error(diff)
	}
	depth := 0
	for f := body.Field.Fields[5]; len(f.Fields) > 0; f = f.Fields[0] {
		depth++
	}
	if depth < 2 || depth > 20 {
		t.Errorf("a schema made of itself is shown %d times", depth)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, document := range []string{"\t", "a: [", "a: b: c"} {
		if _, err := reference.Read([]byte(document), nil); err == nil {
			t.Errorf("%q is read", document)
		}
	}
}
