package sharing_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"gatehouse/sharing"
	"gatehouse/web/webtest"
)

var update = flag.Bool("update", false, "write schemas.json anew from web/asyncapi.yaml")

// described are the names in schemas.json and the messages of asyncapi.yaml that they are the schemas of.
var described = [][2]string{
	{"share", "shareAsk"},
	{"revoke", "revokeAsk"},
	{"unlock", "unlockAsk"},
	{"lookup", "lookupAsk"},
	{"doors", "doorsAsk"},
	{"door", "doorAsk"},
	{"answer:operation", "operationAnswer"},
	{"answer:lookup", "lookupAnswer"},
	{"answer:doors", "doorsAnswer"},
	{"answer:door", "doorAnswer"},
}

// The service says of itself what asyncapi.yaml says: schemas.json is written from it.
func TestTheSchemasAreThoseOfTheDescription(t *testing.T) {
	bus, err := webtest.AsyncAPI("../web/asyncapi.yaml")
	must(t, err)
	var want bytes.Buffer
	for i, d := range described {
		schema, err := bus.Inline("components", "messages", d[1], "payload")
		must(t, err)
		want.WriteString(map[bool]string{true: "{\n", false: ",\n"}[i == 0] + `  "` + d[0] + `": `)
		want.Write(schema)
	}
	want.WriteString("\n}\n")
	if *update {
		must(t, os.WriteFile("schemas.json", want.Bytes(), 0o600))
	}
	got, err := os.ReadFile("schemas.json")
	must(t, err)
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("schemas.json is not what web/asyncapi.yaml says: go test ./sharing -run Schemas -update")
	}
}

// The words that errors have on NATS are those of the description.
func TestTheFaultsAreThoseOfTheDescription(t *testing.T) {
	bus, err := webtest.AsyncAPI("../web/asyncapi.yaml")
	must(t, err)
	data, err := bus.Inline("components", "schemas", "Fault", "properties", "error", "enum")
	must(t, err)
	var words []string
	must(t, json.Unmarshal(data, &words))
	real := sharing.FaultWords()
	slices.Sort(words)
	if !slices.Equal(words, real) {
		t.Errorf("described are\n%v, there are\n%v", words, real)
	}
}
