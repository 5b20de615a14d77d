// Package pin verifies, sets and removes PINs, within an exact guess budget: for one holder of a PIN, no more candidates are
// compared before a lock than the budget allows. Parallel requests, crashes and lost Redis data do not change this.
// The design: docs/architecture.md, section 6.
package pin

import (
	"regexp"
	"strings"

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

// common contains common choices that no rule below covers: patterns on the keypad, words spelled on the keypad, well-known
// numbers.
var common = map[string]bool{}

func init() {
	for _, p := range strings.Fields(`
		0852 2580 8520 0258 5802 1590 1593 3571 3570 1596 1597 7531 3579 9513 7539 1739 1379 1397 3179 9731 7913 7931
		1236 3214 1478 8741 7896 6987 9874 4789 1254 1452 4563 6541 1475 3698 8963 7410 0147 1470 3690 0963 9630 0369
		5683 1004 1010 1314 2486 1313 1342 1324 1243 4231 1423 1432 2413 3412 2143 2341 3421
		1225 1224 1231 0101 0704 1031 0911 1701 1776 1812 1066 1492 3141 2718 6174 4242 0420 8008 5150 6942
		1230 1209 9080 1020 2030 1024 2048 4096 8192 3000 5000 9000 7007 0070 1337
		123321 112211 159753 147258 123654 102030 789456 159357 147852 963852 258369 135790 246810 101010 520131 1314520
		12344321 11223344 5201314 20002000 1234554321 147258369 789456123 987654321 123123123`) {
		common[p] = true
	}
}

// Check returns ErrWeak if a PIN is too easy to guess to be set.
func Check(p PIN) error {
	if weak(p) {
		return ErrWeak
	}
	return nil
}

// weak reports whether an attacker would try a PIN early: it has fewer than three different digits, equal steps between its
// digits (1234, 9012, 8642), a repeated block (123123), or doubled digits (112233), or it is a year or a common choice. About
// a tenth of all 4-digit PINs are weak. To refuse more PINs would annoy people and protect little.
func weak(p PIN) bool {
	d := p.Reveal()
	return different(d) < 3 || equalSteps(d) || repeats(d) || doubled(d) || year(d) || common[d]
}

func different(d string) int {
	seen := map[rune]bool{}
	for _, r := range d {
		seen[r] = true
	}
	return len(seen)
}

// equalSteps reports whether all steps between digits are equal. The digit after 9 is 0.
func equalSteps(d string) bool {
	step := func(i int) int { return (int(d[i]) - int(d[i-1]) + 10) % 10 }
	for i := 2; i < len(d); i++ {
		if step(i) != step(1) {
			return false
		}
	}
	return true
}

func repeats(d string) bool {
	for size := 1; size <= len(d)/2; size++ {
		if len(d)%size == 0 && strings.Repeat(d[:size], len(d)/size) == d {
			return true
		}
	}
	return false
}

func doubled(d string) bool {
	for i := 0; i+1 < len(d); i += 2 {
		if d[i] != d[i+1] {
			return false
		}
	}
	return len(d)%2 == 0
}

func year(d string) bool {
	return len(d) == 4 && (d[:2] == "19" || d[:2] == "20")
}
