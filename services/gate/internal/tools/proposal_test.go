package tools

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestModesFromAnnotations(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, rule := range []struct {
		name                  string
		readOnly, destructive *bool
		want                  string
	}{
		{"no annotations", nil, nil, "approval"},
		{"reads only", &yes, nil, "open"},
		{"reads only and destroys nothing", &yes, &no, "open"},
		{"reads only and destroys: a contradiction", &yes, &yes, "approval"},
		{"writes", &no, nil, "approval"},
		{"writes and destroys", &no, &yes, "approval"},
		{"writes and destroys nothing", &no, &no, "session"},
		{"destroys", nil, &yes, "approval"},
		{"destroys nothing", nil, &no, "session"},
	} {
		if got := Propose([]Tool{{Name: "a", ReadOnly: rule.readOnly, Destructive: rule.destructive}}, "")[0]; got.Body.Mode != rule.want || got.Problem != "" {
			t.Errorf("%s: %s, %q, want %s", rule.name, got.Body.Mode, got.Problem, rule.want)
		}
	}
}

func TestNamesThatAreNoSkills(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]struct{ tool, prefix, want string }{
		"255 characters":            {strings.Repeat("ä", 255), "", ""},
		"256 characters":            {strings.Repeat("a", 256), "", "longer than 255"},
		"with the prefix":           {strings.Repeat("a", 250), "files.", "longer than 255"},
		"a wildcard":                {"files.*", "", "wildcard"},
		"a line break":              {"a\nb", "", "not visible"},
		"an escape sequence":        {"a\x1b[2J", "", "not visible"},
		"a bidi character":          {"a\u202Eb", "", "not visible"},
		"a zero-width character":    {"a\u200Bb", "", "not visible"},
		"a variation selector":      {"a\uFE0Fb", "", "not visible"},
		"a character that was lost": {"a\uFFFDb", "", "not visible"},
		"one dot":                   {".", "", "part of a URL"},
		"two dots":                  {"..", "", "part of a URL"},
		"two dots after a prefix":   {"..", "x", ""},
		"spaces, slashes, letters":  {"Überweisung / 銀行 {x}?#%", "", ""},
	} {
		if got := Propose([]Tool{{Name: rule.tool}}, rule.prefix)[0].Problem; (got == "") != (rule.want == "") || !strings.Contains(got, rule.want) {
			t.Errorf("%s: %q, want %q", name, got, rule.want)
		}
	}
}

func TestNamesThatTheLetterCaseDistinguishes(t *testing.T) {
	t.Parallel()
	all := Propose([]Tool{{Name: "write"}, {Name: "Write"}, {Name: "read"}, {Name: "ÄB"}, {Name: "äb"}}, "")
	for i, problem := range []bool{true, true, false, false, false} { // only ASCII letters are equal
		if (all[i].Problem != "") != problem {
			t.Errorf("%s: %q", all[i].Tool, all[i].Problem)
		}
	}
}

func TestSummaryFromRequiredArguments(t *testing.T) {
	t.Parallel()
	long := make([]string, 100)
	for i := range long {
		long[i] = fmt.Sprintf(`"argument%d"`, i)
	}
	for name, rule := range map[string]struct{ tool, schema, want string }{
		"two":                     {"write", `{"required":["path","content"]}`, "write: path {path}, content {content}"},
		"none":                    {"write", `{"properties":{"a":{}}}`, ""},
		"an empty list":           {"write", `{"required":[]}`, ""},
		"no schema":               {"write", ``, ""},
		"a schema that is true":   {"write", `true`, ""},
		"required as in draft 3":  {"write", `{"required":true}`, ""},
		"names that are no texts": {"write", `{"required":[1,null,["a"],"path"]}`, "write: path {path}"},
		"a dot":                   {"write", `{"required":["a.b","path"]}`, "write: path {path}"},
		"braces":                  {"write", `{"required":["a}","{b","c{d}","path"]}`, "write: path {path}"},
		"only a dot":              {"write", `{"required":["a.b"]}`, ""},
		"an empty name":           {"write", `{"required":["","path"]}`, "write: path {path}"},
		"a space":                 {"write", `{"required":["a b","path"]}`, "write: path {path}"},
		"a hidden character":      {"write", `{"required":["a\u200B","path"]}`, "write: path {path}"},
		"letters of all kinds":    {"write", `{"required":["größe_1-$","数量"]}`, "write: größe_1-$ {größe_1-$}, 数量 {数量}"},
		"the same name twice":     {"write", `{"required":["a","a"]}`, "write: a {a}"},
		"braces in the tool":      {"w{x}", `{"required":["a"]}`, "w{{x}}: a {a}"},
		"a name that is too long": {"write", `{"required":["` + strings.Repeat("x", 300) + `","path"]}`, "write: path {path}"},
		"a tool that is hidden":   {"w\u202E", `{"required":["a"]}`, ""},
		"a tool that is too long": {strings.Repeat("x", 500), `{"required":["a"]}`, ""},
	} {
		got := summary(Tool{Name: rule.tool, InputSchema: json.RawMessage(rule.schema)})
		if got == nil && rule.want != "" || got != nil && *got != rule.want {
			t.Errorf("%s: %v, want %q", name, got, rule.want)
		}
	}
	got := summary(Tool{Name: "write", InputSchema: json.RawMessage(`{"required":[` + strings.Join(long, ",") + `]}`)})
	if got == nil || utf8.RuneCountInString(*got) > maxSummary || !strings.HasSuffix(*got, "}") || !strings.HasPrefix(*got, "write: argument0 {argument0}, argument1") {
		t.Errorf("many arguments: %v", got)
	}
}

func TestTitlesThatAreLeftOut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" Write a file ": "Write a file", "": "", "  ": "", "a\nb": "", "a\u202Eb": "", strings.Repeat("ä", 100): strings.Repeat("ä", 100), strings.Repeat("a", 101): "",
	} {
		got := title(Tool{Title: text})
		if got == nil && want != "" || got != nil && *got != want {
			t.Errorf("%q: %v, want %q", text, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"write": "write", "a\x1b[31m": "a⟨U+001B⟩[31m", "a\nb": "a⟨U+000A⟩b", "\u202E": "⟨U+202E⟩", "\xff": "⟨U+FFFD⟩", strings.Repeat("x", 150): strings.Repeat("x", 100) + "…",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzProposal checks that what a server says never becomes a text that a terminal or pin-admin would not take.
func FuzzProposal(f *testing.F) {
	f.Add("write", "Write", `{"required":["path"]}`)
	f.Add("w{\x1b", "a\u202E", `{"required":["a.b","{","}}"]}`)
	f.Fuzz(func(t *testing.T, name, title, schema string) {
		p := Propose([]Tool{{Name: name, Title: title, InputSchema: json.RawMessage(schema)}}, "p.")[0]
		for _, text := range []*string{p.Body.Title, p.Body.Summary} {
			if text != nil && (*text == "" || !isPlain(*text) || utf8.RuneCountInString(*text) > maxSummary) {
				t.Errorf("%q", *text)
			}
		}
		if p.Body.Summary != nil {
			checkTemplate(t, *p.Body.Summary)
		}
		if text := Printable(name); !isPlain(text) {
			t.Errorf("%q", text)
		}
	})
}

// checkTemplate reads a template as pin-admin does.
func checkTemplate(t *testing.T, text string) {
	t.Helper()
	text = strings.NewReplacer("{{", "", "}}", "").Replace(text)
	for text != "" {
		before, rest, found := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			t.Errorf("a } without a {: %q", text)
		}
		if !found {
			return
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !canBePlaceholder(name) {
			t.Errorf("a placeholder %q in %q", name, text)
		}
		text = after
	}
}
