package reference

import (
	"slices"
	"strings"
)

var methods = []string{"get", "post", "put", "patch", "delete"}

// requests are the groups of the HTTP API.
func requests(root place) (groups []Group) {
	for _, tag := range root.at("tags").items() {
		groups = append(groups, Group{Name: tag.at("name").text(), About: tag.at("description").text()})
	}
	root.at("paths").each(func(path string, item place) {
		item.each(func(method string, op place) {
			if !slices.Contains(methods, method) {
				return
			}
			r := request(method, path, op)
			r.Parameters = append(parameters(item), r.Parameters...)
			r.tried(item, op)
			for i := range groups {
				if slices.Contains(op.at("tags").texts(), groups[i].Name) {
					groups[i].Requests = append(groups[i].Requests, r)
				}
			}
		})
	})
	return groups
}

// tried is how a request may be made, with the examples that are given of its parameters.
func (r *Request) tried(of ...place) {
	r.Try = r.Path
	for _, at := range of {
		for _, p := range at.at("parameters").items() {
			switch name, example := p.at("name").text(), p.at("example").text(); {
			case example == "":
			case p.at("in").text() == "path":
				r.Try = strings.ReplaceAll(r.Try, "{"+name+"}", example)
			case p.at("in").text() == "header":
				r.Headers = append(r.Headers, name+": "+example)
			}
		}
	}
}

func request(method, path string, op place) Request {
	r := Request{
		ID: op.at("operationId").text(), Method: strings.ToUpper(method), Path: path,
		Summary: op.at("summary").text(), About: op.at("description").text(), Parameters: parameters(op),
	}
	for _, way := range op.at("security").items() {
		r.Scopes = append(r.Scopes, way.at("key").texts()...)
	}
	if asked := op.at("requestBody"); asked.there() {
		all := bodies(asked)
		r.Body = &all[0]
		r.Body.About, r.Body.Required = asked.at("description").text(), asked.at("required").text() == "true"
	}
	op.at("responses").each(func(status string, response place) {
		r.Answers = append(r.Answers, answer(status, response))
	})
	return r
}

func parameters(of place) (all []Field) {
	for _, p := range of.at("parameters").items() {
		f := schemaOf(p.at("schema")).field(p.at("name").text(), p.at("required").text() == "true", 0)
		f.About = p.at("description").text()
		f.Type += " in the " + p.at("in").text()
		if example := p.at("example").text(); example != "" {
			f.Rules = append(f.Rules, "such as `"+example+"`")
		}
		all = append(all, f)
	}
	return all
}

const problemKind = "application/problem+json"

func answer(status string, response place) Answer {
	a := Answer{Status: status, About: response.at("description").text()}
	if status == "default" {
		a.Status = "other"
	}
	response.at("headers").each(func(name string, h place) {
		f := schemaOf(h.at("schema")).field(name, h.at("required").text() == "true", 0)
		f.About = h.at("description").text()
		a.Headers = append(a.Headers, f)
	})
	for _, b := range bodies(response) {
		if b.Kind != problemKind {
			a.Bodies = append(a.Bodies, b)
		}
	}
	a.Problems = problems(response.at("content", problemKind, "examples"))
	return a
}

// bodies are those of a request or answer, by the kind of their content.
func bodies(of place) (all []Body) {
	of.at("content").each(func(kind string, media place) {
		b := Body{Kind: kind, Field: schemaOf(media.at("schema")).field("", false, 0)}
		if data := media.at("x-event-data"); data.there() { // what an event of the stream carries
			b.Field = schemaOf(data).field("", false, 0)
		}
		if example := media.at("example"); example.there() {
			b.Examples = append(b.Examples, shown(example))
		}
		media.at("examples").each(func(_ string, example place) {
			b.Examples = append(b.Examples, shown(example.at("value")))
		})
		all = append(all, b)
	})
	return all
}

// shown is an example: text as it is, everything else as JSON.
func shown(example place) string {
	if text := example.text(); text != "" && example.node.Tag == "!!str" {
		return text
	}
	return example.json()
}

func problems(examples place) (all []Problem) {
	examples.each(func(name string, example place) {
		v := example.at("value")
		if v.at("status").text() == "" {
			return
		}
		if example.called != "" {
			name = example.called
		}
		all = append(all, Problem{
			Name: name, Type: v.at("type").text(), Status: v.at("status").text(), Title: v.at("title").text(), Detail: v.at("detail").text(),
		})
	})
	return all
}
