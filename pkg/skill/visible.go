package skill

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Flag is a warning about a shown text.
type Flag string

// The flags.
const (
	// HiddenCharacters: the text has characters that are not visible, or that change how other characters are shown.
	HiddenCharacters Flag = "hidden_characters"
	// MixedScripts: a word has letters of two scripts, for example Latin and Cyrillic, which look alike.
	MixedScripts Flag = "mixed_scripts"
	// NotNFC: the text is not in Unicode's form NFC, so that another text may look the same.
	NotNFC Flag = "not_nfc"
)

// maxMarks is the largest number of combining marks in a row that are shown. More marks would cover the lines above and below.
const maxMarks = 4

// visible returns a text in which each character can be seen, and warnings about it. Different texts have different results.
//
// A character that cannot be seen is replaced by its number, for example ⟨U+202E⟩. An empty text is ⟨empty⟩. So that no text can
// imitate these marks, the character ⟨ itself is replaced too. White space other than a single space inside the text is replaced
// without a warning, because ordinary text contains line breaks.
func visible(text string) (shown string, flags []Flag) {
	if text == "" {
		return "⟨empty⟩", nil
	}
	var b strings.Builder
	hidden, marks, last := false, 0, ' ' // a space after the start is like a space after a space
	for i, r := range text {
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case isHidden(r) || marks > maxMarks || marks > 0 && i == 0:
			hidden = true
			mark(&b, r)
		case r == ' ' && (last == ' ' || i == len(text)-1), r != ' ' && unicode.IsSpace(r), r == '⟨':
			mark(&b, r)
		default:
			b.WriteRune(r)
		}
		last = r
	}
	if hidden {
		flags = append(flags, HiddenCharacters)
	}
	if mixesScripts(text) {
		flags = append(flags, MixedScripts)
	}
	if !norm.NFC.IsNormalString(text) {
		flags = append(flags, NotNFC)
	}
	return b.String(), flags
}

func mark(b *strings.Builder, r rune) { fmt.Fprintf(b, "⟨U+%04X⟩", r) }

// isHidden reports whether a character cannot be seen, or changes how others are shown: control characters except the white
// space of ordinary text, format and bidi characters, line separators, unassigned and private characters, tags, variation selectors,
// fillers, the blank braille pattern, and bytes that are not UTF-8.
func isHidden(r rune) bool {
	switch r {
	case '\t', '\n', '\r':
		return false
	case '\u2800', utf8.RuneError:
		return true
	}
	return !unicode.IsGraphic(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// eastAsian are the scripts that words of one language mix, also with Latin letters.
var eastAsian = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Hangul}

// mixesScripts reports whether a word has letters of two scripts. A word is a run of letters, marks and digits. East Asian
// scripts do not count.
func mixesScripts(text string) bool {
	var script *unicode.RangeTable // of the letters of this word before r
	for _, r := range text {
		switch {
		case !unicode.In(r, unicode.L, unicode.M, unicode.N):
			script = nil
		case !unicode.IsLetter(r) || unicode.In(r, eastAsian...) || script != nil && unicode.Is(script, r):
		default:
			found := scriptOf(r)
			if script != nil && found != nil {
				return true
			}
			if found != nil {
				script = found
			}
		}
	}
	return false
}

// scriptOf returns the script of a letter. It is nil for a letter that belongs to all scripts, for example the micro sign.
func scriptOf(r rune) *unicode.RangeTable {
	if unicode.Is(unicode.Latin, r) {
		return unicode.Latin
	}
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
			return table
		}
	}
	return nil
}
