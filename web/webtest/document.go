package webtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/oasdiff/yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Document is a description in YAML whose JSON Schemas (draft 2020-12) are used where they stand in it. It may be used
// by many goroutines at once.
type Document struct {
	root any

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

const documentURL = "file:///description.json"

// Open reads a description.
func Open(path string) (*Document, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &Document{compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	if data, err = yaml.YAMLToJSON(data); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if d.root, err = jsonschema.UnmarshalJSON(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource(documentURL, d.root)
}

// Root is the whole document, as JSON is decoded.
func (d *Document) Root() any { return d.root }

// Find follows names from the root, through references, and returns where that leads as a JSON pointer, and what is
// there; nil if nothing is.
func (d *Document) Find(names ...string) (pointer string, found any) {
	found = d.root
	for _, name := range names {
		pointer, found = d.follow(pointer, found)
		switch at := found.(type) {
		case map[string]any:
			found = at[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(at) {
				return "", nil
			}
			found = at[i]
		default:
			return "", nil
		}
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	return d.follow(pointer, found)
}

// follow goes where a reference leads.
func (d *Document) follow(pointer string, at any) (string, any) {
	object, ok := at.(map[string]any)
	if !ok {
		return pointer, at
	}
	ref, ok := object["$ref"].(string)
	if !ok {
		return pointer, at
	}
	return d.Find(names(strings.TrimPrefix(ref, "#"))...)
}

// names takes a JSON pointer apart.
func names(pointer string) []string {
	all := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, name := range all {
		all[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	}
	return all
}

// Check holds a value against the schema at a pointer.
func (d *Document) Check(pointer string, value any) error {
	schema, err := d.schema(pointer)
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// CheckJSON is Check for a value that is not decoded yet.
func (d *Document) CheckJSON(pointer string, data []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("it is not JSON: %w", err)
	}
	return d.Check(pointer, value)
}

func (d *Document) schema(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if schema := d.compiled[pointer]; schema != nil {
		return schema, nil
	}
	schema, err := d.compiler.Compile(documentURL + "#" + pointer)
	if err != nil {
		return nil, fmt.Errorf("the schema at %s: %w", pointer, err)
	}
	d.compiled[pointer] = schema
	return schema, nil
}

// Inline writes what is found at names without references to elsewhere, as JSON with its names in order.
func (d *Document) Inline(names ...string) ([]byte, error) {
	_, found := d.Find(names...)
	if found == nil {
		return nil, fmt.Errorf("there is nothing at %v", names)
	}
	var inline func(any) any
	inline = func(at any) any {
		_, at = d.follow("", at)
		switch at := at.(type) {
		case map[string]any:
			whole := make(map[string]any, len(at))
			for name, below := range at {
				whole[name] = inline(below)
			}
			return whole
		case []any:
			whole := make([]any, len(at))
			for i, below := range at {
				whole[i] = inline(below)
			}
			return whole
		}
		return at
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(inline(found))
	return bytes.TrimSpace(out.Bytes()), err
}
