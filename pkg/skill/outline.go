package skill

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxSchemas is the largest number of subschemas, where each reference counts as a copy of what it refers to. So the time to
	// check arguments is bounded: a chain of references that refer twice to the next one would double it at each step.
	maxSchemas = 2000
	// maxPattern is the longest regular expression in bytes. patternCost is how many instructions of a compiled one take about as
	// long as one subschema. Go's regular expressions need no more time than length of the text times instructions.
	maxPattern, patternCost = 256, 10
	// dialect is the only allowed value of $schema.
	dialect = "https://json-schema.org/draft/2020-12/schema"
)

// The keywords of the draft 2020-12 that contain schemas.
var (
	schemaKeywords = []string{"items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames",
		"not", "if", "then", "else", "contentSchema"}
	listKeywords = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	mapKeywords  = []string{"properties", "patternProperties", "dependentSchemas", "$defs"}
)

// refused are the keywords that a schema may not have. Without them, every reference stays in the document, and leads to $defs.
var refused = []string{"$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor", "$vocabulary", "definitions", "dependencies"}

// outline is what can be said about a schema without arguments.
type outline struct{ root map[string]any }

// newOutline returns an Invalid fault if a schema refers to another document or to itself, or if it could take long to check.
func newOutline(document any) (outline, error) {
	root, ok := document.(map[string]any)
	if !ok {
		return outline{}, invalidSchema(nil, "the schema must be an object")
	}
	if d, given := root["$schema"]; given && d != dialect && d != dialect+"#" {
		return outline{}, invalidSchema([]string{"$schema"}, "only the draft 2020-12 is supported: "+dialect)
	}
	o := outline{root}
	w := walk{outline: o, sizes: map[string]int{}}
	if w.size(root, nil); w.err != nil {
		return outline{}, w.err
	}
	return o, nil
}

// walk counts subschemas. sizes has the counts of the definitions. A count of 0 means that the definition is being counted.
type walk struct {
	outline
	sizes map[string]int
	err   error
}

// size returns the number of subschemas in v, which is at path. After an error it returns 0.
func (w *walk) size(v any, path []string) int {
	schema, ok := v.(map[string]any)
	if !ok || w.err != nil {
		return 1
	}
	total := 1
	add := func(n int) {
		if total += n; total > maxSchemas && w.err == nil {
			w.err = invalidSchema(path, fmt.Sprintf("the schema is too large: it has more than %d parts, where each reference counts as a copy", maxSchemas))
		}
	}
	at := func(below ...string) []string { return slices.Concat(path, below) }
	for _, keyword := range refused {
		if _, given := schema[keyword]; given {
			w.err = invalidSchema(at(keyword), "the schema has a keyword that is not supported. Put definitions into $defs")
			return 0
		}
	}
	if ref, given := schema["$ref"]; given {
		add(w.definition(ref, at("$ref")))
	}
	if pattern, ok := schema["pattern"].(string); ok {
		add(w.pattern(pattern, at("pattern")))
	}
	for _, keyword := range schemaKeywords {
		if below, given := schema[keyword]; given {
			add(w.size(below, at(keyword)))
		}
	}
	for _, keyword := range listKeywords {
		list, _ := schema[keyword].([]any)
		for i, below := range list {
			add(w.size(below, at(keyword, strconv.Itoa(i))))
		}
	}
	for _, keyword := range mapKeywords {
		named, _ := schema[keyword].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			if keyword == "patternProperties" {
				add(w.pattern(name, at(keyword)))
			}
			add(w.size(named[name], at(keyword, name)))
		}
	}
	return total
}

// definition returns the number of subschemas that a reference refers to.
func (w *walk) definition(ref any, path []string) int {
	name, target := w.refersTo(ref)
	if target == nil {
		w.err = invalidSchema(path, "a reference must have the form #/$defs/NAME and lead to a definition in the schema")
		return 0
	}
	size, counted := w.sizes[name]
	if counted && size == 0 {
		w.err = invalidSchema(path, "a definition must not refer to itself")
	}
	if !counted {
		w.sizes[name] = 0
		size = w.size(target, []string{"$defs", name})
		w.sizes[name] = size
	}
	return size
}

// refersTo returns the definition that a reference leads to, or nil.
func (o outline) refersTo(ref any) (name string, target any) {
	text, _ := ref.(string)
	name, ok := strings.CutPrefix(text, "#/$defs/")
	if !ok || strings.ContainsAny(name, "/~%") {
		return "", nil
	}
	definitions, _ := o.root["$defs"].(map[string]any)
	return name, definitions[name]
}

// pattern returns the cost of a regular expression.
func (w *walk) pattern(text string, path []string) int {
	if len(text) > maxPattern {
		w.err = invalidSchema(path, fmt.Sprintf("a regular expression must have at most %d bytes", maxPattern))
		return 0
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		w.err = invalidSchema(path, "the regular expression is not valid. It has the syntax of Go (RE2), so it has no lookahead and no backreference")
		return 0
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		w.err = invalidSchema(path, "the regular expression is not valid")
		return 0
	}
	return len(program.Inst) / patternCost
}

// fills reports whether arguments that match the schema can have a value at a path. In doubt, it returns true.
func (o outline) fills(v any, path []string) bool {
	schema, ok := v.(map[string]any)
	if !ok {
		return v != false
	}
	if ref, given := schema["$ref"]; given {
		if _, target := o.refersTo(ref); !o.fills(target, path) {
			return false
		}
	}
	all, _ := schema["allOf"].([]any)
	for _, part := range all {
		if !o.fills(part, path) {
			return false
		}
	}
	if len(path) == 0 {
		return true
	}
	return o.hasProperty(schema, path) || o.hasElement(schema, path)
}

func (o outline) hasProperty(schema map[string]any, path []string) bool {
	if !allows(schema, "object") {
		return false
	}
	properties, _ := schema["properties"].(map[string]any)
	if below, given := properties[path[0]]; given {
		return o.fills(below, path[1:])
	}
	if _, given := schema["patternProperties"]; given {
		return true
	}
	other, given := schema["additionalProperties"]
	return !given || o.fills(other, path[1:])
}

func (o outline) hasElement(schema map[string]any, path []string) bool {
	i, err := strconv.ParseUint(path[0], 10, 31)
	if err != nil || !allows(schema, "array") || strconv.FormatUint(i, 10) != path[0] {
		return false
	}
	if first, _ := schema["prefixItems"].([]any); i < uint64(len(first)) {
		return o.fills(first[i], path[1:])
	}
	other, given := schema["items"]
	return !given || o.fills(other, path[1:])
}

// allows reports whether a schema's keyword type allows a type.
func allows(schema map[string]any, name string) bool {
	switch types := schema["type"].(type) {
	case string:
		return types == name
	case []any:
		return slices.Contains(types, any(name))
	}
	return true
}
