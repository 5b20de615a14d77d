package skill

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func FuzzVisible(f *testing.F) {
	f.Add("a\u202Eb", "a⟨U+202E⟩b")
	f.Add(" ", "")
	f.Add("p\u0430y", "\u0301")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return // JSON has no such text
		}
		shownA, flags := visible(a)
		shownB, _ := visible(b)
		if a != b && shownA == shownB {
			t.Errorf("%q and %q are both shown as %q", a, b, shownA)
		}
		for _, r := range shownA {
			if !unicode.IsGraphic(r) || isHidden(r) {
				t.Errorf("%q is shown as %q, with U+%04X", a, shownA, r)
			}
		}
		if shownA == "" || strings.TrimSpace(shownA) != shownA || strings.Contains(shownA, "  ") {
			t.Errorf("%q is shown as %q, which a page changes", a, shownA)
		}
		if slices.Contains(flags, HiddenCharacters) && shownA == a {
			t.Errorf("%q: a hidden character stays hidden", a)
		}
	})
}

func FuzzShow(f *testing.F) {
	f.Add("Pay {a.0} {{to}} {b.c}", `{"a":["{b}"],"b":{"c":1}}`)
	f.Add("{}", `{"":{"\u202e":[null,true,"",{}]}}`)
	f.Add("{a", `{"a":"}"}`)
	f.Fuzz(func(t *testing.T, template, arguments string) {
		if _, err := ParseTemplate(template); err != nil || !utf8.ValidString(arguments) {
			return
		}
		first, err := Show("pay", nil, &template, arguments)
		if err != nil {
			return
		}
		var decoded map[string]any
		if err := json.Unmarshal([]byte(arguments), &decoded); err != nil {
			t.Fatalf("%q is shown, but it is not a JSON object: %v", arguments, err)
		}
		second, _ := Show("pay", nil, &template, arguments)
		if fmt.Sprint(first) != fmt.Sprint(second) {
			t.Errorf("shown as %v, and then as %v", first, second)
		}
		if len(decoded) > 0 && len(first.Arguments) == 0 {
			t.Errorf("%q: no argument is shown", arguments)
		}
		texts := []string{first.Text()}
		for _, a := range first.Arguments {
			if a.Path == "" || a.Value == "" {
				t.Errorf("%q: an empty path or value: %+v", arguments, a)
			}
			texts = append(texts, a.Path, a.Value)
		}
		for _, text := range texts {
			for _, r := range text {
				if isHidden(r) {
					t.Errorf("U+%04X is shown in %q", r, text)
				}
			}
		}
	})
}

func FuzzSchema(f *testing.F) {
	f.Add(transferSchema, `{"amount":1,"to":{"name":"Bob"}}`)
	f.Add(`{"properties":{"a":{"minLength":1.0,"uniqueItems":true,"dependentRequired":{"a":["b"]}}}}`, `{"a":[1,1.0,"x"]}`)
	f.Add(`{"if":{"required":["a"]},"then":false,"propertyNames":{"pattern":"^a"},"unevaluatedProperties":false}`, `{"b":1}`)
	f.Fuzz(func(t *testing.T, schema, arguments string) {
		d, err := Skill{Name: "pay", Arguments: &schema}.Define()
		if err != nil {
			return
		}
		if _, err := d.Canonical([]byte(arguments)); err != nil && len(err.Error()) > 32*maxShownName*len("⟨U+202E⟩") {
			t.Errorf("a long error: %v", err)
		}
	})
}
