package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

//go:embed docs.html
var docsHTML string

var docsTemplate = template.Must(template.New("docs").Funcs(template.FuncMap{
	"fields": fields, "kind": kind, "statuses": sortedStatuses, "codeSpans": codeSpans,
}).Parse(docsHTML))

type docsOperation struct {
	Method, Path string
	*openapi3.Operation
}

// docsPage renders the OpenAPI document as one HTML page. The page needs no scripts and loads nothing.
func docsPage(spec *Spec) echo.HandlerFunc {
	var operations []docsOperation
	for path, item := range spec.Doc.Paths.Map() {
		for method, operation := range item.Operations() {
			operations = append(operations, docsOperation{method, path, operation})
		}
	}
	slices.SortFunc(operations, func(a, b docsOperation) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	var page bytes.Buffer
	err := docsTemplate.Execute(&page, map[string]any{"Info": spec.Doc.Info, "Operations": operations})
	return func(c echo.Context) error {
		if err != nil {
			return fmt.Errorf("rendering the documentation: %w", err)
		}
		c.Response().Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
		return c.HTMLBlob(http.StatusOK, page.Bytes())
	}
}

type docsField struct {
	Name, Kind, Description string
	Required                bool
}

func fields(ref *openapi3.SchemaRef) []docsField {
	if ref == nil || ref.Value == nil {
		return nil
	}
	var all []docsField
	for name, property := range ref.Value.Properties {
		all = append(all, docsField{name, kind(property), property.Value.Description, slices.Contains(ref.Value.Required, name)})
	}
	slices.SortFunc(all, func(a, b docsField) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func kind(ref *openapi3.SchemaRef) string {
	s := ref.Value
	text := strings.Join(s.Type.Slice(), " or ")
	if s.Format != "" {
		text = s.Format
	}
	if len(s.Enum) > 0 {
		text = quotedList(s.Enum)
	}
	if s.Items != nil {
		text = "list of " + kind(s.Items)
	}
	if s.Nullable {
		text += " or null"
	}
	return text
}

func sortedStatuses(responses *openapi3.Responses) []string {
	var all []string
	for status, response := range responses.Map() {
		all = append(all, status+" "+*response.Value.Description)
	}
	slices.Sort(all)
	return all
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// codeSpans escapes a text for HTML and replaces each `code` span of the text by a code element.
func codeSpans(text string) template.HTML {
	return template.HTML(codeSpan.ReplaceAllString(template.HTMLEscapeString(text), "<code>$1</code>"))
}
