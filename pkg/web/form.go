package web

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// checkForm holds a form in the body against its schema and hands the handler what was checked, and nothing else: no field
// that the schema does not name, and none of the query, which ends up in the logs of proxies. As OAuth has it (RFC 6749,
// section 3.2), a field without a value counts as absent, an unknown one is passed over, and none may stand twice.
func (s *Spec) checkForm(r *http.Request, raw []byte, schema *openapi3.Schema) []Issue {
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
			fields[name], values[name] = given, fromText(property.Value, given[0])
		}
	}
	if issues = append(issues, s.check(loc, schema, values)...); len(issues) == 0 {
		r.Form, r.PostForm, r.Body = fields, fields, http.NoBody
	}
	return issues
}

func isForm(contentType string) bool {
	media, parameters, err := mime.ParseMediaType(contentType)
	charset := parameters["charset"]
	return err == nil && media == echo.MIMEApplicationForm && (charset == "" || strings.EqualFold(charset, "utf-8"))
}
