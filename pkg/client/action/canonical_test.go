package action

import (
	"errors"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, arguments, want string }{
		{"absent arguments", "", `{}`},
		{"names are sorted by UTF-16 units", `{"ﬁ":1,"😀":2,"é":3,"e\u0301":4,"B":5,"a":6}`, `{"B":5,"a":6,"e` + "\u0301" + `":4,"é":3,"😀":2,"ﬁ":1}`},
		{"white space and escapes", " {\n\t\"\\u0061\" : \"\\/\\u20ac\\n\\u001F\\\"\" }\r", `{"a":"/€\n\u001f\""}`},
		{"numbers", `[1.0, 1e2, 0.1, -0.50, 1E-7, 1e21, 0e999999999999, 9007199254740992, 123456789012345680000]`, `[1,100,0.1,-0.5,1e-7,1e+21,0,9007199254740992,123456789012345680000]`},
		{"a surrogate pair", `"\ud83d\ude00"`, `"😀"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			arguments, want := c.arguments, c.want
			if arguments != "" && !strings.HasPrefix(strings.TrimSpace(arguments), "{") {
				arguments, want = `{"v":`+arguments+`}`, `{"v":`+want+`}`
			}
			got, err := Canonical([]byte(arguments))
			if err != nil || got != want {
				t.Errorf("Canonical(%s) = %s, %v, want %s", arguments, got, err, want)
			}
		})
	}
}

func TestCanonicalRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, arguments, path, reason string }{
		{"not an object", `[1]`, "", "must be an object"},
		{"null", `null`, "", "must be an object"},
		{"a text after the object", `{} {}`, "", "JSON"},
		{"a trailing comma", `{"a":1,}`, "", "JSON"},
		{"NaN", `{"a":NaN}`, "", "JSON"},
		{"Infinity", `{"a":-Infinity}`, "", "JSON"},
		{"a number in another notation", `{"a":+1}`, "", "JSON"},
		{"a byte order mark", "\ufeff{}", "", "JSON"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "", "UTF-8"},
		{"a surrogate as UTF-8", "{\"a\":\"\xed\xa0\x80\"}", "", "UTF-8"},
		{"half of a surrogate pair", `{"a":["x","\ud83d"]}`, "a.1", "surrogate"},
		{"the second half of a surrogate pair", `{"a":"\uDE00"}`, "a", "surrogate"},
		{"two first halves", `{"a":"\ud83d\ud83d"}`, "a", "surrogate"},
		{"half of a surrogate pair in a name", `{"\ud83dx":1}`, "\ufffdx", "surrogate"},
		{"the character U+0000", `{"a":"\u0000"}`, "a", "U+0000"},
		{"the character U+0000 in a name", `{"a\u0000":1}`, "a\ufffd", "U+0000"},
		{"a name twice", `{"a":1,"b":2,"a":1}`, "a", "twice"},
		{"a name twice, with an escape", `{"list":[{"a":1,"\u0061":2}]}`, "list.0.a", "twice"},
		{"an integer that would be rounded", `{"a":{"b":9007199254740993}}`, "a.b", "rounded"},
		{"an integer with a shorter form that differs", `{"a":9223372036854775808}`, "a", "rounded"},
		{"a fraction that would be rounded", `{"a":0.1000000000000000055}`, "a", "rounded"},
		{"a number that would become 0", `{"a":1e-400}`, "a", "rounded"},
		{"a number that would become infinite", `{"a":1e400}`, "a", "rounded"},
		{"an exponent that is too long", `{"a":1e-99999999999999999999}`, "a", "rounded"},
		{"negative zero", `{"a":-0}`, "a", "rounded"},
		{"negative zero with a fraction", `{"a":-0.0e5}`, "a", "rounded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Canonical([]byte(c.arguments))
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("Canonical(%s) = %q, %v, want an *Error", c.arguments, got, err)
			}
			if path := strings.Join(refused.Path, "."); path != c.path || !strings.Contains(refused.Reason, c.reason) {
				t.Errorf("Canonical(%s): path %q, reason %q, want %q, %q", c.arguments, path, refused.Reason, c.path, c.reason)
			}
		})
	}
}

func TestCanonicalLimits(t *testing.T) {
	t.Parallel()
	nested := func(levels int) string {
		return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
	}
	text := func(bytes int) string { return `{"a":"` + strings.Repeat("x", bytes-len(`{"a":""}`)) + `"}` }
	escaped := func(bytes int) string { return strings.ReplaceAll(text(bytes), "x", `\u0078`) }
	for _, c := range []struct {
		name, arguments string
		accepted        bool
	}{
		{"32 levels", nested(32), true},
		{"33 levels", nested(33), false},
		{"31 arrays in an object", `{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + "}", true},
		{"32 arrays in an object", `{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "}", false},
		{"16384 bytes", text(MaxBytes), true},
		{"16385 bytes", text(MaxBytes + 1), false},
		{"16384 bytes that were written as escapes", escaped(MaxBytes), true},
		{"16385 bytes that were written as escapes", escaped(MaxBytes + 1), false},
		{"white space does not count", text(MaxBytes) + strings.Repeat(" ", MaxInputBytes-MaxBytes), true},
		{"more input than the limit", text(MaxBytes) + strings.Repeat(" ", MaxInputBytes-MaxBytes+1), false},
		{"many small values", `{"a":[` + strings.Repeat("0,", 60000) + "0]}", false},
		{"many small names", `{"a":[` + strings.Repeat(`{"":0},`, 18000) + "0]}", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Canonical([]byte(c.arguments))
			if (err == nil) != c.accepted {
				t.Errorf("%d bytes, %v, want accepted: %t", len(got), err, c.accepted)
			}
		})
	}
}

func TestErrorShowsNoValueAndNoControlCharacter(t *testing.T) {
	t.Parallel()
	_, err := Canonical([]byte(`{"a\n\u202e` + strings.Repeat("é", 100) + `":{"b":9007199254740993}}`))
	const want = "arguments.a\ufffd\ufffdééééééééééééééééééééééééééé"
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "9007") || len(err.Error()) > 200 {
		t.Errorf("error %q, want a prefix %q", err, want)
	}
}
