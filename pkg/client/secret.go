package client

import (
	"fmt"
	"io"
)

// Secret is a text that must not be printed: a proxy key, a link, a receipt, a session token. Every way to print or encode it gives
// [redacted]. Only Reveal returns the text.
type Secret struct {
	// A pointer, because fmt calls no methods of a value in an unexported field. It prints the fields of the value, and a
	// pointer prints as an address.
	text *string
}

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text. For the zero Secret it returns an empty string.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// UnmarshalText reads a secret from JSON.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

func (s Secret) String() string               { return "[redacted]" }
func (s Secret) GoString() string             { return "[redacted]" }
func (s Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Format writes [redacted] for every verb.
func (s Secret) Format(state fmt.State, _ rune) { io.WriteString(state, "[redacted]") }
