// Package patch tells apart what a change leaves as it is, what it sets, and what it sets to null.
package patch

import "encoding/json"

// Field is one field of a change. The zero Field leaves the thing as it is.
type Field[T any] struct {
	Given bool
	// Value is nil when the field is given as null.
	Value *T
}

// UnmarshalJSON reads a field that is given, null included.
func (f *Field[T]) UnmarshalJSON(text []byte) error {
	f.Given = true
	return json.Unmarshal(text, &f.Value)
}
