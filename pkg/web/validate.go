package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// maxIssues is how many issues an answer lists. A small body can have thousands of unknown fields.
const maxIssues = 100

// Validate validates a request against its operation and answers 422 with all issues. The generated handler gets the
// validated value. Validate runs after the middleware that checks credentials, so an unauthenticated caller learns nothing.
func (s *Spec) Validate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		operation := s.operations[c.Request().Method+" "+c.Path()]
		if operation == nil {
			return fmt.Errorf("%s %s is not in the OpenAPI document", c.Request().Method, c.Path())
		}
		issues := s.validateParameters(c, operation)
		more, err := s.validateBody(c.Request(), operation)
		if err != nil {
			return err
		}
		if issues = append(issues, more...); len(issues) > 0 {
			return &Invalid{Issues: issues[:min(len(issues), maxIssues)]}
		}
		return next(c)
	}
}

func (s *Spec) validateParameters(c echo.Context, operation *openapi3.Operation) []Issue {
	query, err := url.ParseQuery(c.QueryString())
	if err != nil {
		return []Issue{valueError([]any{"query"}, "The query string is malformed")}
	}
	var issues []Issue
	for _, ref := range operation.Parameters {
		p := ref.Value
		loc := []any{p.In, p.Name}
		var given []string
		switch p.In {
		case openapi3.ParameterInPath:
			given = []string{pathValue(c, p.Name)}
		case openapi3.ParameterInQuery:
			given = query[p.Name]
		default:
			continue // handlers read headers themselves: a malformed credential counts as absent
		}
		switch {
		case len(given) == 0 && p.Required:
			issues = append(issues, missing(loc))
		case len(given) > 1:
			issues = append(issues, valueError(loc, "Given more than once"))
		case len(given) == 1:
			issues = append(issues, s.validateValue(loc, p.Schema.Value, parseText(p.Schema.Value, given[0]))...)
		}
	}
	if ignored, _ := operation.Extensions["x-ignore-unknown"].(bool); ignored {
		return issues
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			issues = append(issues, extraForbidden([]any{openapi3.ParameterInQuery}, name))
		}
	}
	return issues
}

// pathValue returns a parameter of the path as the handler gets it. The router leaves a parameter encoded if the path has a
// character in an unusual encoding, for example a slash in a name.
func pathValue(c echo.Context, name string) string {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value
	}
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

var integerText = regexp.MustCompile(`^-?[0-9]{1,15}$`)

// parseText converts a parameter to its schema's type. A text that cannot be converted stays a string, and the schema then
// refuses it.
func parseText(schema *openapi3.Schema, text string) any {
	switch {
	case schema.Type.Is("integer"):
		if integerText.MatchString(text) {
			return json.Number(text)
		}
	case schema.Type.Is("boolean") && text == "true":
		return true
	case schema.Type.Is("boolean") && text == "false":
		return false
	}
	return text
}

// validateValue returns the issues of a value, at most one for each location.
func (s *Spec) validateValue(loc []any, schema *openapi3.Schema, value any) []Issue {
	var issues []Issue
	seen, searched := map[string]bool{}, map[string]bool{}
	add := func(issue Issue) {
		if key := fmt.Sprint(issue.Loc); !seen[key] {
			seen[key] = true
			issues = append(issues, issue)
		}
	}
	for _, e := range flatten(schema.VisitJSON(value, s.formats...)) {
		at := append([]any{}, loc...)
		for _, step := range e.JSONPointer() {
			at = append(at, step)
		}
		if e.SchemaField == "properties" { // there is one such error for each unknown field, and it does not name the field
			if object := fmt.Sprint(at); !searched[object] {
				searched[object] = true
				unknownFields(at, e, add)
			}
			continue
		}
		add(describe(at, e))
	}
	if len(issues) > 0 {
		return issues
	}
	if at := brokenText(slices.Clip(loc), value); at != nil {
		add(valueError(at, "Null characters and broken UTF-8 are not allowed"))
	}
	return issues
}

// unknownFields adds an issue for each field of an object that its schema does not have.
func unknownFields(loc []any, e *openapi3.SchemaError, add func(Issue)) {
	object, _ := e.Value.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if e.Schema.Properties[name] == nil {
			add(extraForbidden(loc, name))
		}
	}
}

func flatten(err error) []*openapi3.SchemaError {
	switch e := err.(type) {
	case openapi3.MultiError:
		var all []*openapi3.SchemaError
		for _, inner := range e {
			all = append(all, flatten(inner)...)
		}
		return all
	case *openapi3.SchemaError:
		return []*openapi3.SchemaError{e}
	}
	return nil
}

// brokenText returns the place of the first string that Postgres cannot store in a text column, or nil. Only the result is a copy of
// loc: a copy for each level would take 800 MB for a value with 10,000 levels, which is the most that encoding/json decodes.
func brokenText(loc []any, value any) []any {
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
			return slices.Clone(loc)
		}
	case []any:
		for i, item := range v {
			if at := brokenText(append(loc, i), item); at != nil {
				return at
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if at := brokenText(append(loc, shownName(key)), v[key]); at != nil {
				return at
			}
		}
	}
	return nil
}
