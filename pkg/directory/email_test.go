package directory

import (
	"errors"
	"strings"
	"testing"
)

func TestParseEmail(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ann@example.com": "ann@example.com", "Ann@Example.COM": "ann@example.com", "ann+tag@sub.example.com": "ann+tag@sub.example.com",
		"": "", "ann": "", "ann@": "", "@example.com": "", "ann@localhost": "", "ann@@example.com": "", "Ann <ann@example.com>": "",
		"<ann@example.com>": "", " ann@example.com": "", "ann@example.com ": "", "ann@example.com\n": "", "ann\x00@example.com": "",
		`"ann"@example.com`: "", "ann(comment)@example.com": "", "ann@[127.0.0.1]": "", "a@b.com,c@d.com": "", "ann@example..com": "",
		strings.Repeat("a", 64) + "@example.com": strings.Repeat("a", 64) + "@example.com", strings.Repeat("a", 65) + "@example.com": "",
		"ann@" + strings.Repeat("a.", 130) + "com": "",
	} {
		got, err := ParseEmail(text)
		if got != want || (want == "") != errors.Is(err, ErrEmail) {
			t.Errorf("ParseEmail(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}
