package skill

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/countersign/countersign/pkg/fault"
)

// Template is the parsed summary of a skill: text with placeholders. It has no logic.
//
// A placeholder is a path in braces: {recipient.name}, {items.0.price}. Each part of the path is the name of a property, or the
// number of an element, which counts from 0. It consists of letters, digits, "_", "-" and "$". {{ and }} are the characters { and }.
type Template struct{ pieces []piece }

// piece is a text, or a placeholder if path is not nil.
type piece struct {
	text string
	path []string
}

// ParseTemplate reads a template, or returns an Invalid fault about the field summary.
func ParseTemplate(text string) (Template, error) {
	var t Template
	var literal strings.Builder
	runes := []rune(text)
	refuse := func(i int, why string) (Template, error) {
		return Template{}, invalid("summary", fmt.Sprintf("At character %d: %s", i+1, why))
	}
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case !isPlain(r):
			return refuse(i, fmt.Sprintf("U+%04X is not a visible character", r))
		case r != '{' && r != '}':
			literal.WriteRune(r)
		case i+1 < len(runes) && runes[i+1] == r:
			literal.WriteRune(r)
			i++
		case r == '}':
			return refuse(i, "a } without a {. Write }} for the character }")
		default:
			length := strings.IndexRune(string(runes[i+1:]), '}')
			if length < 0 {
				return refuse(i, "a { without a }. Write {{ for the character {")
			}
			path := strings.Split(string(runes[i+1:])[:length], ".")
			for _, name := range path {
				if !isName(name) {
					return refuse(i, "a placeholder must be a path such as {recipient.name} or {items.0}, of letters, digits, _, - and $")
				}
			}
			if literal.Len() > 0 {
				t.pieces = append(t.pieces, piece{text: literal.String()})
				literal.Reset()
			}
			t.pieces = append(t.pieces, piece{path: path})
			i += len([]rune(strings.Join(path, "."))) + 1
		}
	}
	if literal.Len() > 0 {
		t.pieces = append(t.pieces, piece{text: literal.String()})
	}
	return t, nil
}

// isName reports whether a part of a path may be in a placeholder.
func isName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !isNameCharacter(r) })
}

func isNameCharacter(r rune) bool {
	return isPlain(r) && unicode.In(r, unicode.L, unicode.M, unicode.Nd) || r == '_' || r == '-' || r == '$'
}

// isPlain reports whether a character may be in a text that an operator writes.
func isPlain(r rune) bool { return !isHidden(r) && !unicode.IsControl(r) }

// invalid is a fault about a field of a skill.
func invalid(field, text string) error {
	return fault.New(fault.Invalid, "skill_invalid", text).About(field)
}
