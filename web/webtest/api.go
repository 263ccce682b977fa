package webtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// API is openapi.yaml, with what has been seen of it. It may be used by many goroutines at once.
type API struct {
	*Document
	// Spec is the same as kin-openapi reads it.
	Spec *openapi3.T
	// Operations are all that it describes, in no order.
	Operations []*Operation

	mu     sync.Mutex
	seen   map[string]map[int]bool // statuses by operation
	faults []string
}

// Operation is one of the description.
type Operation struct {
	*openapi3.Operation
	// Method is in upper case, Path as the description writes it.
	Method, Path string

	item *openapi3.PathItem
}

// String is the method and the path.
func (o *Operation) String() string { return o.Method + " " + o.Path }

// at names a place inside the operation.
func (o *Operation) at(names ...string) []string {
	return append([]string{"paths", o.Path, strings.ToLower(o.Method)}, names...)
}

// OpenAPI reads openapi.yaml.
func OpenAPI(path string) (*API, error) {
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	spec, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	a := &API{Document: d, Spec: spec, seen: map[string]map[int]bool{}}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			a.Operations = append(a.Operations, &Operation{op, method, path, item})
		}
	}
	return a, nil
}

// For returns the operation that a request is for, nil if there is none, and the parameters in its path.
func (a *API) For(method, path string) (*Operation, map[string]string) {
	var found *Operation
	var params map[string]string
	for _, o := range a.Operations {
		if o.Method != method {
			continue
		}
		// Of two that fit, the one with fewer parameters is meant.
		if p, ok := match(o.Path, path); ok && (found == nil || len(p) < len(params)) {
			found, params = o, p
		}
	}
	return found, params
}

// wildcard is the parameter that stands for the rest of a path, slashes included.
const wildcard = "{path}"

func match(template, path string) (map[string]string, bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	params := map[string]string{}
	for i, w := range want {
		switch {
		case i >= len(got):
			return nil, false
		case w == wildcard:
			params["path"] = strings.Join(got[i:], "/")
			return params, true
		case strings.HasPrefix(w, "{") && got[i] != "":
			params[strings.Trim(w, "{}")] = got[i]
		case w != got[i]:
			return nil, false
		}
	}
	return params, len(want) == len(got)
}

// Seen are the statuses that have been answered to an operation, and were as described.
func (a *API) Seen(o *Operation) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []int
	for status := range a.seen[o.String()] {
		all = append(all, status)
	}
	slices.Sort(all)
	return all
}

// Faults are all differences that have been found so far.
func (a *API) Faults() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.faults)
}

// note keeps what came of one exchange.
func (a *API) note(o *Operation, status int, fault error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if fault != nil {
		a.faults = append(a.faults, fault.Error())
		return
	}
	key := o.String()
	if a.seen[key] == nil {
		a.seen[key] = map[int]bool{}
	}
	a.seen[key][status] = true
}

// Template writes a path of the router as the description does.
func Template(route string) string {
	parts := strings.Split(route, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		} else if p == "*" {
			parts[i] = wildcard
		}
	}
	return strings.Join(parts, "/")
}
