// Package secret holds a text that must not be shown: a token, a password or a key on its way through a program.
package secret

import (
	"fmt"
	"io"
)

// Text is such a text. It prints as [redacted] everywhere; Reveal is the one way out.
type Text struct {
	// A pointer, because fmt asks nobody when it reports a verb that does not fit, and prints what it finds: an address.
	text *string
}

// New hides a text.
func New(text string) Text { return Text{&text} }

// Reveal returns the text itself.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// UnmarshalText hides a text that came as JSON or as a parameter.
func (t *Text) UnmarshalText(text []byte) error {
	*t = New(string(text))
	return nil
}

func (t Text) String() string               { return "[redacted]" }
func (t Text) GoString() string             { return "[redacted]" }
func (t Text) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Format redacts under every verb.
func (t Text) Format(s fmt.State, _ rune) { io.WriteString(s, "[redacted]") }
