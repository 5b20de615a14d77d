package directory

import (
	"strings"
	"testing"
)

// FuzzEmail checks that ParseEmail returns one spelling, and that ParseEmail returns this spelling unchanged.
func FuzzEmail(f *testing.F) {
	for _, text := range []string{"", "a@b.c", "A@B.C", "Ann <a@b.c>", `"a b"@b.c`, "a@[127.0.0.1]", "a(x)@b.c", "a@b", "a@@b.c", "a@b.c\r\nBcc: x@y.z",
		"ä@ü.de", "\u212A@b.c", "a@b.c ", strings.Repeat("a", 65) + "@b.c", "a@" + strings.Repeat("b.", 130) + "c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		address, err := ParseEmail(text)
		if err != nil {
			return
		}
		if again, err := ParseEmail(address); err != nil || again != address || strings.ToLower(address) != address {
			t.Errorf("%q is parsed as %q, and the result is parsed as %q: %v", text, address, again, err)
		}
		if len(address) > maxEmail || strings.Count(address, "@") != 1 || strings.ContainsAny(address, " \r\n\t\x00<>()\"") {
			t.Errorf("%q is parsed as %q", text, address)
		}
	})
}
