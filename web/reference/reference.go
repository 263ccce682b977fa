package reference

import (
	"fmt"
	"strings"
)

// Reference is everything that can be asked of the gateway, and heard from it.
type Reference struct {
	// HTTP and NATS say what both have in common; their texts have paragraphs and `code`.
	HTTP, NATS string
	// Requests are the groups of the HTTP API, and Messages those of NATS, in the order of the documents.
	Requests, Messages []Group
	// Problems are all kinds of errors that the HTTP API answers.
	Problems []Problem
}

// Group is what belongs together: the requests of a tag, or the subjects of a kind.
type Group struct {
	// Name is a part of a path.
	Name, About string
	Requests    []Request
	Channels    []Channel
}

// Request is an operation of the HTTP API.
type Request struct {
	ID, Method, Path, Summary, About string
	// Try is the path and the headers of a request as it may be made: with examples in it.
	Try     string
	Headers []string
	// Scopes are those of which a key needs one; a request without any needs no key.
	Scopes     []string
	Parameters []Field
	Body       *Body // nil where there is none
	Answers    []Answer
}

// Body is what is sent or answered.
type Body struct {
	Kind, About string
	Required    bool
	Field       Field
	Examples    []string
}

// Answer is what a request may be answered with one status; "other" stands for all that are not named.
type Answer struct {
	Status, About string
	Headers       []Field
	Bodies        []Body // problems aside
	Problems      []Problem
}

// Good tells whether the request was done.
func (a Answer) Good() bool {
	return strings.HasPrefix(a.Status, "2") || strings.HasPrefix(a.Status, "3")
}

// Problem is a kind of error.
type Problem struct{ Name, Type, Status, Title, Detail string }

// Channel is a subject of NATS, with what is said or asked there.
type Channel struct {
	ID, Subject, Title, Summary, About string
	// Asked tells that your program sends there; else it listens.
	Asked      bool
	Parameters []Field
	Messages   []Message
	Replies    []Message
}

// Message is one kind of message.
type Message struct {
	Name, Title, Summary string
	Headers              []Field
	Body                 Body
}

// Field is a part of a body, a parameter or a header.
type Field struct {
	Name, Type, About string
	Required          bool
	// Rules say what else must hold, such as "at most 256 characters".
	Rules []string
	// Fields are the parts of an object, or of the objects of a list. Choices are there where it is one of several.
	Fields, Choices []Field
}

// Read reads both documents.
func Read(openapi, asyncapi []byte) (*Reference, error) {
	http, err := parse(openapi)
	if err != nil {
		return nil, fmt.Errorf("reading the description of the HTTP API: %w", err)
	}
	nats, err := parse(asyncapi)
	if err != nil {
		return nil, fmt.Errorf("reading the description of the messages: %w", err)
	}
	return &Reference{
		HTTP: http.at("info", "description").text(), NATS: nats.at("info", "description").text(),
		Requests: requests(http), Messages: channels(nats), Problems: problems(http.at("components", "examples")),
	}, nil
}
