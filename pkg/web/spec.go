package web

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
)

// Spec is a service's OpenAPI document. Every request is validated against it.
type Spec struct {
	YAML       []byte
	Doc        *openapi3.T
	operations map[string]*openapi3.Operation // by method and echo route
	formats    []openapi3.SchemaValidationOption
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// LoadSpec parses and checks an OpenAPI 3.0 document. email returns an error for a text that is not in the format email.
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

// Operations returns "METHOD /route" of every operation in the document, with path parameters in echo's form (:name).
func (s *Spec) Operations() []string {
	var all []string
	for key := range s.operations {
		all = append(all, key)
	}
	return all
}

var errFormat = errors.New("wrong format")

// checkUUID accepts only the form with four hyphens, in any case. Another form would be a second spelling of the same id.
func checkUUID(text string) error {
	if _, err := uuid.Parse(text); err != nil || len(text) != 36 {
		return errFormat
	}
	return nil
}

// checkTime accepts RFC 3339. The year must have four digits in UTC too, because answers give times in UTC.
func checkTime(text string) error {
	t, err := time.Parse(time.RFC3339, text)
	if year := t.UTC().Year(); err != nil || year < 0 || year > 9999 {
		return errFormat
	}
	return nil
}
