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
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// bodyLimit is the maximum size of a request's body in bytes. An operation can set another limit with x-body-limit.
const bodyLimit = 16 << 10

func limitOf(operation *openapi3.Operation) int64 {
	if own, ok := operation.Extensions["x-body-limit"].(float64); ok {
		return int64(own)
	}
	return bodyLimit
}

// The rest of a large body is read in parts. So a sender that stops or sends slowly does not keep its place.
const (
	partSize = 64 << 10
	// partTime is how long one part may take, and restTime all parts together.
	partTime = 2 * time.Second
	restTime = 8 * time.Second
)

var errTooSlow = echo.NewHTTPError(http.StatusRequestTimeout)

// RawBody reads a request's body without parsing it, up to the operation's limit. A webhook's signature covers these bytes
// and is checked before validation, so every client on the internet can make the service read them. The first 16 KiB are read as
// every body is. Only then RawBody calls place, which limits how many large bodies are read at a time, and returns its error. It
// answers 408 if the body arrives too slowly.
func (s *Spec) RawBody(c echo.Context, place func() error) ([]byte, error) {
	r := c.Request()
	limit := limitOf(s.operations[r.Method+" "+c.Path()])
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	var raw bytes.Buffer
	body := http.MaxBytesReader(nil, r.Body, limit)
	n, err := io.CopyN(&raw, body, bodyLimit)
	if n == bodyLimit && err == nil && r.ContentLength != bodyLimit {
		if err := place(); err != nil {
			return nil, err
		}
		err = readRest(c.Response(), &raw, body)
	}
	switch tooLarge := (*http.MaxBytesError)(nil); {
	case err == nil, err == io.EOF:
		return raw.Bytes(), nil
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errTooSlow
	}
	return nil, fmt.Errorf("reading the body: %w", err)
}

// readRest reads the rest of a body in parts. It returns io.EOF at the end of the body.
func readRest(w http.ResponseWriter, to io.Writer, body io.Reader) error {
	connection, end := http.NewResponseController(w), time.Now().Add(restTime)
	defer connection.SetReadDeadline(time.Time{}) // a deadline that passes later would look like a client that disconnects
	for {
		deadline := time.Now().Add(partTime)
		if end.Before(deadline) {
			deadline = end
		}
		if err := connection.SetReadDeadline(deadline); err != nil {
			return fmt.Errorf("limiting the time to read: %w", err)
		}
		if _, err := io.CopyN(to, body, partSize); err != nil {
			return err
		}
	}
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

// validatedBody gives the generated handler the value that was validated. If the handler decoded the bytes again, it would
// treat upper case and repeated names differently from the validation.
type validatedBody struct {
	io.ReadCloser
	value any
}

func (b validatedBody) ValidatedValue() any { return b.value }

func (s *Spec) validateBody(r *http.Request, operation *openapi3.Operation) ([]Issue, error) {
	if r.ContentLength > limitOf(operation) {
		return nil, errTooLarge
	}
	if operation.RequestBody == nil {
		return s.refuseFields(r, operation)
	}
	content := operation.RequestBody.Value.Content
	media, form := content["application/json"], content[echo.MIMEApplicationForm] // Get would also match */*
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
		return s.validateForm(r, raw, form.Schema.Value), nil
	}
	if !isJSON(r.Header.Get(echo.HeaderContentType)) {
		return []Issue{badType(loc, media.Schema.Value, nil)}, nil
	}
	value, issue := decodeJSON(raw)
	if issue != nil {
		return []Issue{*issue}, nil
	}
	if issues := s.validateValue(loc, media.Schema.Value, value); len(issues) > 0 {
		return issues, nil
	}
	if issues := keepExact(raw, media.Schema.Value, value); len(issues) > 0 {
		return issues, nil
	}
	r.Body = validatedBody{http.NoBody, value}
	return nil, nil
}

// noFields is the schema of the body of an operation that takes no body.
var noFields = openapi3.NewObjectSchema().WithoutAdditionalProperties()

// refuseFields returns an issue for each field in the body of an operation that takes no body. A body that is not a JSON object is
// ignored.
func (s *Spec) refuseFields(r *http.Request, operation *openapi3.Operation) ([]Issue, error) {
	if r.Body == http.NoBody || !isJSON(r.Header.Get(echo.HeaderContentType)) {
		return nil, nil
	}
	raw, err := readBody(r, operation)
	if err != nil {
		return nil, err
	}
	value, _ := decodeJSON(raw)
	if object, ok := value.(map[string]any); ok {
		return s.validateValue([]any{"body"}, noFields, object), nil
	}
	return nil, nil
}

// isJSON accepts a body without a content type as JSON, as FastAPI does.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

func decodeJSON(raw []byte) (any, *Issue) {
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

// validateForm validates an OAuth form as RFC 6749, section 3.2, requires: a parameter without a value counts as absent,
// unknown parameters are ignored, and no parameter may be repeated. The handler gets only the validated fields, and nothing
// from the query, because proxies log the query.
func (s *Spec) validateForm(r *http.Request, raw []byte, schema *openapi3.Schema) []Issue {
	loc := []any{"body"}
	if !isForm(r.Header.Get(echo.HeaderContentType)) {
		return []Issue{valueError(loc, "The content type is not "+echo.MIMEApplicationForm+" in UTF-8")}
	}
	sent, err := url.ParseQuery(string(raw))
	if err != nil {
		return []Issue{valueError(loc, "The form is malformed")}
	}
	var issues []Issue
	fields, values := url.Values{}, map[string]any{}
	for name, property := range schema.Properties {
		switch given := sent[name]; {
		case len(given) > 1:
			issues = append(issues, valueError([]any{"body", name}, "Given more than once"))
		case len(given) == 1 && given[0] != "":
			fields[name], values[name] = given, parseText(property.Value, given[0])
		}
	}
	if issues = append(issues, s.validateValue(loc, schema, values)...); len(issues) == 0 {
		r.Form, r.PostForm, r.Body = fields, fields, http.NoBody
	}
	return issues
}

func isForm(contentType string) bool {
	media, parameters, err := mime.ParseMediaType(contentType)
	charset := parameters["charset"]
	return err == nil && media == echo.MIMEApplicationForm && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
