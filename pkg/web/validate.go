package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// bodyLimit is the most that a request's body may be, in bytes, unless its operation says x-body-limit.
const bodyLimit = 16 << 10

// Spec is a service's OpenAPI document: what it promises, and what every request is held against.
type Spec struct {
	YAML       []byte
	Doc        *openapi3.T
	operations map[string]*openapi3.Operation // by method and echo route
	formats    []openapi3.SchemaValidationOption
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// LoadSpec reads an OpenAPI 3.0 document and checks it. email decides what the format email accepts.
func LoadSpec(yaml []byte, email func(string) error) (*Spec, error) {
	doc, err := openapi3.NewLoader().LoadFromData(yaml)
	if err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	if err := doc.Validate(openapi3.NewLoader().Context); err != nil {
		return nil, fmt.Errorf("checking the OpenAPI document: %w", err)
	}
	s := &Spec{YAML: yaml, Doc: doc, operations: map[string]*openapi3.Operation{}}
	for path, item := range doc.Paths.Map() {
		route := strings.TrimSuffix(pathParameter.ReplaceAllString(path, ":$1"), "/")
		for method, operation := range item.Operations() {
			operation.Parameters = append(operation.Parameters, item.Parameters...)
			s.operations[method+" "+route] = operation
		}
	}
	s.formats = []openapi3.SchemaValidationOption{
		openapi3.MultiErrors(),
		openapi3.WithStringFormatValidator("uuid", openapi3.NewCallbackValidator(checkUUID)),
		openapi3.WithStringFormatValidator("email", openapi3.NewCallbackValidator(email)),
		openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(checkTime)),
	}
	return s, nil
}

// Operations returns the method and echo route of everything the document describes.
func (s *Spec) Operations() []string {
	var all []string
	for key := range s.operations {
		all = append(all, key)
	}
	return all
}

var errFormat = errors.New("wrong format")

// checkUUID takes the one usual spelling, in any case: a second one would be a second name for the same thing.
func checkUUID(text string) error {
	if _, err := uuid.Parse(text); err != nil || len(text) != 36 {
		return errFormat
	}
	return nil
}

// checkTime takes what can also be answered, which is in UTC: a year of four digits here may have five there.
func checkTime(text string) error {
	t, err := time.Parse(time.RFC3339, text)
	if year := t.UTC().Year(); err != nil || year < 0 || year > 9999 {
		return errFormat
	}
	return nil
}

// Validate holds a request against its operation and answers 422 with everything that is wrong. The generated handler
// then gets the very value that was checked. It runs after the credentials were checked: a stranger learns nothing.
func (s *Spec) Validate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		operation := s.operations[c.Request().Method+" "+c.Path()]
		if operation == nil {
			return fmt.Errorf("%s %s is not in the OpenAPI document", c.Request().Method, c.Path())
		}
		issues := s.checkParameters(c, operation)
		more, err := s.checkBody(c.Request(), operation)
		if err != nil {
			return err
		}
		if issues = append(issues, more...); len(issues) > 0 {
			return &Invalid{Issues: issues}
		}
		return next(c)
	}
}

func (s *Spec) checkParameters(c echo.Context, operation *openapi3.Operation) []Issue {
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
			given = []string{c.Param(p.Name)}
		case openapi3.ParameterInQuery:
			given = query[p.Name]
		default:
			continue // headers are the handlers' to read: a credential that is malformed counts as absent
		}
		switch {
		case len(given) == 0 && p.Required:
			issues = append(issues, missing(loc))
		case len(given) > 1:
			issues = append(issues, valueError(loc, "Given more than once"))
		case len(given) == 1:
			issues = append(issues, s.check(loc, p.Schema.Value, fromText(p.Schema.Value, given[0]))...)
		}
	}
	return issues
}

// fromText reads a parameter as the type its schema wants; what cannot be read stays text, which the schema then refuses.
func fromText(schema *openapi3.Schema, text string) any {
	switch {
	case schema.Type.Is("integer"):
		if regexpInteger.MatchString(text) {
			return json.Number(text)
		}
	case schema.Type.Is("boolean") && text == "true":
		return true
	case schema.Type.Is("boolean") && text == "false":
		return false
	}
	return text
}

var regexpInteger = regexp.MustCompile(`^-?[0-9]{1,15}$`)

// validatedBody hands the checked value to the generated handler, which would otherwise decode the bytes a second time,
// with other rules about the case of names and about names that stand twice.
type validatedBody struct {
	io.ReadCloser
	value any
}

func (b validatedBody) ValidatedValue() any { return b.value }

// RawBody reads the very bytes of a request's body, within its operation's limit: for credentials that are signatures of
// the body, which are checked before anything about it is said.
func (s *Spec) RawBody(c echo.Context) ([]byte, error) {
	return readBody(c.Request(), s.operations[c.Request().Method+" "+c.Path()])
}

func readBody(r *http.Request, operation *openapi3.Operation) ([]byte, error) {
	limit := limitOf(operation)
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	return raw, nil
}

func limitOf(operation *openapi3.Operation) int64 {
	if own, ok := operation.Extensions["x-body-limit"].(float64); ok {
		return int64(own)
	}
	return bodyLimit
}

func (s *Spec) checkBody(r *http.Request, operation *openapi3.Operation) ([]Issue, error) {
	if r.ContentLength > limitOf(operation) {
		return nil, errTooLarge
	}
	if operation.RequestBody == nil {
		return nil, nil
	}
	content := operation.RequestBody.Value.Content
	media, form := content["application/json"], content[echo.MIMEApplicationForm] // Get would take */* for them
	if media == nil && form == nil {
		r.Body = http.MaxBytesReader(nil, r.Body, limitOf(operation))
		return nil, nil
	}
	raw, err := readBody(r, operation)
	if err != nil {
		return nil, err
	}
	loc := []any{"body"}
	if len(bytes.TrimSpace(raw)) == 0 {
		r.Body = http.NoBody
		if operation.RequestBody.Value.Required {
			return []Issue{missing(loc)}, nil
		}
		return nil, nil
	}
	if form != nil {
		return s.checkForm(r, raw, form.Schema.Value), nil
	}
	if !isJSON(r.Header.Get(echo.HeaderContentType)) {
		return []Issue{badType(loc, media.Schema.Value, nil)}, nil
	}
	value, issue := decode(raw)
	if issue != nil {
		return []Issue{*issue}, nil
	}
	if issues := s.check(loc, media.Schema.Value, value); len(issues) > 0 {
		return issues, nil
	}
	r.Body = validatedBody{http.NoBody, value}
	return nil, nil
}

// isJSON takes a body without a type for JSON, as FastAPI does.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

func decode(raw []byte) (any, *Issue) {
	fail := func(offset int64) (any, *Issue) {
		return nil, &Issue{"json_invalid", []any{"body", offset}, "JSON decode error", map[string]any{"error": "The body is not valid JSON"}}
	}
	if !utf8.Valid(raw) {
		return fail(0)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return fail(max(0, syntax.Offset-1))
	}
	if err != nil {
		return fail(int64(len(raw)))
	}
	if end := decoder.InputOffset(); len(bytes.TrimSpace(raw[end:])) > 0 {
		return fail(end)
	}
	return value, nil
}

// check returns what is wrong with a value, at most one issue for each place.
func (s *Spec) check(loc []any, schema *openapi3.Schema, value any) []Issue {
	var issues []Issue
	seen := map[string]bool{}
	add := func(issue Issue) {
		if place := fmt.Sprint(issue.Loc); !seen[place] {
			seen[place] = true
			issues = append(issues, issue)
		}
	}
	for _, e := range flatten(schema.VisitJSON(value, s.formats...)) {
		place := append([]any{}, loc...)
		for _, step := range e.JSONPointer() {
			place = append(place, step)
		}
		add(describe(place, e))
	}
	if len(issues) == 0 {
		findNUL(loc, value, add)
	}
	return issues
}

func flatten(err error) []*openapi3.SchemaError {
	switch e := err.(type) {
	case openapi3.MultiError:
		var all []*openapi3.SchemaError
		for _, one := range e {
			all = append(all, flatten(one)...)
		}
		return all
	case *openapi3.SchemaError:
		return []*openapi3.SchemaError{e}
	}
	return nil
}

// findNUL refuses what Postgres cannot store in a text.
func findNUL(loc []any, value any, add func(Issue)) {
	at := func(step any) []any { return append(append([]any{}, loc...), step) }
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
			add(valueError(loc, "Null characters and broken UTF-8 are not allowed"))
		}
	case []any:
		for i, item := range v {
			findNUL(at(i), item, add)
		}
	case map[string]any:
		for key, item := range v {
			findNUL(at(key), item, add)
		}
	}
}
