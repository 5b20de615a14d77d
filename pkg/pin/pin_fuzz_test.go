package pin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// FuzzParse checks that Parse accepts exactly 4 to 12 ASCII digits, that weak does not panic, and that a PIN is never printed.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "831", "8317", "1234", "831746298317", "8317462983174", "8317\n", "8317a", " 8317", "+8317", "٨٣١٧",
		"８３１７", "8317\x00", "\xff\xfe\xfd\xfc", "1122", "9012", "1987", "123123"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if want := 4 <= len(text) && len(text) <= 12 && strings.Trim(text, "0123456789") == ""; want != (err == nil) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		weak(p.Reveal())
		printed := fmt.Sprintf("%v %+v %#v %s %d %x %q", p, p, &struct{ p PIN }{p}, p, p, p, p)
		encoded, err := json.Marshal(struct{ PIN PIN }{p})
		if err != nil || strings.Contains(printed+string(encoded), text) {
			t.Error("a PIN was printed")
		}
	})
}
