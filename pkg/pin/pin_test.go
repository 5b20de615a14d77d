package pin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

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
