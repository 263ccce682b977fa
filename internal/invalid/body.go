package invalid

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Body reads the JSON object in a request's body, of at most so many bytes. What is no field of it is
// refused; an empty body is an empty object. The error is an *Error.
func Body(w http.ResponseWriter, r *http.Request, most int64, into any) error {
	err := object(http.MaxBytesReader(w, r.Body, most), into)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return Field("body", "must be at most %d bytes", most)
	}
	return err
}

// Object reads one JSON object as Body does, of which there must be one. No name may be in it twice.
func Object(data []byte, into any) error {
	if !utf8.Valid(data) {
		return Field("body", "must be UTF-8")
	}
	err := object(bytes.NewReader(data), into)
	if errors.Is(err, io.EOF) {
		return Field("body", "must be a JSON object")
	}
	if err != nil {
		return err
	}
	if name, twice := repeated(json.NewDecoder(bytes.NewReader(data))); twice {
		return Field(name, "must be there once")
	}
	return nil
}

// repeated finds a name that an object in a JSON text has twice. Which of the two counts is something that readers
// disagree about; encoding/json takes a name in capitals for the same.
func repeated(d *json.Decoder) (name string, twice bool) {
	opening, err := d.Token()
	if err != nil || opening != json.Delim('{') && opening != json.Delim('[') {
		return "", false
	}
	for seen := map[string]bool{}; d.More(); {
		if opening == json.Delim('{') {
			token, _ := d.Token()
			name, _ := token.(string)
			folded := strings.ToLower(strings.ToUpper(name))
			if seen[folded] {
				return name, true
			}
			seen[folded] = true
		}
		if name, twice := repeated(d); twice {
			return name, true
		}
	}
	_, _ = d.Token()
	return "", false
}

// object returns io.EOF where there is nothing to read.
func object(from io.Reader, into any) error {
	d := json.NewDecoder(from)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return err
		}
		return Field("body", "must be one JSON object")
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge || errors.Is(err, io.EOF) {
		return err
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return Field(named(wrong.Field), "must be %s", kind(wrong.Type))
	}
	if _, unknown, ok := strings.Cut(err.Error(), "unknown field "); ok {
		name := strings.Trim(unknown, `"`)
		if name == "" || len(name) > 64 {
			return Field("body", "has a field that is not one of this request")
		}
		return Field(name, "is not a field of this request")
	}
	return Field("body", "must be a JSON object")
}

// named is a field as the caller wrote it: encoding/json puts the names of embedded Go structs before it.
func named(field string) string {
	for {
		first, rest, more := strings.Cut(field, ".")
		if !more || strings.ToLower(first) == first {
			return field
		}
		field = rest
	}
}

// kind is what JSON calls a type.
func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "a list of objects"
		}
		return "a list of strings"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a number"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a string"
	}
}
