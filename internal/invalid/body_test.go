package invalid_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/internal/invalid"
)

func TestObject(t *testing.T) {
	for body, field := range map[string]string{
		`{"lock":"a","people":[{"name":"x"},{"name":"y"}]}`: "",
		``:                             "body",
		`null {}`:                      "body",
		`{"lock":"a","lock":"b"}`:      "lock",
		`{"lock":"a","LOCK":"a"}`:      "LOCK",
		`{"lock":"a","loc\u212a":"b"}`: "loc\u212a",
		`{"people":[{"name":"x","other":["y"],"name":"z"}]}`: "name",
		`{"people":[{"name":"x"}],"people":[{"other":[]}]}`:  "people",
		"{\"lock\":\"\xff\"}":                                "body",
	} {
		var into struct {
			Lock   string `json:"lock"`
			People []struct {
				Name  string   `json:"name"`
				Other []string `json:"other"`
			} `json:"people"`
		}
		err := invalid.Object([]byte(body), &into)
		fault, refused := errors.AsType[*invalid.Error](err)
		if field == "" && err != nil || field != "" && (!refused || fault.Field != field) {
			t.Errorf("%s: %v, want the field %q named", body, err, field)
		}
	}
}

func TestBody(t *testing.T) {
	for _, row := range []struct{ name, body, field string }{
		{"empty", ``, ""},
		{"object", `{"text":"a","list":["b"],"flag":true,"number":1}`, ""},
		{"unknown field", `{"text":"a","other":1}`, "other"},
		{"unknown field without a name", `{"":1}`, "body"},
		{"unknown field with a long name", `{"` + strings.Repeat("x", 65) + `":1}`, "body"},
		{"number for a text", `{"text":1}`, "text"},
		{"text for a list", `{"list":"a"}`, "list"},
		{"text for a flag", `{"flag":"yes"}`, "flag"},
		{"text for a number", `{"number":"1"}`, "number"},
		{"not an object", `[1]`, "body"},
		{"not JSON", `{"text"`, "body"},
		{"two objects", `{}{}`, "body"},
		{"too large", `{"text":"` + strings.Repeat("x", 200) + `"}`, "body"},
		{"spaces without end", `{}` + strings.Repeat(" ", 200), "body"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var into struct {
				Text   string   `json:"text"`
				List   []string `json:"list"`
				Flag   bool     `json:"flag"`
				Number int      `json:"number"`
			}
			r := httptest.NewRequest("POST", "/", strings.NewReader(row.body))
			err := invalid.Body(httptest.NewRecorder(), r, 100, &into)
			fault, refused := errors.AsType[*invalid.Error](err)
			switch {
			case row.field == "" && err != nil:
				t.Error(err)
			case row.field != "" && (!refused || fault.Field != row.field || fault.Detail == ""):
				t.Errorf("got %v, want the field %s named", err, row.field)
			}
		})
	}
}
