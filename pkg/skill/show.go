package skill

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Shown is what a person reads about an action. All its texts can be shown without a further change: their characters are visible.
type Shown struct {
	// Title is the skill's title, or its name.
	Title string
	// Summary is the filled template. Without a template, it is the skill's name.
	Summary []Part
	// Arguments are all values, in the order of the canonical form.
	Arguments []Argument
	// Missing are the paths of the placeholders that have no value. The summary has a dash there.
	Missing []string
}

// Part is a part of a summary: a text of the template, or a value. One of the two is empty.
type Part struct {
	Text  string
	Value string
	// Flags are warnings about the value.
	Flags []Flag
}

// Argument is one value of the arguments: a string, a number, a boolean, null, or an empty object or array.
type Argument struct {
	// Path are the names of the properties and the numbers of the elements, with dots between them. A name that is not plain is in
	// quotes, so different paths have different texts.
	Path string
	// Value is the text to show. A text that is empty is ⟨empty⟩.
	Value string
	// Type is string, number, boolean, null, object or array. It tells the text 5 from the number 5.
	Type string
	// Flags are warnings about the value and the path.
	Flags []Flag
	// InSummary is true if the summary contains the value.
	InSummary bool
}

const (
	// maxPath is the longest path of a value inside an object or array, in bytes. If a path would be longer, the object or array is
	// shown as one value, in JSON. Otherwise 16 KiB of arguments could become many megabytes of paths.
	maxPath = 120
	// maxPlainValue is how many characters of a value Text contains.
	maxPlainValue = 200
	// noValue is shown for a placeholder without a value.
	noValue = "—"
)

// Show returns what a person reads about an action. Title and template are those of the registered skill (nil: none). Arguments
// are in the canonical form of package action. A placeholder's value is never read as a template again.
//
// Show returns an error if the template cannot be parsed, or if the arguments are not a JSON object.
func Show(name string, title, template *string, arguments string) (Shown, error) {
	root, err := parse(arguments)
	if err != nil {
		return Shown{}, fmt.Errorf("showing the arguments: %w", err)
	}
	shownName, flags := visible(name)
	s := Shown{Title: shownName, Summary: []Part{{Value: shownName, Flags: flags}}}
	if title != nil {
		s.Title, _ = visible(*title)
	}
	if template != nil {
		t, err := ParseTemplate(*template)
		if err != nil {
			return Shown{}, fmt.Errorf("parsing a stored template: %w", err)
		}
		s.Summary, s.Missing = t.fill(root)
	}
	for _, child := range root.children {
		s.list(child, "", nil, root.kind == "array", false)
	}
	return s, nil
}

// fill returns the template with the values of root, and the placeholders that have no value. It marks the values as in the summary.
func (t Template) fill(root *node) (parts []Part, missing []string) {
	for _, p := range t.pieces {
		if p.path == nil {
			parts = append(parts, Part{Text: p.text})
			continue
		}
		found := root.at(p.path)
		if found == nil {
			parts, missing = append(parts, Part{Value: noValue}), append(missing, strings.Join(p.path, "."))
			continue
		}
		found.inSummary = true
		value, flags := found.show()
		parts = append(parts, Part{Value: value, Flags: flags})
	}
	return parts, missing
}

// Text returns the summary as plain text. A long value is cut, with an ellipsis.
func (s Shown) Text() string {
	var b strings.Builder
	for _, part := range s.Summary {
		b.WriteString(part.Text)
		if utf8.RuneCountInString(part.Value) > maxPlainValue {
			b.WriteString(string([]rune(part.Value)[:maxPlainValue]) + "…")
			continue
		}
		b.WriteString(part.Value)
	}
	return b.String()
}

// list adds the values of n to s.Arguments. parent and flags are the path of the container of n, and the warnings about it.
func (s *Shown) list(n *node, parent string, flags []Flag, inArray, inSummary bool) {
	path := n.name
	if !inArray {
		var nameFlags []Flag
		path, nameFlags = pathName(n.name)
		flags = union(flags, nameFlags)
	}
	if parent != "" {
		path = parent + "." + path
	}
	inSummary = inSummary || n.inSummary
	if len(n.children) > 0 && !n.hasLongPath(path) {
		for _, child := range n.children {
			s.list(child, path, flags, n.kind == "array", inSummary)
		}
		return
	}
	value, valueFlags := n.show()
	s.Arguments = append(s.Arguments, Argument{Path: path, Value: value, Type: n.kind, Flags: union(flags, valueFlags), InSummary: inSummary})
}

// hasLongPath reports whether a child's path would be too long.
func (n *node) hasLongPath(path string) bool {
	return slices.ContainsFunc(n.children, func(child *node) bool {
		name := child.name
		if n.kind != "array" {
			name, _ = pathName(name)
		}
		return len(path)+1+len(name) > maxPath
	})
}

// pathName returns the name of a property as a part of a path. A name is in quotes if it has other characters than a placeholder's
// path may have, or if it looks like the number of an element.
func pathName(name string) (string, []Flag) {
	shown, flags := visible(name)
	if _, err := strconv.ParseUint(name, 10, 64); err == nil || shown != name || !isName(name) {
		if name == "" {
			shown = ""
		}
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(shown) + `"`, flags
	}
	return shown, flags
}

func union(a, b []Flag) []Flag {
	all := slices.Clone(a)
	for _, flag := range b {
		if !slices.Contains(all, flag) {
			all = append(all, flag)
		}
	}
	return all
}

// node is a value of the arguments. The children are in the order of the text.
type node struct {
	// name is the name of the property or the number of the element in the container.
	name string
	// kind is the type of the value in words of JSON.
	kind string
	// text is the JSON text of the value. value is the text of a string.
	text, value string
	children    []*node
	inSummary   bool
}

// show returns the text to show for a value. A text that is JSON, for example false or [], is shown in quotes, so that it does not look
// like that value: many programs take the text false for true. A number is not in quotes, because amounts are often sent as texts.
func (n *node) show() (string, []Flag) {
	isNumber := strings.IndexAny(n.value, "-0123456789") == 0
	if n.kind != "string" || json.Valid([]byte(n.value)) && !isNumber {
		return visible(n.text)
	}
	return visible(n.value)
}

// at returns the value at a path, or nil.
func (n *node) at(path []string) *node {
	for _, name := range path {
		i := slices.IndexFunc(n.children, func(child *node) bool { return child.name == name })
		if i < 0 {
			return nil
		}
		n = n.children[i]
	}
	return n
}

// parse reads a JSON object.
func parse(text string) (*node, error) {
	p := parser{text: text, decoder: json.NewDecoder(strings.NewReader(text))}
	p.decoder.UseNumber()
	root, err := p.value("")
	if err != nil {
		return nil, err
	}
	if _, err := p.decoder.Token(); err != io.EOF || root.kind != "object" {
		return nil, errors.New("the arguments are not one JSON object")
	}
	return root, nil
}

type parser struct {
	text    string
	decoder *json.Decoder
}

func (p *parser) value(name string) (*node, error) {
	start := p.decoder.InputOffset()
	token, err := p.decoder.Token()
	if err != nil {
		return nil, err
	}
	n := &node{name: name}
	switch v := token.(type) {
	case string:
		n.kind, n.value = "string", v
	case json.Number:
		n.kind = "number"
	case bool:
		n.kind = "boolean"
	case nil:
		n.kind = "null"
	case json.Delim:
		n.kind = map[json.Delim]string{'{': "object", '[': "array"}[v]
		for p.decoder.More() {
			name := strconv.Itoa(len(n.children))
			if v == '{' {
				key, err := p.decoder.Token()
				if err != nil {
					return nil, err
				}
				name = key.(string)
			}
			child, err := p.value(name)
			if err != nil {
				return nil, err
			}
			n.children = append(n.children, child)
		}
		if _, err := p.decoder.Token(); err != nil { // the closing bracket
			return nil, err
		}
	}
	// The offset before a token is the end of the token before it, so a comma, a colon and white space may precede the value.
	n.text = strings.TrimLeft(p.text[start:p.decoder.InputOffset()], ",: \t\r\n")
	return n, nil
}
