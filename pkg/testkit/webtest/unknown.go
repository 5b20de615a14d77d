package webtest

import (
	"net/http"
	"strings"

	"github.com/countersign/countersign/pkg/web"
)

// RefusesUnknownInputs sends an unknown query parameter and an unknown field of a body to each operation of the OpenAPI document.
// Each answer must name them. ids replaces the path parameters, each in the form {name}. header has credentials that every
// operation accepts. Operations with x-ignore-unknown are not called.
func (s *Server) RefusesUnknownInputs(spec *web.Spec, ids *strings.Replacer, header map[string]string) {
	s.t.Helper()
	for path, item := range spec.Doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.Extensions["x-ignore-unknown"] == true {
				continue
			}
			status, parameter, field := http.StatusUnprocessableEntity, extra("query", "unknown_parameter"), extra("body", "unknown_field")
			if strings.HasPrefix(path, "/user/") { // JSON:API
				status, parameter, field = http.StatusBadRequest, `"source":{"parameter":"unknown_parameter"}`, `"source":{"pointer":"/unknown_field"}`
			}
			a := s.Do(Request{Method: method, Path: ids.Replace(path) + "?unknown_parameter=Canary-value&unknown_parameter=", Header: header})
			if a.Status != status || !strings.Contains(a.Body, parameter) || strings.Contains(a.Body, "Canary") {
				s.t.Errorf("%s %s with an unknown parameter: %d %s", method, path, a.Status, a.Body)
			}
			a = s.Do(Request{Method: method, Path: ids.Replace(path), Header: header, Body: map[string]any{"unknown_field": map[string]any{"x": "Canary-value"}}})
			if a.Status != status || !strings.Contains(a.Body, field) || strings.Contains(a.Body, "Canary") {
				s.t.Errorf("%s %s with an unknown field: %d %s", method, path, a.Status, a.Body)
			}
		}
	}
}

func extra(in, name string) string {
	return `{"type":"extra_forbidden","loc":["` + in + `","` + name + `"],"msg":"Extra inputs are not permitted"}`
}
