package mfa

import (
	"errors"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/secret"
)

// FuzzParseCode checks that a code has 6 ASCII digits or 16 characters of the alphabet, and is the same in capitals.
func FuzzParseCode(f *testing.F) {
	for _, text := range []string{"123456", "123 456", "12345", "1234567", "１２３４５６", "abcd-efgh-jkmn-pqrs", "ABCDEFGHJKMNPQRS", "abcd-efgh-ijkl-mnop", "\u212abcdefghjkmnpqr", "\xff", "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, err := ParseCode(secret.New(text))
		if err != nil {
			if !errors.Is(err, ErrCodeForm) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		bare := code.text.Reveal()
		if n := len(bare); strings.Trim(bare, alphabet) != "" || code.recovery != (n == 16) || !code.recovery && (n != 6 || strings.Trim(bare, "0123456789") != "") {
			t.Errorf("%q was read as %q", text, bare)
		}
		if again, err := ParseCode(secret.New(strings.ToUpper(bare))); err != nil || again.text.Reveal() != bare || again.recovery != code.recovery {
			t.Errorf("%q is another code than %q, %v", strings.ToUpper(bare), bare, err)
		}
	})
}
