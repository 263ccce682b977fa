package reference

import (
	"bytes"
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v3"
)

// place is a value somewhere in a document; the zero place is none.
type place struct {
	node, root *yaml.Node
	// called is the name that a reference gave it.
	called string
}

func parse(document []byte) (place, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return place{}, err
	}
	if root.Kind != yaml.DocumentNode {
		return place{}, nil
	}
	return place{node: root.Content[0], root: root.Content[0]}, nil
}

func (p place) there() bool { return p.node != nil }

// at goes down by names, through references.
func (p place) at(names ...string) place {
	for _, name := range names {
		found := place{root: p.root}
		p.each(func(n string, v place) {
			if n == name {
				found = v
			}
		})
		p = found
	}
	return p
}

// follow goes where a reference leads.
func (p place) follow() place {
	for range 8 { // a reference to itself ends somewhere
		if p.node == nil || p.node.Kind != yaml.MappingNode || len(p.node.Content) == 0 || p.node.Content[0].Value != "$ref" {
			return p
		}
		names := strings.Split(strings.TrimPrefix(p.node.Content[1].Value, "#/"), "/")
		p = place{node: p.root, root: p.root}.at(names...)
		p.called = names[len(names)-1]
	}
	return p
}

// each visits the fields of an object in their order.
func (p place) each(visit func(name string, v place)) {
	if p.node == nil || p.node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		visit(p.node.Content[i].Value, place{node: p.node.Content[i+1], root: p.root}.follow())
	}
}

// items are those of a list.
func (p place) items() (all []place) {
	if p.node == nil || p.node.Kind != yaml.SequenceNode {
		return nil
	}
	for _, n := range p.node.Content {
		all = append(all, place{node: n, root: p.root}.follow())
	}
	return all
}

// text is a scalar as it is written, "" where there is none.
func (p place) text() string {
	if p.node == nil || p.node.Kind != yaml.ScalarNode {
		return ""
	}
	return strings.TrimSpace(p.node.Value)
}

func (p place) texts() (all []string) {
	for _, i := range p.items() {
		all = append(all, i.text())
	}
	return all
}

// json writes the value as JSON with its names in their order, without spaces.
func (p place) json() string {
	var b strings.Builder
	p.writeJSON(&b)
	return b.String()
}

func (p place) writeJSON(b *strings.Builder) {
	switch {
	case p.node == nil:
		b.WriteString("null")
	case p.node.Kind == yaml.MappingNode:
		separator := "{"
		p.each(func(name string, v place) {
			b.WriteString(separator + quoted(name) + ":")
			v.writeJSON(b)
			separator = ","
		})
		if separator == "{" {
			b.WriteString("{")
		}
		b.WriteString("}")
	case p.node.Kind == yaml.SequenceNode:
		b.WriteString("[")
		for i, v := range p.items() {
			if i > 0 {
				b.WriteString(",")
			}
			v.writeJSON(b)
		}
		b.WriteString("]")
	case p.node.Tag == "!!int" || p.node.Tag == "!!float" || p.node.Tag == "!!bool" || p.node.Tag == "!!null":
		b.WriteString(p.node.Value)
	default:
		b.WriteString(quoted(p.node.Value))
	}
}

func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}
