package web

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

const exactDocument = `
openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /x:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              additionalProperties: false
              properties:
                name: {type: string, maxLength: 5}
                exact: {type: object, nullable: true, x-exact: true}
      responses: {'200': {description: ok}}
`

func TestExactFieldsReachTheHandlerByteForByte(t *testing.T) {
	t.Parallel()
	spec, err := LoadSpec([]byte(exactDocument), func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []struct{ body, want, issue string }{
		{`{"exact":{"a":1}}`, `{"a":1}`, ""},
		{`{"name":"n","exact": { "b" : 1.0e400, "a":"\ud800<" , "a":2 } }`, `{ "b" : 1.0e400, "a":"\ud800<" , "a":2 }`, ""},
		{`{"exact":null}`, "", ""},
		{`{}`, "", ""},
		{`{"exact":{"a":1},"exact":{"a":2}}`, "", `[body exact] value_error`},
		{`{"exact":{"a":1},"\u0065xact":{"a":2}}`, "", `[body exact] value_error`},
		{`{"name":"a","exact":{},"name":"b"}`, "", `[body name] value_error`},
		{`{"name":"a","name":"b"}`, "", `[body name] value_error`},
		{`{"exact":[1]}`, "", `[body exact] dict_type`},
		{`{"exact":"{}"}`, "", `[body exact] dict_type`},
		{`{"Exact":{}}`, "", `[body Exact] extra_forbidden`},
		{`{"exact":{"a":NaN}}`, "", `json_invalid`},
		{`{"exact":{"a":"\u0000"}}`, "", `[body exact a] value_error`},
		{`{"exact":{"a canary":["\u0000"]}}`, "", `[body exact (name not shown) 0] value_error`},
		{`{"exact":{` + strings.Repeat(`"a":{`, 10001) + strings.Repeat(`}`, 10002) + `}`, "", "json_invalid"},
	} {
		request := httptest.NewRequest("POST", "/x", strings.NewReader(rule.body))
		request.Header.Set("Content-Type", "application/json")
		if strings.Contains(rule.issue, "json_invalid") {
			spec.operations["POST /x"].Extensions = map[string]any{"x-body-limit": float64(1 << 20)}
		}
		e := echo.New()
		c := e.NewContext(request, httptest.NewRecorder())
		c.SetPath("/x")
		var got Exact
		err := spec.Validate(func(c echo.Context) error {
			body, _ := c.Request().Body.(validatedBody)
			if text, sent := body.value.(map[string]any)["exact"].(string); sent {
				return got.UnmarshalText([]byte(text))
			}
			return nil
		})(c)
		switch {
		case rule.issue == "" && (err != nil || string(got) != rule.want):
			t.Errorf("%s: %q, %v", rule.body, got, err)
		case rule.issue != "" && (err == nil || !strings.Contains(err.Error(), rule.issue)):
			t.Errorf("%.80s: %v, want %s", rule.body, err, rule.issue)
		}
	}
}
