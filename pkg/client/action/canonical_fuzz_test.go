package action

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// FuzzCanonical compares Canonical with a second implementation in both directions: what Canonical accepts has the same value
// before and after, and every object that the second implementation can write is accepted.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `[]`, `{"a":1,"\u0061":2}`, `{"b":[1.0,-0,1e400,9007199254740993],"a":{"é":"\ud83d\ude00"}}`, `{"a":"\ud83d"}`,
		`{"\u0000":null}`, `{"ﬁ":true,"😀":false}`, `{"a":5e-324,"b":1.7976931348623157e308,"c":0.1000000000000000055}`, "{\"\xff\":1}",
		`{"\u0007\u000b\f\u001f\u007f":["\b\t\n\r\"\\\/\u2028", 1e21, 1.50, -0.5, true , null,[ ],{ }]}`,
		`{"a":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 4096 {
			return // large numbers make the comparison slow
		}
		canonical, err := Canonical(input)
		if err == nil {
			if again, err := Canonical([]byte(canonical)); again != canonical || err != nil {
				t.Errorf("%q: canonical %q, then %q, %v", input, canonical, again, err)
			}
			if len(input) > 0 && !same(decode(t, input), decode(t, []byte(canonical))) {
				t.Errorf("%q became %q", input, canonical)
			}
			if c := newChecker(input); len(input) > 0 && (c.object() != nil || c.size != len(canonical)) {
				t.Errorf("%q: counted %d bytes, the canonical form has %d", input, c.size, len(canonical))
			}
		}
		var value map[string]any
		if json.Unmarshal(input, &value) != nil || value == nil {
			return
		}
		clean, levels := cleaned(value)
		spelled, err := json.Marshal(clean)
		if err != nil {
			t.Fatal(err)
		}
		want := written(t, clean)
		accepted := levels <= MaxLevels && len(want) <= MaxBytes
		if got, err := Canonical(spelled); accepted && got != want || accepted != (err == nil) {
			t.Errorf("Canonical(%s) = %s, %v, want %s", spelled, got, err, want)
		}
	})
}

func decode(t *testing.T, text []byte) (value any) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%q was accepted: %v", text, err)
	}
	return value
}

// same compares two values. Numbers are equal if their decimal values are.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, value := range a {
			if other, found := b[name]; !found || !same(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case json.Number:
		b, ok := b.(json.Number)
		if mantissa, _, _ := strings.Cut(strings.ToLower(string(a)), "e"); !strings.ContainsAny(mantissa, "123456789") {
			return ok && b == "0" && mantissa[0] != '-' // the exponent may be too long for big.Rat
		}
		x, _ := new(big.Rat).SetString(string(a))
		y, _ := new(big.Rat).SetString(string(b))
		return ok && x != nil && y != nil && x.Cmp(y) == 0
	default:
		return a == b
	}
}

// cleaned returns value without U+0000 and negative zero, and its number of levels.
func cleaned(value any) (any, int) {
	deepest := 0
	inside := func(value any) any {
		clean, levels := cleaned(value)
		deepest = max(deepest, levels)
		return clean
	}
	switch v := value.(type) {
	case map[string]any:
		clean := map[string]any{}
		for name, member := range v {
			clean[strings.ReplaceAll(name, "\x00", "")] = inside(member)
		}
		return clean, deepest + 1
	case []any:
		clean := []any{}
		for _, element := range v {
			clean = append(clean, inside(element))
		}
		return clean, deepest + 1
	case string:
		return strings.ReplaceAll(v, "\x00", ""), 0
	case float64:
		if v == 0 {
			return 0.0, 0
		}
	}
	return value, 0
}

// written is the RFC 8785 form of a value.
func written(t *testing.T, value any) string {
	var parts []string
	switch v := value.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b))) })
		for _, name := range names {
			parts = append(parts, written(t, name)+":"+written(t, v[name]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		for _, element := range v {
			parts = append(parts, written(t, element))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case float64:
		if size := max(v, -v); size == 0 || 1e-6 <= size && size < 1e21 {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		text := strconv.FormatFloat(v, 'e', -1, 64)
		return strings.NewReplacer("e+0", "e+", "e-0", "e-").Replace(text)
	case string:
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSuffix(text.String(), "\n"))
	default:
		text, _ := json.Marshal(v)
		return string(text)
	}
}
