package skill

import (
	"encoding/json"
	"fmt"
	"regexp/syntax"
)

const (
	// maxPattern is the longest regular expression in bytes. patternCost is how many instructions of a compiled one count as a
	// subschema. Go's regular expressions need no more time than length of the text times instructions.
	maxPattern, patternCost = 256, 10
	// enumCost is how many values of an enum, and namesCost how many required names, count as a subschema.
	enumCost, namesCost = 100, 4
)

// pattern returns as how many subschemas a regular expression counts.
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

// lists returns as how many subschemas the lists of a schema count. A number in an enum counts as one, because the decimal values of
// numbers are compared. Other values are compared fast. Each missing name is an error of its own, which needs memory.
func lists(schema map[string]any) int {
	enum, _ := schema["enum"].([]any)
	required, _ := schema["required"].([]any)
	names := len(required)
	dependent, _ := schema["dependentRequired"].(map[string]any)
	for _, list := range dependent {
		required, _ := list.([]any)
		names += 1 + len(required)
	}
	return numbers(enum) + len(enum)/enumCost + names/namesCost
}

// numbers returns how many numbers are in a value.
func numbers(v any) (n int) {
	switch v := v.(type) {
	case json.Number:
		return 1
	case []any:
		for _, element := range v {
			n += numbers(element)
		}
	case map[string]any:
		for _, member := range v {
			n += numbers(member)
		}
	}
	return n
}
