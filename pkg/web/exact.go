package web

import (
	"bytes"
	"encoding/json"

	"github.com/getkin/kin-openapi/openapi3"
)

// Exact is the JSON text of a field, byte for byte as it was sent. A field has it if the OpenAPI document marks the field with
// x-exact. A decoded value would hide repeated keys, and some decoders round numbers.
type Exact string

// UnmarshalText takes the text that keepExact put in the place of the field's value.
func (e *Exact) UnmarshalText(text []byte) error {
	*e = Exact(text)
	return nil
}

// keepExact replaces the value of each field that is marked with x-exact by its text in raw, which is valid JSON. A body with such
// a field may contain no field twice, so that every reader of the body sees the same values. A field that is null stays null.
func keepExact(raw []byte, schema *openapi3.Schema, value any) []Issue {
	object, ok := value.(map[string]any)
	if !ok || !hasExact(schema) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	seen := map[string]bool{}
	_, _ = decoder.Token() // {
	for decoder.More() {
		key, _ := decoder.Token()
		name, _ := key.(string)
		if seen[name] {
			return []Issue{valueError([]any{"body", name}, "Given more than once")} // the schema has refused unknown names
		}
		seen[name] = true
		var text json.RawMessage
		if err := decoder.Decode(&text); err != nil {
			return []Issue{valueError([]any{"body"}, "The body is not valid JSON")}
		}
		if isExact(schema.Properties[name]) && object[name] != nil {
			object[name] = string(text)
		}
	}
	return nil
}

func hasExact(schema *openapi3.Schema) bool {
	for _, property := range schema.Properties {
		if isExact(property) {
			return true
		}
	}
	return false
}

func isExact(property *openapi3.SchemaRef) bool {
	return property != nil && property.Value.Extensions["x-exact"] == true
}
