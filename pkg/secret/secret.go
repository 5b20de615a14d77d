// Package secret contains texts that must not be printed: tokens, passwords and keys.
package secret

import (
	"fmt"
	"io"
)

// Text is a secret text. Every way to print or encode it gives [redacted]. Only Reveal returns the text.
type Text struct {
	// A pointer, because fmt calls no methods of a value in an unexported field. It prints the fields of the value, and a
	// pointer prints as an address.
	text *string
}

// New returns text as a secret.
func New(text string) Text { return Text{&text} }

// Reveal returns the text. For the zero Text it returns an empty string.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// UnmarshalText reads a secret from JSON or from a parameter.
func (t *Text) UnmarshalText(text []byte) error {
	*t = New(string(text))
	return nil
}

func (t Text) String() string               { return "[redacted]" }
func (t Text) GoString() string             { return "[redacted]" }
func (t Text) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Format writes [redacted] for every verb.
func (t Text) Format(s fmt.State, _ rune) { io.WriteString(s, "[redacted]") }
