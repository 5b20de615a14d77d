// Package pin verifies, sets and removes PINs, within an exact guess budget: for one holder of a PIN, no more candidates are
// compared before a lock than the budget allows. Parallel requests, crashes and lost Redis data do not change this.
// The design: docs/architecture.md, section 6.
package pin

import (
	"regexp"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
)

var (
	// ErrForm means that a text is not a PIN.
	ErrForm = fault.New(fault.Invalid, "pin_form", "A PIN has 4 to 12 digits").About("pin")
	// ErrWeak means that a PIN is easy to guess.
	ErrWeak = fault.New(fault.Invalid, "pin_weak", "The PIN is too easy to guess").About("pin")
)

// PIN is a person's secret, or a candidate for it: 4 to 12 ASCII digits (ISO 9564). It prints as [redacted].
type PIN struct{ secret.Text }

var form = regexp.MustCompile(`^[0-9]{4,12}$`)

// Parse reads a PIN, or returns ErrForm.
func Parse(text string) (PIN, error) {
	if !form.MatchString(text) {
		return PIN{}, ErrForm
	}
	return PIN{secret.New(text)}, nil
}

// UnmarshalText reads a PIN from a JSON string.
func (p *PIN) UnmarshalText(text []byte) (err error) {
	*p, err = Parse(string(text))
	return err
}
