package reference

import (
	"fmt"
	"slices"
	"strings"
)

// schema is what a value must be: several schemas that all must hold, of which a later one says what an earlier one
// leaves open.
type schema []place

// deepest is where fields of fields end, should a schema be made of itself.
const deepest = 8

func schemaOf(p place) (s schema) {
	p = p.follow()
	for _, part := range p.at("allOf").items() {
		s = append(s, schemaOf(part)...)
	}
	return append(s, p)
}

// say is what the last schema that has a word on something says.
func (s schema) say(name string) place {
	for _, p := range slices.Backward(s) {
		if v := p.at(name); v.there() {
			return v
		}
	}
	return place{}
}

func (s schema) called() string { return s[len(s)-1].called }

// field describes a schema, with everything below it.
func (s schema) field(name string, required bool, depth int) Field {
	f := Field{Name: name, Required: required, About: s.say("description").text(), Type: s.kind(), Rules: s.rules()}
	if depth > deepest {
		return f
	}
	f.Fields = s.fields(depth)
	if items := s.say("items"); items.there() {
		of := schemaOf(items).field("", false, depth+1)
		f.Fields, f.Choices = of.Fields, of.Choices
		for _, rule := range of.Rules {
			f.Rules = append(f.Rules, "each "+rule)
		}
	}
	for _, word := range []string{"oneOf", "anyOf"} {
		for _, choice := range s.say(word).items() {
			f.Choices = append(f.Choices, schemaOf(choice).field(choice.called, false, depth+1))
		}
	}
	return f
}

// fields are those of an object, each as all schemas together describe it.
func (s schema) fields(depth int) (all []Field) {
	var names []string
	parts := map[string]schema{}
	required := map[string]bool{}
	for _, p := range s {
		p.at("properties").each(func(name string, v place) {
			if parts[name] == nil {
				names = append(names, name)
			}
			parts[name] = append(parts[name], schemaOf(v)...)
		})
		for _, name := range p.at("required").texts() {
			required[name] = true
		}
	}
	for _, name := range names {
		all = append(all, parts[name].field(name, required[name], depth+1))
	}
	if further := s.say("additionalProperties"); further.there() && further.text() == "" {
		all = append(all, schemaOf(further).field("any name", false, depth+1))
	}
	return all
}

// formats are words for what a string is.
var formats = map[string]string{"date-time": "time", "uuid": "UUID", "uri": "URL", "uri-reference": "URL reference", "email": "email address"}

// kind is the type in words.
func (s schema) kind() string {
	kind := s.say("type").text()
	switch {
	case kind == "array":
		of := schemaOf(s.say("items")).kind()
		if of == "" || of == "anything" {
			return "list"
		}
		return "list of " + plural(of)
	case kind == "object" && s.called() != "":
		return s.called()
	case kind == "object", kind == "" && s.say("properties").there():
		return "object"
	case kind == "string" && formats[s.say("format").text()] != "":
		return formats[s.say("format").text()]
	case kind != "":
		return kind
	case s.say("const").there(), s.say("enum").there(), s.say("pattern").there():
		return "string"
	case s.say("oneOf").there(), s.say("anyOf").there():
		return "one of several"
	}
	return "anything"
}

func plural(of string) string {
	if strings.HasSuffix(of, "s") || strings.Contains(of, " of ") || strings.ToLower(of) != of && of != "UUID" && of != "URL" {
		return of // a name stays as it is
	}
	if before, found := strings.CutSuffix(of, "y"); found {
		return before + "ies"
	}
	return of + "s"
}

// rules are what must hold besides.
func (s schema) rules() (rules []string) {
	say := func(name, format string) {
		if v := s.say(name); v.text() != "" {
			rules = append(rules, fmt.Sprintf(format, v.text()))
		}
	}
	if choices := s.say("enum").texts(); len(choices) > 0 {
		rules = append(rules, "`"+strings.Join(choices, "`, `")+"`")
	}
	say("const", "always `%s`")
	rules = append(rules, s.within("minimum", "maximum", "")...)
	rules = append(rules, s.within("minLength", "maxLength", " characters")...)
	rules = append(rules, s.within("minItems", "maxItems", " items")...)
	rules = append(rules, s.within("minProperties", "maxProperties", " fields")...)
	if s.say("uniqueItems").text() == "true" {
		rules = append(rules, "each once")
	}
	say("pattern", "matches `%s`")
	say("default", "`%s` unless given")
	return rules
}

func (s schema) within(least, most, of string) []string {
	from, to := s.say(least).text(), s.say(most).text()
	switch {
	case from != "" && to != "":
		return []string{from + " to " + to + of}
	case from != "":
		return []string{"at least " + from + of}
	case to != "":
		return []string{"at most " + to + of}
	}
	return nil
}
