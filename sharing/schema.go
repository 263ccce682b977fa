package sharing

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
)

// schemas.json describes, as JSON Schemas, what each operation takes on NATS and what it answers.
//
//go:embed schemas.json
var schemasFile []byte

// schemaOf is the metadata of an operation's endpoint, for its INFO.
func schemaOf(operation string) (map[string]string, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(schemasFile, &all); err != nil {
		return nil, fmt.Errorf("reading schemas.json: %w", err)
	}
	answer := "answer:" + operation
	if granted[operation] != nil {
		answer = "answer:operation"
	}
	metadata := map[string]string{}
	for key, name := range map[string]string{"request_schema": operation, "response_schema": answer} {
		var line bytes.Buffer
		if err := json.Compact(&line, all[name]); err != nil {
			return nil, fmt.Errorf("reading %s in schemas.json: %w", name, err)
		}
		metadata[key] = line.String()
	}
	return metadata, nil
}
