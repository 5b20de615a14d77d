package skill

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/fault"
)

func TestParseTemplate(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct{ text, want string }{
		{"Pay", "Pay"},
		{"Pay {amount} to {recipient.name}", "Pay <amount> to <recipient.name>"},
		{"{items.0.name}", "<items.0.name>"},
		{"{a}{b}", "<a><b>"},
		{"{{a}} {a}", "{a} <a>"},
		{"{{{a}}}", "{<a>}"},
		{"{{{{", "{{"},
		{"{$id} {a-b} {a_b} {größe}", "<$id> <a-b> <a_b> <größe>"},
		{"München {a} – fertig", "München <a> – fertig"},
	} {
		parsed, err := ParseTemplate(rule.text)
		var got strings.Builder
		for _, p := range parsed.pieces {
			if got.WriteString(p.text); p.path != nil {
				got.WriteString("<" + strings.Join(p.path, ".") + ">")
			}
		}
		if err != nil || got.String() != rule.want {
			t.Errorf("%q: got %q, %v, want %q", rule.text, got.String(), err, rule.want)
		}
	}
}

func TestUnknownTemplateSyntaxIsRefused(t *testing.T) {
	t.Parallel()
	for text, position := range map[string]int{
		"{": 1, "a}": 2, "{}": 1, "{ a}": 1, "{a }": 1, "{a.}": 1, "{.a}": 1, "{a..b}": 1, "{a|upper}": 1, "{a[0]}": 1, "{#if a}": 1, "{a:2}": 1,
		"{{a}": 4, "{a{b}}": 1, "{a,b}": 1, "{{{a}}": 6, "${a/b}": 2, "ü{": 2, "Pay\u202E{a}": 4, "{a\u200Bb}": 1, "a\nb": 2, "{a\nb}": 1, "a\x00": 2,
	} {
		_, err := ParseTemplate(text)
		refused, ok := err.(*fault.Error)
		if !ok || refused.Field != "summary" || !strings.HasPrefix(refused.Text, fmt.Sprintf("At character %d: ", position)) {
			t.Errorf("%q: %v, want a refusal at character %d", text, err, position)
		}
	}
}

// lines prints what Show returns, one line for each value.
func lines(s Shown) (all []string) {
	all = append(all, s.Title, s.Text())
	for _, a := range s.Arguments {
		line := a.Path + " = " + a.Value + " (" + a.Type + ")"
		if a.InSummary {
			line += " in summary"
		}
		if len(a.Flags) > 0 {
			line += fmt.Sprint(" ", a.Flags)
		}
		all = append(all, line)
	}
	return all
}

func TestShow(t *testing.T) {
	t.Parallel()
	title := "Transfer"
	long := strings.Repeat("n", 130)
	for _, rule := range []struct {
		name, template, arguments string
		want                      []string
		missing                   []string
	}{
		{"no arguments", "Pay", `{}`, []string{"Transfer", "Pay"}, nil},
		{"every type", "", `{"a":"5","b":5,"c":true,"d":null,"e":{},"f":[],"g":"","h":-1.5e-9}`, []string{"Transfer", "pay",
			"a = 5 (string)", "b = 5 (number)", "c = true (boolean)", "d = null (null)", "e = {} (object)", "f = [] (array)", "g = ⟨empty⟩ (string)", "h = -1.5e-9 (number)"}, nil},
		{"texts that are JSON", "Overwrite {a}", `{"a":"false","b":"null","c":"[]","d":"{\"e\":1}","f":"\"false\"","g":"-1","h":"False","i":" true"}`,
			[]string{"Transfer", `Overwrite "false"`, `a = "false" (string) in summary`, `b = "null" (string)`, `c = "[]" (string)`, `d = "{\"e\":1}" (string)`,
				`f = "\"false\"" (string)`, "g = -1 (string)", "h = False (string)", `i = " true" (string)`}, nil},
		{"nested", "{to.name}: {sums.1}", `{"sums":[1,2,[3]],"to":{"iban":"DE1","name":"Bob"}}`, []string{"Transfer", "Bob: 2",
			"sums.0 = 1 (number)", "sums.1 = 2 (number) in summary", "sums.2.0 = 3 (number)", "to.iban = DE1 (string)", "to.name = Bob (string) in summary"}, nil},
		{"an object in the summary", "To {to}", `{"to":{"a":1,"b":["x"]}}`, []string{"Transfer", `To {"a":1,"b":["x"]}`,
			"to.a = 1 (number) in summary", "to.b.0 = x (string) in summary"}, nil},
		{"values with braces", "Pay {a}", `{"a":"{b} {{c}}","b":"secret"}`, []string{"Transfer", "Pay {b} {{c}}",
			"a = {b} {{c}} (string) in summary", "b = secret (string)"}, nil},
		{"a value that is no template", "Pay {a}", `{"a":"{b} }{"}`, []string{"Transfer", "Pay {b} }{", "a = {b} }{ (string) in summary"}, nil},
		{"a missing value", "Pay {amount} to {to.name} {to.0} {x}", `{"amount":1,"to":"Bob"}`, []string{"Transfer", "Pay 1 to — — —",
			"amount = 1 (number) in summary", "to = Bob (string)"}, []string{"to.name", "to.0", "x"}},
		{"elements by number only", "{a.0} {a.00} {a.-1} {a.2}", `{"a":[7,8]}`, []string{"Transfer", "7 — — —", "a.0 = 7 (number) in summary", "a.1 = 8 (number)"},
			[]string{"a.00", "a.-1", "a.2"}},
		{"odd names", "", `{"":1,"0":2,"a b":3,"a.b":4,"a\"b":5,"a\\b":6,"a\u202eb":{"c":7},"p\u0430y":8}`, []string{"Transfer", "pay", `"" = 1 (number)`,
			`"0" = 2 (number)`, `"a b" = 3 (number)`, `"a.b" = 4 (number)`, `"a\"b" = 5 (number)`, `"a\\b" = 6 (number)`,
			`"a⟨U+202E⟩b".c = 7 (number) [hidden_characters]`, "p\u0430y = 8 (number) [mixed_scripts]"}, nil},
		{"flags of the name and of the value", "", `{"\u200b":"\u200b\u0430a"}`, []string{"Transfer", "pay",
			"\"⟨U+200B⟩\" = ⟨U+200B⟩\u0430a (string) [hidden_characters mixed_scripts]"}, nil},
		{"hidden characters in the summary", "Pay {a}", `{"a":"\u202eevil"}`, []string{"Transfer", "Pay ⟨U+202E⟩evil", "a = ⟨U+202E⟩evil (string) in summary [hidden_characters]"}, nil},
		{"long names", "", `{"` + long + `":{"a":[1]},"b":{"` + long + `":1}}`, []string{"Transfer", "pay", long + ` = {"a":[1]} (object)`, `b = {"` + long + `":1} (object)`}, nil},
		{"a long value", "To {a}!", `{"a":"` + strings.Repeat("ü", 201) + `"}`, []string{"Transfer", "To " + strings.Repeat("ü", 200) + "…!", "a = " + strings.Repeat("ü", 201) + " (string) in summary"}, nil},
	} {
		template := &rule.template
		if rule.template == "" {
			template = nil
		}
		shown, err := Show("pay", &title, template, rule.arguments)
		if err != nil {
			t.Errorf("%s: %v", rule.name, err)
		}
		if got := lines(shown); !slices.Equal(got, rule.want) || !slices.Equal(shown.Missing, rule.missing) {
			t.Errorf("%s: got\n%s\nmissing %q; want\n%s\nmissing %q", rule.name, strings.Join(got, "\n"), shown.Missing, strings.Join(rule.want, "\n"), rule.missing)
		}
	}
}

func TestSkillWithoutTitleIsShownByItsName(t *testing.T) {
	t.Parallel()
	shown, err := Show("p\u0430y\u200B", nil, nil, `{}`)
	if err != nil || shown.Title != "p\u0430y⟨U+200B⟩" || shown.Text() != shown.Title || !slices.Equal(shown.Summary[0].Flags, []Flag{HiddenCharacters, MixedScripts}) {
		t.Errorf("%+v, %v", shown, err)
	}
}

func TestShowRefusesWhatIsNoObject(t *testing.T) {
	t.Parallel()
	for _, arguments := range []string{"", "[]", "1", "null", "{", `{"a":}`, "{} {}", `{"a":1]`} {
		if _, err := Show("pay", nil, nil, arguments); err == nil {
			t.Errorf("%q was shown", arguments)
		}
	}
}

// The largest answers: many values below long paths, and characters that are shown with most bytes.
func TestShownSizeIsBounded(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"`+strings.Repeat("k", 30)+`":`, 31) + "[" + strings.Repeat("0,", 7000) + "0]" + strings.Repeat("}", 31)
	many := `{"a":[` + strings.Repeat("0,", 8000) + "0]}"
	marks := `{"a":"` + strings.Repeat("\u00AD", 8000) + `"}`
	for name, arguments := range map[string]string{"deep": deep, "many": many, "marks": marks} {
		shown, err := Show("pay", nil, nil, arguments)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, a := range shown.Arguments {
			size += len(a.Path) + len(a.Value)
		}
		if size > 128*len(arguments) {
			t.Errorf("%s: %d bytes are shown as %d", name, len(arguments), size)
		}
	}
}
