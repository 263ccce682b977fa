package webtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
	eventStream = "text/event-stream"
	jsonLines   = "application/x-ndjson"
)

// exchange is a request and its answer.
type exchange struct {
	op      *Operation
	params  map[string]string
	request *http.Request
	asked   []byte
	answer  *http.Response
	body    []byte
}

// elsewhere tells whether a listener has no such route at all: it may be that /v1 has a listener of its own.
func elsewhere(x exchange) bool {
	return x.answer.StatusCode == http.StatusNotFound && strings.Contains(string(x.body), `"type":"about:blank"`)
}

// fault says what of an exchange is not as it is described.
func (a *API) fault(x exchange) error {
	err := a.checkAnswer(x)
	if err == nil && x.answer.StatusCode < 400 && !passedOn(x.answer) {
		// What the gateway takes must be described; what it refuses is often meant to be wrong.
		if err = a.checkRequest(x); err != nil {
			err = fmt.Errorf("the request was accepted: %w", err)
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s, answered %d, is not as it is described: %w\n%s", x.op, x.answer.StatusCode, err, clip(x.body))
}

// passedOn tells whether an answer is DoorFlow's own.
func passedOn(answer *http.Response) bool { return answer.Header.Get("Answered-By") != "" }

func (a *API) input(x exchange) *openapi3filter.RequestValidationInput {
	return &openapi3filter.RequestValidationInput{
		Request: x.request, PathParams: x.params,
		Route:   &routers.Route{Spec: a.Spec, Path: x.op.Path, PathItem: x.op.item, Method: x.op.Method, Operation: x.op.Operation},
		Options: &openapi3filter.Options{ExcludeRequestBody: true, ExcludeResponseBody: true, IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
}

func (a *API) checkRequest(x exchange) error {
	if err := openapi3filter.ValidateRequest(context.Background(), a.input(x)); err != nil {
		return err
	}
	schema, found := a.Find(x.op.at("requestBody", "content", jsonType, "schema")...)
	switch {
	case len(x.asked) == 0:
		return nil
	case found == nil:
		return errors.New("it has a body, and none is described")
	}
	return a.CheckJSON(schema, x.asked)
}

func (a *API) checkAnswer(x exchange) error {
	name, response := describedAnswer(x)
	if response == nil {
		return errors.New("the status is not described")
	}
	err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: a.input(x), Status: x.answer.StatusCode, Header: x.answer.Header, Options: a.input(x).Options,
	})
	if err != nil {
		return err
	}
	if len(response.Content) == 0 {
		if len(x.body) > 0 {
			return errors.New("no body is described")
		}
		return nil
	}
	if passedOn(x.answer) {
		return nil // it may be anything
	}
	kind, _, _ := mime.ParseMediaType(x.answer.Header.Get("Content-Type"))
	if response.Content[kind] == nil {
		return fmt.Errorf("the content type %q is not described", kind)
	}
	if kind != jsonType && kind != problemType {
		return nil
	}
	schema, _ := a.Find(x.op.at("responses", name, "content", kind, "schema")...)
	if err := a.CheckJSON(schema, x.body); err != nil {
		return err
	}
	if kind == problemType {
		return checkProblem(response, x)
	}
	return nil
}

// describedAnswer is what is said of a status: by itself, or in common. What DoorFlow answers is said in common.
func describedAnswer(x exchange) (name string, response *openapi3.Response) {
	name = strconv.Itoa(x.answer.StatusCode)
	ref := x.op.Responses.Value(name)
	if ref == nil || passedOn(x.answer) {
		name, ref = "default", x.op.Responses.Default()
	}
	if ref == nil {
		return name, nil
	}
	return name, ref.Value
}

// checkProblem wants each kind of problem among the examples of its answer, so that a reader knows them all.
func checkProblem(response *openapi3.Response, x exchange) error {
	var got struct {
		Type   string
		Status int
	}
	if err := json.Unmarshal(x.body, &got); err != nil {
		return err
	}
	if got.Status != x.answer.StatusCode {
		return fmt.Errorf("the problem speaks of the status %d", got.Status)
	}
	known := Problems(response)
	for _, p := range known {
		if p.Type == got.Type && p.Status == got.Status {
			return nil
		}
	}
	return fmt.Errorf("%s is not among the examples %v", got.Type, known)
}

// Problem is a kind of problem as a description gives it for an example.
type Problem struct {
	Type, Title, Detail string
	Status              int
}

// Problems are the kinds of problems that a response may be.
func Problems(response *openapi3.Response) (all []Problem) {
	media := response.Content[problemType]
	if media == nil {
		return nil
	}
	for _, example := range media.Examples {
		all = append(all, ProblemOf(example.Value))
	}
	return all
}

// ProblemOf reads an example.
func ProblemOf(example *openapi3.Example) (p Problem) {
	value, _ := json.Marshal(example.Value) // it was read from JSON
	_ = json.Unmarshal(value, &p)           // what it lacks is found by its schema
	return p
}

// checkLine holds a line of a stream against its description.
func (a *API) checkLine(x exchange, kind string, line []byte) error {
	line = bytes.TrimRight(line, "\r\n")
	place := x.op.at("responses", "200", "content", kind)
	switch {
	case kind == jsonLines:
		place = append(place, "schema")
	case bytes.HasPrefix(line, []byte("data: ")):
		// OpenAPI 3.1 has no word for what the data of an event is.
		line, place = line[len("data: "):], append(place, "x-event-data")
	default:
		return nil
	}
	schema, _ := a.Find(place...)
	return a.CheckJSON(schema, line)
}

func clip(body []byte) string {
	if len(body) > 2000 {
		return string(body[:2000]) + "…"
	}
	return strings.TrimSpace(string(body))
}
