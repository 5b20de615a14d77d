package pin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestWeakPINs(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name string
		pins []string
		want bool
	}{
		{"strong PINs", []string{"1235", "9875", "1012", "1123", "4378", "8317", "402917", "9182734650"}, false},
		{"runs in both directions, also over 9 and 0", []string{"1234", "9012", "0987", "6543", "7890", "234567", "210987654"}, true},
		{"fewer than three different digits", []string{"1111", "1122", "1212", "7077", "900009", "550505505"}, true},
		{"equal steps", []string{"2468", "1357", "8642", "1470", "13579", "086420"}, true},
		{"repeated blocks", []string{"123123", "45674567", "902902902"}, true},
		{"doubled digits", []string{"112233", "77889900", "445566"}, true},
		{"years", []string{"1900", "1987", "2026", "2099"}, true},
		{"common choices", []string{"2580", "1397", "159753", "5683"}, true},
		{"not years", []string{"1873", "2138", "198703"}, false},
	} {
		t.Run(rule.name, func(t *testing.T) {
			for _, digits := range rule.pins {
				if got := weak(must(Parse(digits))); got != rule.want {
					t.Errorf("weak(%s) = %v, want %v", digits, got, rule.want)
				}
			}
		})
	}
}

func TestWeakPINsAreAboutATenth(t *testing.T) {
	t.Parallel()
	refused := 0
	for n := range 10000 {
		if weak(must(Parse(fmt.Sprintf("%04d", n)))) {
			refused++
		}
	}
	if refused < 900 || refused > 1100 {
		t.Errorf("%d of 10000 are refused, want about a tenth", refused)
	}
}

func TestPINForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"1235": true, "123456789012": true, "": false, "123": false, "1234567890123": false, "12a4": false, "12 4": false,
		"١٢٣٥": false, "１２３５": false, "1235\n": false, "1235\x00": false, "-123": false, "+1235": false,
	} {
		if _, err := Parse(text); (err == nil) != want {
			t.Errorf("Parse(%q): %v", text, err)
		}
	}
}

func TestPINIsNeverPrinted(t *testing.T) {
	t.Parallel()
	p := must(Parse("83174629"))
	for _, secret := range []any{p, &p, struct{ PIN PIN }{p}, &struct{ PIN *PIN }{&p}, []PIN{p}, map[string]*PIN{"pin": &p}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			if got := fmt.Sprintf(verb, secret); strings.Contains(got, "8317") || strings.Contains(got, "38333137") {
				t.Errorf("%s of %T prints the PIN", verb, secret)
			}
		}
		if text, err := json.Marshal(secret); err != nil || strings.Contains(string(text), "8317") {
			t.Errorf("%T as JSON: %v", secret, err)
		}
	}
}

func must(p PIN, err error) PIN {
	if err != nil {
		panic(err)
	}
	return p
}
