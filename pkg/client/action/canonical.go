package action

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

const (
	// MaxBytes is the greatest length of the canonical form, in bytes of UTF-8.
	MaxBytes = 16384
	// MaxLevels is how deep objects and arrays may be nested. The outermost object is level 1.
	MaxLevels = 32
	// MaxInputBytes is the greatest length of arguments before they are canonical. A text of MaxBytes is at most six times as long
	// if every character is written as an escape.
	MaxInputBytes = 128 << 10
)

// Error says why arguments are refused. It is safe to show: it contains names of members, but no values.
type Error struct {
	// Path leads to the value: names of members and indexes of arrays, from the outside to the inside. Names are shortened.
	Path []string
	// Reason is a sentence without a subject, such as "must be an object".
	Reason string
}

func (e *Error) Error() string {
	return strings.Join(append([]string{"arguments"}, e.Path...), ".") + " " + e.Reason
}

// Canonical returns the RFC 8785 form of a JSON object. Nil and empty input give "{}". The error is always an *Error. These inputs
// are refused: text that is not exactly one JSON object, invalid UTF-8, lone surrogates, the character U+0000, a name that occurs
// twice in an object, a number that changes when it is read as float64 and written again, negative zero, more than MaxLevels
// levels, and more than MaxBytes bytes.
func Canonical(arguments []byte) (string, error) {
	if len(arguments) == 0 {
		return "{}", nil
	}
	if len(arguments) > MaxInputBytes {
		return "", &Error{Reason: "are too large"}
	}
	// The decoder below replaces invalid UTF-8 instead of refusing it, and json.Valid does not look at it.
	if !utf8.Valid(arguments) {
		return "", &Error{Reason: "are not valid UTF-8"}
	}
	if !json.Valid(arguments) {
		return "", &Error{Reason: "are not valid JSON"}
	}
	// The library that writes the canonical form rounds numbers and needs a multiple of the input's memory. So check first.
	if err := newChecker(arguments).object(); err != nil {
		return "", err
	}
	canonical, err := jcs.Transform(arguments)
	if err != nil {
		return "", &Error{Reason: "are not valid JSON"}
	}
	return string(canonical), nil
}

// checker reads valid JSON token by token and refuses what has no exact canonical form.
type checker struct {
	decoder *json.Decoder
	input   []byte
	path    []string
	// size is the length of the canonical form of what was read, in bytes.
	size int
}

func newChecker(input []byte) *checker {
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.UseNumber()
	return &checker{decoder: decoder, input: input}
}

func (c *checker) refuse(reason string) error {
	return &Error{Path: append([]string(nil), c.path...), Reason: reason}
}

// next returns the next token and its text. The text may start with white space, a comma or a colon.
func (c *checker) next() (json.Token, []byte, error) {
	start := c.decoder.InputOffset()
	token, err := c.decoder.Token()
	if err != nil {
		return nil, nil, c.refuse("are not valid JSON")
	}
	return token, c.input[start:c.decoder.InputOffset()], nil
}

// add counts bytes of the canonical form.
func (c *checker) add(size int) error {
	if c.size += size; c.size > MaxBytes {
		return &Error{Reason: "are too large: their canonical form has more than " + strconv.Itoa(MaxBytes) + " bytes"}
	}
	return nil
}

func (c *checker) object() error {
	token, _, err := c.next()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return c.refuse("must be an object")
	}
	return c.members(token.(json.Delim))
}

// members checks what follows an opening delimiter, up to its closing delimiter.
func (c *checker) members(open json.Delim) error {
	if len(c.path) >= MaxLevels {
		return &Error{Reason: "have more than " + strconv.Itoa(MaxLevels) + " levels"}
	}
	if err := c.add(len("{}")); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := 0; c.decoder.More(); i++ {
		if i > 0 {
			c.size += len(",")
		}
		c.path = append(c.path, strconv.Itoa(i))
		if open == '{' {
			if err := c.name(seen); err != nil {
				return err
			}
		}
		if err := c.value(); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
	_, _, err := c.next() // the closing delimiter
	return err
}

// name checks the name of a member. seen has the earlier names of the object.
func (c *checker) name(seen map[string]bool) error {
	token, raw, err := c.next()
	if err != nil {
		return err
	}
	name, ok := token.(string)
	if !ok {
		return c.refuse("is not valid JSON")
	}
	c.path[len(c.path)-1] = printable(name)
	if seen[name] {
		return c.refuse("occurs twice")
	}
	seen[name] = true
	c.size += len(":")
	return c.text(name, raw)
}

func (c *checker) value() error {
	token, raw, err := c.next()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		return c.members(v)
	case string:
		return c.text(v, raw)
	case json.Number:
		canonical, exact := exactNumber(string(v))
		if !exact {
			return c.refuse("is a number that would be rounded; send it as a string")
		}
		return c.add(len(canonical))
	default:
		return c.add(len(bytes.TrimLeft(raw, " \t\r\n,:"))) // true, false, null
	}
}

// text checks a string and adds its canonical length. raw is the string as it was written, with quotes and escapes.
func (c *checker) text(value string, raw []byte) error {
	if strings.ContainsRune(value, 0) {
		return c.refuse("contains the character U+0000")
	}
	if loneSurrogate(raw) {
		return c.refuse("contains half of a surrogate pair")
	}
	size := len(value) + len(`""`)
	for i := range len(value) {
		switch b := value[i]; {
		case b == '"' || b == '\\' || '\b' <= b && b <= '\r' && b != '\v':
			size++ // as \n
		case b < ' ':
			size += 5 // as \u001f
		}
	}
	return c.add(size)
}

// loneSurrogate reports whether a JSON string contains the escape of a surrogate that is not one half of a pair.
func loneSurrogate(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		unit := codeUnit(raw[i+1 : i+5])
		i += 4
		switch {
		case unit < 0xD800 || unit > 0xDFFF:
		case unit > 0xDBFF || i+6 >= len(raw) || raw[i+1] != '\\' || raw[i+2] != 'u':
			return true
		default:
			if low := codeUnit(raw[i+3 : i+7]); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 6
		}
	}
	return false
}

// codeUnit returns the value of four hexadecimal digits.
func codeUnit(digits []byte) uint64 {
	value, _ := strconv.ParseUint(string(digits), 16, 16)
	return value
}

// printable returns a member's name as an error shows it: in one line, and not long.
func printable(name string) string {
	const most = 60
	var shown strings.Builder
	for _, r := range name {
		if shown.Len() >= most {
			shown.WriteString("…")
			break
		}
		if !strconv.IsPrint(r) {
			r = utf8.RuneError
		}
		shown.WriteRune(r)
	}
	return shown.String()
}
