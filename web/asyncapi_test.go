package web_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"gatehouse/events"
	"gatehouse/web/webtest"
)

// messageDescription is asyncapi.yaml.
func messageDescription(t *testing.T) *webtest.Bus {
	t.Helper()
	bus, err := webtest.AsyncAPI("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return bus
}

// Valid by AsyncAPI's own schema, with references that lead somewhere.
func TestTheDescriptionOfMessagesIsValid(t *testing.T) {
	bus := messageDescription(t)
	file, err := os.Open("testdata/asyncapi/3.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	schema, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///asyncapi.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("file:///asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(bus.Root()); err != nil {
		t.Error(err)
	}
	for _, ref := range references(bus.Root()) {
		if _, found := bus.Find(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...); found == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	}
}

func references(at any) (all []string) {
	switch at := at.(type) {
	case map[string]any:
		if ref, ok := at["$ref"].(string); ok {
			all = append(all, ref)
		}
		for _, below := range at {
			all = append(all, references(below)...)
		}
	case []any:
		for _, below := range at {
			all = append(all, references(below)...)
		}
	}
	return all
}

// Each message has an example, which is that message and no other of its channel.
func TestTheExamplesOfMessages(t *testing.T) {
	bus := messageDescription(t)
	for _, c := range bus.Channels {
		for _, m := range c.Messages {
			_, found := bus.Find("channels", c.ID, "messages", m, "examples")
			examples, _ := found.([]any)
			if len(examples) == 0 {
				t.Errorf("%s has no example", m)
			}
			for _, e := range examples {
				if is, err := bus.CheckOne(c.ID, c.Messages, encoded(t, e.(map[string]any)["payload"])); err != nil || is != m {
					t.Errorf("an example of %s: %s %v", m, is, err)
				}
			}
		}
	}
}

// Each kind of subject there is has a channel, each channel an operation, and each message is of a channel.
func TestEveryKindOfSubjectHasAChannel(t *testing.T) {
	bus := messageDescription(t)
	kinds, carried := events.Kinds(), map[string]bool{}
	for _, c := range bus.Channels {
		for _, m := range c.Messages {
			carried[m] = true
		}
		if c.Address == "" {
			continue
		}
		kinds = slices.DeleteFunc(kinds, func(kind string) bool { return strings.HasPrefix(c.Address, events.Subject(kind)+".") })
		operations := references(at(t, bus, "operations"))
		if !slices.Contains(operations, "#/channels/"+c.ID) {
			t.Errorf("nobody hears or sends on %s", c.ID)
		}
	}
	if len(kinds) > 0 {
		t.Errorf("no channel has subjects of the kinds %v", kinds)
	}
	for m := range at(t, bus, "components", "messages").(map[string]any) {
		if !carried[m] {
			t.Errorf("no channel carries %s", m)
		}
	}
}

func at(t *testing.T, bus *webtest.Bus, names ...string) any {
	t.Helper()
	_, found := bus.Find(names...)
	if found == nil {
		t.Fatalf("there is nothing at %v", names)
	}
	return found
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// subjectsInDocs are whole subjects, without those that only hint at some, such as gatehouse.event.…
var subjectsInDocs = regexp.MustCompile("`(gatehouse\\.[a-z]+\\.[^`…*> ]+)`")

// What the documents say of subjects is described, and what is described is in the documents.
func TestTheDocumentsNameTheSubjects(t *testing.T) {
	bus, named := messageDescription(t), map[string]bool{}
	files, err := filepath.Glob("../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range subjectsInDocs.FindAllStringSubmatch(string(text), -1) {
			before, last := m[1][:strings.LastIndex(m[1], ".")+1], m[1][strings.LastIndex(m[1], ".")+1:]
			for _, word := range strings.Split(last, `\|`) {
				fits := false
				for _, c := range bus.Channels {
					if c.Address != "" && bus.Fits(c, placed(before+word, c.Address)) {
						fits, named[c.ID] = true, true
					}
				}
				if !fits {
					t.Errorf("%s tells of %s%s, which no channel has", file, before, word)
				}
			}
		}
	}
	for _, c := range bus.Channels {
		if c.Address != "" && !named[c.ID] {
			t.Errorf("no document tells of %s", c.Address)
		}
	}
}

// placed is a subject of the documents with the tokens of an address, or else a word of its own, in its {places}.
func placed(subject, address string) string {
	words, of := strings.Split(subject, "."), strings.Split(address, ".")
	for i, w := range words {
		if !strings.HasPrefix(w, "{") || i >= len(of) {
			continue
		}
		if words[i] = of[i]; strings.HasPrefix(of[i], "{") {
			words[i] = webtest.AnyWord
		}
	}
	return strings.Join(words, ".")
}
