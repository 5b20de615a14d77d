package skill

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxOverlap is the largest number of subschemas that one value of the arguments must match. So the time to check arguments is
	// bounded: a chain of definitions that refer twice to the next one doubles it at each step.
	maxOverlap = 50
	// dialect is the only allowed value of $schema.
	dialect = "https://json-schema.org/draft/2020-12/schema"
)

// The keywords of the draft 2020-12 that contain schemas, or lists or maps of schemas. Those of samePlace are about the same value,
// those of everyElement about the values in it. The others are each about one value in it, or about none.
var (
	schemaKeywords = []string{"items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames",
		"not", "if", "then", "else", "contentSchema"}
	listKeywords = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	mapKeywords  = []string{"properties", "patternProperties", "dependentSchemas", "$defs"}

	samePlace    = []string{"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"}
	everyElement = []string{"items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains", "propertyNames", "patternProperties"}
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
	w := walk{outline: o, known: map[string]*overlap{}}
	if w.schema(root, nil); w.err != nil {
		return outline{}, w.err
	}
	return o, nil
}

// overlap is the number of subschemas that a value must match, and the largest number that a value below it must match. Both are upper
// bounds.
type overlap struct{ here, below int }

// walk finds the overlap of each subschema. known has the overlaps of the definitions. Nil means that the definition is being walked.
type walk struct {
	outline
	known map[string]*overlap
	err   error
}

// schema returns the overlap of a subschema, which is at path. After an error it returns zero.
func (w *walk) schema(v any, path []string) overlap {
	schema, ok := v.(map[string]any)
	if !ok || w.err != nil {
		return overlap{here: 1}
	}
	at := func(below ...string) []string { return slices.Concat(path, below) }
	for _, keyword := range refused {
		if _, given := schema[keyword]; given {
			w.err = invalidSchema(at(keyword), "the schema has a keyword that is not supported. Put definitions into $defs")
			return overlap{}
		}
	}
	if schema["format"] == "regex" { // 16 KiB of arguments would need 800 ms and 550 MB
		w.err = invalidSchema(at("format"), "the format regex is not supported, because it takes too long to check")
		return overlap{}
	}
	total, one := overlap{here: 1}, 0
	add := func(keyword string, o overlap) {
		switch {
		case slices.Contains(samePlace, keyword):
			total.here += o.here
			total.below += o.below
		case slices.Contains(everyElement, keyword):
			total.below += max(o.here, o.below)
		case keyword != "$defs":
			one = max(one, o.here, o.below)
		}
	}
	if ref, given := schema["$ref"]; given {
		add("allOf", w.definition(ref, at("$ref")))
	}
	total.here += lists(schema)
	if pattern, ok := schema["pattern"].(string); ok {
		total.here += w.pattern(pattern, at("pattern"))
	}
	for _, keyword := range schemaKeywords {
		if below, given := schema[keyword]; given {
			add(keyword, w.schema(below, at(keyword)))
		}
	}
	for _, keyword := range listKeywords {
		list, _ := schema[keyword].([]any)
		for i, below := range list {
			add(keyword, w.schema(below, at(keyword, strconv.Itoa(i))))
		}
	}
	for _, keyword := range mapKeywords {
		named, _ := schema[keyword].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			if keyword == "patternProperties" {
				total.here += w.pattern(name, at(keyword))
			}
			add(keyword, w.schema(named[name], at(keyword, name)))
		}
	}
	total.below += one
	if max(total.here, total.below) > maxOverlap && w.err == nil {
		w.err = invalidSchema(path, fmt.Sprintf("one value would have to match more than %d subschemas. Each reference counts as a copy. "+
			"Regular expressions, numbers in an enum and long lists count as several", maxOverlap))
	}
	return total
}

// definition returns the overlap of what a reference refers to.
func (w *walk) definition(ref any, path []string) overlap {
	name, target := w.refersTo(ref)
	if target == nil {
		w.err = invalidSchema(path, "a reference must have the form #/$defs/NAME and lead to a definition in the schema")
		return overlap{}
	}
	found, walked := w.known[name]
	switch {
	case !walked:
		w.known[name] = nil
		o := w.schema(target, []string{"$defs", name})
		w.known[name] = &o
		return o
	case found == nil:
		w.err = invalidSchema(path, "a definition must not refer to itself")
		return overlap{}
	}
	return *found
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
