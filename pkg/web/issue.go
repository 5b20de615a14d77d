package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/countersign/countersign/pkg/fault"
)

// Issue is one problem of an invalid request, in the shape of FastAPI and Pydantic v2. The field input is left out: an Issue
// never repeats a value that the client sent.
type Issue struct {
	Type string         `json:"type"`
	Loc  []any          `json:"loc"`
	Msg  string         `json:"msg"`
	Ctx  map[string]any `json:"ctx,omitempty"`
}

// Invalid is the error of a request that does not conform to its operation in the OpenAPI document.
type Invalid struct{ Issues []Issue }

func (e *Invalid) Error() string {
	parts := make([]string, len(e.Issues))
	for i, issue := range e.Issues {
		parts[i] = fmt.Sprint(issue.Loc, " ", issue.Type)
	}
	return "invalid request: " + strings.Join(parts, ", ")
}

// extraForbidden is the issue of an unknown field at loc, or of an unknown query parameter.
func extraForbidden(loc []any, name string) Issue {
	return Issue{Type: "extra_forbidden", Loc: append(slices.Clone(loc), shownName(name)), Msg: "Extra inputs are not permitted"}
}

// shownName returns a name that a caller made up, as an answer may repeat it.
func shownName(name string) string {
	if !fieldName.MatchString(name) {
		return "(name not shown)"
	}
	return name
}

// fieldName matches the unknown names that an answer repeats, and short numbers of elements. A name is text of the caller: a PIN,
// which has at least 4 digits, and a token do not match.
var fieldName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.-]{0,39}|[0-9]{1,3})$`)

func missing(loc []any) Issue { return Issue{Type: "missing", Loc: loc, Msg: "Field required"} }

// Missing returns the error of a field that the body must have in this case, although the OpenAPI document does not require it.
func Missing(field string) error { return &Invalid{Issues: []Issue{missing([]any{"body", field})}} }

// bodyIssue returns the issue for a rule of the domain that a field of the body breaks.
func bodyIssue(e *fault.Error) Issue {
	loc := []any{"body"}
	if e.Field != "" {
		loc = append(loc, e.Field)
	}
	return valueError(loc, e.Text)
}

// InBody returns the error of a value below a field of the body that breaks a rule of the domain. path leads from the field to the
// value; it may contain names that the caller made up.
func InBody(field string, path []string, text string) error {
	loc := []any{"body", field}
	for _, name := range path {
		loc = append(loc, shownName(name))
	}
	return &Invalid{Issues: []Issue{valueError(loc, text)}}
}

// InQuery turns a failure of kind fault.Invalid into an issue of the query parameter that the failure's field names. Without
// InQuery, the issue is about a field of the body. Other errors are returned unchanged.
func InQuery(err error) error {
	var failure *fault.Error
	if !errors.As(err, &failure) || failure.Kind != fault.Invalid {
		return err
	}
	return &Invalid{Issues: []Issue{valueError([]any{"query", failure.Field}, failure.Text)}}
}

func valueError(loc []any, text string) Issue {
	return Issue{Type: "value_error", Loc: loc, Msg: "Value error, " + text, Ctx: map[string]any{"error": map[string]any{}}}
}

// describe translates an error of kin-openapi at the location loc.
func describe(loc []any, e *openapi3.SchemaError) Issue {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return missing(loc)
	case "enum":
		expected := quotedList(s.Enum)
		return Issue{"enum", loc, "Input should be " + expected, map[string]any{"expected": expected}}
	case "minLength":
		return Issue{"string_too_short", loc, "String should have at least " + characters(s.MinLength), map[string]any{"min_length": s.MinLength}}
	case "maxLength":
		return Issue{"string_too_long", loc, "String should have at most " + characters(*s.MaxLength), map[string]any{"max_length": *s.MaxLength}}
	case "pattern":
		return Issue{"string_pattern_mismatch", loc, "String should match pattern '" + s.Pattern + "'", map[string]any{"pattern": s.Pattern}}
	case "minimum":
		return Issue{"greater_than_equal", loc, "Input should be greater than or equal to " + number(*s.Min), map[string]any{"ge": *s.Min}}
	case "maximum":
		return Issue{"less_than_equal", loc, "Input should be less than or equal to " + number(*s.Max), map[string]any{"le": *s.Max}}
	case "maxItems":
		return Issue{"too_long", loc, fmt.Sprintf("List should have at most %d items after validation", *s.MaxItems),
			map[string]any{"field_type": "List", "max_length": *s.MaxItems}}
	case "minItems":
		return Issue{"too_short", loc, fmt.Sprintf("List should have at least %d items after validation", s.MinItems),
			map[string]any{"field_type": "List", "min_length": s.MinItems}}
	case "uniqueItems":
		return valueError(loc, "An item occurs twice")
	case "format":
		return badFormat(loc, s.Format)
	}
	return badType(loc, s, e.Value)
}

func badFormat(loc []any, format string) Issue {
	switch format {
	case "uuid":
		const reason = "expected 32 hexadecimal digits in five groups"
		return Issue{"uuid_parsing", loc, "Input should be a valid UUID, " + reason, map[string]any{"error": reason}}
	case "email":
		const reason = "An email address must have an @-sign."
		return Issue{"value_error", loc, "value is not a valid email address: " + reason, map[string]any{"reason": reason}}
	case "date-time":
		const reason = "expected a date and a time with its zone"
		return Issue{"datetime_parsing", loc, "Input should be a valid datetime, " + reason, map[string]any{"error": reason}}
	}
	return valueError(loc, "The format is not "+format)
}

func badType(loc []any, s *openapi3.Schema, value any) Issue {
	plain := func(kind, msg string) Issue { return Issue{Type: kind, Loc: loc, Msg: msg} }
	switch {
	case s.Type.Is("string") && s.Format == "uuid":
		const reason = "expected a string"
		return Issue{"uuid_type", loc, "Input should be a valid UUID, " + reason, map[string]any{"error": reason}}
	case s.Type.Is("string"):
		return plain("string_type", "Input should be a valid string")
	case s.Type.Is("integer"):
		switch value.(type) {
		case string:
			return plain("int_parsing", "Input should be a valid integer, unable to parse string as an integer")
		case float64, json.Number:
			return plain("int_from_float", "Input should be a valid integer, got a number with a fractional part")
		}
		return plain("int_type", "Input should be a valid integer")
	case s.Type.Is("boolean"):
		if _, text := value.(string); text {
			return plain("bool_parsing", "Input should be a valid boolean, unable to interpret input")
		}
		return plain("bool_type", "Input should be a valid boolean")
	case s.Type.Is("array"):
		return plain("list_type", "Input should be a valid list")
	case len(loc) == 1:
		return plain("model_attributes_type", "Input should be a valid dictionary or object to extract fields from")
	}
	return plain("dict_type", "Input should be a valid dictionary")
}

func characters(n uint64) string {
	if n == 1 {
		return "1 character"
	}
	return strconv.FormatUint(n, 10) + " characters"
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func quotedList(values []any) string {
	var quoted []string
	for _, v := range values {
		if v != nil {
			quoted = append(quoted, fmt.Sprintf("'%v'", v))
		}
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}
