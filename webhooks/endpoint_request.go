package webhooks

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse/events"
	"gatehouse/internal/invalid"
)

const (
	maxEndpoints       = 1000
	maxSubjects        = 50
	maxURL             = 2048
	maxDescription     = 256
	maxConcurrency     = 64
	defaultConcurrency = 8
)

// EndpointRequest asks for an endpoint, or for a change of one: what is not given stays as it is, or is as usual.
type EndpointRequest struct {
	URL         Given[string]   `json:"url"`
	Subjects    Given[[]string] `json:"subjects"`
	Description Given[string]   `json:"description"`
	Enabled     Given[bool]     `json:"enabled"`
	Ordered     Given[bool]     `json:"ordered"`
	Concurrency Given[int]      `json:"concurrency"`
}

// Given is a field that may be absent, but not null, with which one program means one thing and another another.
type Given[T any] struct {
	Value T
	Is    bool
}

// Give is a field that is there.
func Give[T any](value T) Given[T] { return Given[T]{value, true} }

func (g Given[T]) or(otherwise T) T {
	if g.Is {
		return g.Value
	}
	return otherwise
}

// UnmarshalJSON refuses null.
func (g *Given[T]) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) || json.Unmarshal(data, &g.Value) != nil {
		return &json.UnmarshalTypeError{Type: reflect.TypeFor[T]()}
	}
	g.Is = true
	return nil
}

// check says what is wrong with what is given, naming the field.
func (q EndpointRequest) check(judge func(*url.URL) error) error {
	if q.URL.Is {
		if err := checkURL(q.URL.Value, judge); err != nil {
			return err
		}
	}
	if q.Subjects.Is {
		if err := checkSubjects(q.Subjects.Value); err != nil {
			return err
		}
	}
	if d := q.Description.Value; utf8.RuneCountInString(d) > maxDescription || !printable(d) {
		return invalid.Field("description", "must be at most %d printable characters", maxDescription)
	}
	if n := q.Concurrency.Value; q.Concurrency.Is && (n < 1 || n > maxConcurrency) {
		return invalid.Field("concurrency", "must be a number from 1 to %d", maxConcurrency)
	}
	return nil
}

// apply writes what is given into a row, but for whether it is enabled, which takes more.
func (q EndpointRequest) apply(r *endpointRow) error {
	if q.Subjects.Is {
		list, err := json.Marshal(q.Subjects.Value)
		if err != nil {
			return err
		}
		r.Subjects = string(list)
	}
	r.URL, r.Description = q.URL.or(r.URL), q.Description.or(r.Description)
	r.Concurrency, r.Ordered = q.Concurrency.or(r.Concurrency), bit(q.Ordered.or(r.Ordered == 1))
	return nil
}

// summary names what is given, for the audit log.
func (q EndpointRequest) summary() string {
	var given []string
	for _, f := range []struct {
		is   bool
		name string
	}{
		{q.URL.Is, "url " + hostOf(q.URL.Value)},
		{q.Subjects.Is, "subjects"},
		{q.Description.Is, "description"},
		{q.Enabled.Is && q.Enabled.Value, "enabled"},
		{q.Enabled.Is && !q.Enabled.Value, "disabled"},
		{q.Ordered.Is, "ordered"},
		{q.Concurrency.Is, "concurrency"},
	} {
		if f.is {
			given = append(given, f.name)
		}
	}
	return strings.Join(given, ", ")
}

// checkURL judges what can be judged now. Where its host really is counts when something is sent to it.
func checkURL(s string, judge func(*url.URL) error) error {
	u, err := url.Parse(s)
	switch {
	case len(s) > maxURL || !printable(s) || strings.ContainsRune(s, ' '):
		return invalid.Field("url", "must be at most %d printable characters without spaces", maxURL)
	case err != nil:
		return invalid.Field("url", "must be like https://bms.example.com/hooks")
	case strings.HasSuffix(s, "#"): // a parsed URL does not tell
		return invalid.Field("url", "must not end with #")
	}
	if err := judge(u); err != nil {
		return invalid.Field("url", "%s", err)
	}
	return nil
}

func checkSubjects(patterns []string) error {
	if len(patterns) == 0 || len(patterns) > maxSubjects {
		return invalid.Field("subjects", "must be 1 to %d patterns of NATS subjects, such as gatehouse.event.*.access.>", maxSubjects)
	}
	for i, s := range patterns {
		pattern, err := events.ParsePattern(s)
		switch {
		case s == "" || err != nil:
			return invalid.Field("subjects", "%s", events.ErrPattern)
		case !pattern.Spoken():
			return invalid.Field("subjects", "must be able to match what the gateway says: gatehouse.%s.>", strings.Join(events.SpokenKinds(), ".>, gatehouse."))
		case slices.Contains(patterns[:i], s):
			return invalid.Field("subjects", "must name each pattern once")
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
