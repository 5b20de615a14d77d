package message

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions of this file read texts that json.Valid accepted, so they do not check the grammar again. They are not the functions
// of encoding/json, because those accept a name twice and ignore case.

// maxMembers limits the members of an object that the gate looks into, and maxName the bytes of their names: each name is compared with
// all others.
const (
	maxMembers = 100
	maxName    = 1000
)

// member is one member of an object. name is decoded; value is as it was sent.
type member struct{ name, value []byte }

// object appends the members of an object to list. It returns a reason for a refusal if two readers could read the object in two
// ways: a name occurs twice, or differs from one of the known names only in case and in characters that are no letters or digits.
func object(list []member, text []byte, known []string) (_ []member, refused string) {
	for i := space(text, 1); text[i] != '}'; i = space(text, i) {
		if text[i] == ',' {
			i = space(text, i+1)
		}
		end := skip(text, i)
		name, ok := unquote(text[i:end])
		i = space(text, space(text, end)+1) // after the colon
		end = skip(text, i)
		if !ok {
			return nil, "a name contains a lone surrogate or U+0000"
		}
		if reason := ambiguous(list, string(name), known); reason != "" {
			return nil, reason
		}
		list = append(list, member{name, text[i:end]})
		i = end
	}
	return list, ""
}

func ambiguous(list []member, name string, known []string) string {
	if len(name) > maxName {
		return "a name has more than " + strconv.Itoa(maxName) + " bytes"
	}
	for _, other := range list {
		if string(other.name) == name {
			return "a name occurs twice in one object"
		}
	}
	for _, right := range known {
		if name != right && same(name, right) {
			return "a name must be written " + right
		}
	}
	if name == "__proto__" {
		return "a name is __proto__"
	}
	if len(list) == maxMembers {
		return "an object has more than " + strconv.Itoa(maxMembers) + " members"
	}
	return ""
}

// same reports whether a lax reader could take one name for the other. Go's readers ignore case, others accept snake_case, trim white
// space, or drop characters that cannot be seen. So only letters and digits count.
func same(name, right string) bool {
	if strings.EqualFold(name, right) {
		return true
	}
	return letterCount(name) == letterCount(right) && strings.EqualFold(strings.Map(letter, name), strings.Map(letter, right))
}

// letterCount is the number of characters that letter keeps. It costs less than strings.Map.
func letterCount(name string) (count int) {
	for _, r := range name {
		if letter(r) >= 0 {
			count++
		}
	}
	return count
}

// letter returns a letter or digit as it is, and -1 for other characters.
func letter(r rune) rune {
	switch {
	case r <= unicode.MaxASCII && (r|' ' >= 'a' && r|' ' <= 'z' || r >= '0' && r <= '9'):
		return r
	case r > unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		return r
	}
	return -1
}

// skip returns the index after the value that starts at i.
func skip(text []byte, i int) int {
	switch text[i] {
	case '"':
		return afterText(text, i)
	case '{', '[':
		for depth := 0; ; {
			switch text[i] {
			case '"':
				i = afterText(text, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	end := bytes.IndexAny(text[i:], ",]} \t\n\r")
	if end < 0 {
		return len(text)
	}
	return i + end
}

// afterText returns the index after the text that starts with the quotation mark at i.
func afterText(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// levels returns how deep the objects and arrays are nested.
func levels(text []byte) int {
	depth, deepest := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = afterText(text, i) - 1
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}

func space(text []byte, i int) int {
	for text[i] == ' ' || text[i] == '\t' || text[i] == '\n' {
		i++
	}
	return i
}

func trim(text []byte) []byte { return bytes.Trim(text, " \t\n") }

// unquote returns the characters of a JSON text. It returns false if the value is not a text, or contains a lone surrogate or U+0000,
// because readers disagree about these.
func unquote(value []byte) ([]byte, bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	inner := value[1 : len(value)-1]
	next := bytes.IndexByte(inner, '\\')
	if next < 0 {
		return inner, true
	}
	decoded := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			decoded = append(decoded, inner[i])
			i++
			continue
		}
		r, size := escape(inner[i:])
		if r == 0 || r == utf8.RuneError && size == 0 {
			return nil, false
		}
		decoded = utf8.AppendRune(decoded, r)
		i += size
	}
	return decoded, true
}

// escape returns the character of the escape at the start of text, and its length. The length of a lone surrogate is 0.
func escape(text []byte) (rune, int) {
	switch text[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default: // the character itself
		return rune(text[1]), 2
	}
	first := hex4(text[2:6])
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	if len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
		if r := utf16.DecodeRune(first, hex4(text[8:12])); r != utf8.RuneError {
			return r, 12
		}
	}
	return utf8.RuneError, 0
}

func hex4(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits), 16, 32) // json.Valid checked the digits
	return rune(n)
}
