package skill

import (
	"slices"
	"strings"
	"testing"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	hidden, mixed, decomposed := []Flag{HiddenCharacters}, []Flag{MixedScripts}, []Flag{NotNFC}
	for _, rule := range []struct {
		name, text, want string
		flags            []Flag
	}{
		{"plain", "Transfer 5.00 EUR to Zoë (München)!", "Transfer 5.00 EUR to Zoë (München)!", nil},
		{"empty", "", "⟨empty⟩", nil},
		{"an imitation of a mark", "⟨empty⟩", "⟨U+27E8⟩empty⟩", nil},
		{"right-to-left override", "pay \u202Egnp.exe", "pay ⟨U+202E⟩gnp.exe", hidden},
		{"bidi isolate", "a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩", hidden},
		{"left-to-right mark", "a\u200Eb", "a⟨U+200E⟩b", hidden},
		{"zero width space", "a\u200Bb", "a⟨U+200B⟩b", hidden},
		{"zero width joiner", "a\u200Db", "a⟨U+200D⟩b", hidden},
		{"soft hyphen", "a\u00ADb", "a⟨U+00AD⟩b", hidden},
		{"byte order mark", "\uFEFFa", "⟨U+FEFF⟩a", hidden},
		{"NUL", "a\x00b", "a⟨U+0000⟩b", hidden},
		{"escape", "a\x1B[2Kb", "a⟨U+001B⟩[2Kb", hidden},
		{"next line", "a\u0085b", "a⟨U+0085⟩b", hidden},
		{"line separator", "a\u2028b", "a⟨U+2028⟩b", hidden},
		{"tag characters", "a\U000E0070b", "a⟨U+E0070⟩b", hidden},
		{"variation selector", "a\uFE0Fb", "a⟨U+FE0F⟩b", hidden},
		{"private use", "a\uE000b", "a⟨U+E000⟩b", hidden},
		{"unassigned", "a\u0378b", "a⟨U+0378⟩b", hidden},
		{"noncharacter", "a\uFFFFb", "a⟨U+FFFF⟩b", hidden},
		{"Hangul filler", "a\u3164b", "a⟨U+3164⟩b", hidden},
		{"blank braille", "a\u2800b", "a⟨U+2800⟩b", hidden},
		{"replacement character", "a\uFFFDb", "a⟨U+FFFD⟩b", hidden},
		{"a mark without a letter", "\u0301a", "⟨U+0301⟩a", hidden},
		{"marks over other lines", "x" + strings.Repeat("\u0336", 6), "x" + strings.Repeat("\u0336", 4) + "⟨U+0336⟩⟨U+0336⟩", hidden},
		{"a line break is ordinary", "a\r\n\tb", "a⟨U+000D⟩⟨U+000A⟩⟨U+0009⟩b", nil},
		{"a no-break space is ordinary", "1\u00A0000", "1⟨U+00A0⟩000", nil},
		{"spaces that a page would hide", " a  b ", "⟨U+0020⟩a ⟨U+0020⟩b⟨U+0020⟩", nil},
		{"only a space", " ", "⟨U+0020⟩", nil},
		{"Latin and Cyrillic in a word", "p\u0430ypal", "p\u0430ypal", mixed},
		{"Cyrillic and Latin in a word", "\u0430lice", "\u0430lice", mixed},
		{"Latin and Greek in a word", "Pa\u03BFl", "Pa\u03BFl", mixed},
		{"with a digit between", "a1\u0430", "a1\u0430", mixed},
		{"two words in two scripts", "Anna Анна", "Anna Анна", nil},
		{"two labels in two scripts", "example.рф", "example.рф", nil},
		{"Japanese mixes scripts", "Tシャツの値段", "Tシャツの値段", nil},
		{"Korean mixes scripts", "LG전자", "LG전자", nil},
		{"a letter of all scripts", "5µm", "5µm", nil},
		{"Arabic", "مرحبا", "مرحبا", nil},
		{"decomposed", "Zoe\u0308", "Zoe\u0308", decomposed},
		{"Kelvin sign", "\u212A", "\u212A", decomposed},
		{"everything", "\u0430a\u200Be\u0301", "\u0430a⟨U+200B⟩e\u0301", []Flag{HiddenCharacters, MixedScripts, NotNFC}},
	} {
		if got, flags := visible(rule.text); got != rule.want || !slices.Equal(flags, rule.flags) {
			t.Errorf("%s: got %q %v, want %q %v", rule.name, got, flags, rule.want, rule.flags)
		}
	}
}
