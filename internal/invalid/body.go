package invalid

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
)

// Body reads the JSON object in a request's body, of at most so many bytes. What is no field of it is
// refused; an empty body is an empty object. The error is an *Error.
func Body(w http.ResponseWriter, r *http.Request, most int64, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return Field("body", "must be one JSON object")
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return Field("body", "must be at most %d bytes", most)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return Field(named(wrong.Field), "must be %s", kind(wrong.Type))
	}
	if _, unknown, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return Field(strings.Trim(unknown, `"`), "is not a field of this request")
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
