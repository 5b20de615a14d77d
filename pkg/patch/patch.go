// Package patch decodes the fields of a PATCH request. A field may be absent, null, or have a value.
package patch

import "encoding/json"

// Field is one field of a change. The zero Field is absent and changes nothing.
type Field[T any] struct {
	// Given is true if the request contains the field.
	Given bool
	// Value is nil if the field is absent or null.
	Value *T
}

// UnmarshalJSON decodes a field that the request contains. encoding/json does not call it for an absent field.
func (f *Field[T]) UnmarshalJSON(text []byte) error {
	f.Given = true
	return json.Unmarshal(text, &f.Value)
}
