package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/countersign/countersign/pkg/web"
)

const thingsDocument = `
openapi: 3.0.3
info: {title: Things, version: '1'}
paths:
  /things:
    post:
      parameters: [{name: page, in: query, schema: {type: integer}}]
      requestBody:
        content:
          application/json:
            schema:
              type: object
              additionalProperties: false
              properties:
                name: {type: string}
                owner: {type: object, additionalProperties: false, properties: {id: {type: integer}}}
                parts: {type: array, items: {type: object, additionalProperties: false, required: [id], properties: {id: {type: integer}}}}
      responses: {'200': {description: OK}}
    delete:
      responses: {'200': {description: OK}}
`

// issuesOf validates a request and returns its issues, each as "loc type".
func issuesOf(t *testing.T, spec *web.Spec, method, query, body string) []string {
	t.Helper()
	e := echo.New()
	request := httptest.NewRequest(method, "/things?"+query, strings.NewReader(body))
	c := e.NewContext(request, httptest.NewRecorder())
	c.SetPath("/things")
	err := spec.Validate(func(echo.Context) error { return nil })(c)
	var invalid *web.Invalid
	if err != nil && !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	found := []string{}
	if invalid != nil {
		for _, issue := range invalid.Issues {
			found = append(found, fmt.Sprint(issue.Loc, " ", issue.Type))
		}
	}
	return found
}

func TestUnknownFieldsAndParametersAreRefused(t *testing.T) {
	t.Parallel()
	spec, err := web.LoadSpec([]byte(thingsDocument), func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	const notShown = "[[body (name not shown)] extra_forbidden]"
	for _, rule := range []struct{ name, method, query, body, want string }{
		{"nothing unknown", "POST", "page=1", `{"name": "x", "owner": {"id": 1}, "parts": [{"id": 1}]}`, `[]`},
		{"a typo", "POST", "", `{"nmae": "x"}`, `[[body nmae] extra_forbidden]`},
		{"upper case is another field", "POST", "", `{"Name": "x"}`, `[[body Name] extra_forbidden]`},
		{"null is a field too", "POST", "", `{"nmae": null}`, `[[body nmae] extra_forbidden]`},
		{"several, in the order of their names", "POST", "", `{"b": 1, "a": 1}`, `[[body a] extra_forbidden [body b] extra_forbidden]`},
		{"the same name twice", "POST", "", `{"a": 1, "a": 2}`, `[[body a] extra_forbidden]`},
		{"in an object", "POST", "", `{"owner": {"id": 1, "ID": 1}}`, `[[body owner ID] extra_forbidden]`},
		{"in a list", "POST", "", `{"parts": [{"id": 1}, {"size": 1}]}`, `[[body parts 1 size] extra_forbidden [body parts 1 id] missing]`},
		{"with another error", "POST", "", `{"name": 1, "nmae": "x"}`, `[[body name] string_type [body nmae] extra_forbidden]`},
		{"a PIN as a name", "POST", "", `{"83174629": 1}`, notShown},
		{"a token as a name", "POST", "", `{"csp_` + strings.Repeat("a", 60) + `": 1}`, notShown},
		{"no name", "POST", "", `{"": 1}`, notShown},
		{"a name that is not ASCII", "POST", "", `{"näme": 1}`, notShown},
		{"a null character", "POST", "", `{"a\u0000": 1}`, notShown},
		{"a line break", "POST", "", `{"a\n": 1}`, notShown},
		{"40 characters", "POST", "", `{"` + strings.Repeat("a", 40) + `": 1}`, `[[body ` + strings.Repeat("a", 40) + `] extra_forbidden]`},
		{"41 characters", "POST", "", `{"` + strings.Repeat("a", 41) + `": 1}`, notShown},
		{"a parameter", "POST", "pgae=1", `{}`, `[[query pgae] extra_forbidden]`},
		{"a parameter in upper case", "POST", "Page=1", `{}`, `[[query Page] extra_forbidden]`},
		{"a parameter without a value", "POST", "x", `{}`, `[[query x] extra_forbidden]`},
		{"a parameter twice", "POST", "x=1&x=2", `{}`, `[[query x] extra_forbidden]`},
		{"a known parameter twice", "POST", "page=1&page=2", `{}`, `[[query page] value_error]`},
		{"a field's name as a parameter", "POST", "name=x", `{}`, `[[query name] extra_forbidden]`},
		{"a PIN as a parameter", "POST", "83174629", `{}`, `[[query (name not shown)] extra_forbidden]`},
		{"an empty query", "POST", "&", `{}`, `[]`},
		{"an operation without a body", "DELETE", "", `{"name": "x"}`, `[[body name] extra_forbidden]`},
		{"no body", "DELETE", "", ``, `[]`}, {"an empty object", "DELETE", "", `{}`, `[]`}, {"null", "DELETE", "", `null`, `[]`}, {"malformed", "DELETE", "", `{"name"`, `[]`},
	} {
		if got := fmt.Sprint(issuesOf(t, spec, rule.method, rule.query, rule.body)); got != rule.want {
			t.Errorf("%s: %s, want %s", rule.name, got, rule.want)
		}
	}
	var many []string
	for i := range 1500 {
		many = append(many, fmt.Sprintf(`"a%d":1`, i))
	}
	if n := len(issuesOf(t, spec, http.MethodPost, "", "{"+strings.Join(many, ",")+"}")); n != 100 {
		t.Errorf("%d issues are listed, want 100", n)
	}
}
