package api_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// FuzzHandler sends bodies, queries and headers to the whole service. Every answer conforms to the OpenAPI document, is not
// a 5xx, and does not repeat the PIN of the request. In inputs, IDENTITY, CUSTOMER and SESSION are replaced by real values.
func FuzzHandler(f *testing.F) {
	s := newService(f)
	s.setPIN()
	token, _ := s.verify(right).JSON("session_token").(string)
	s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at(s.identityPath()), Header: s.bearer()}), 204)
	operations := []struct{ method, path string }{
		{"POST", "/pin/verify"}, {"POST", "/pin/check-required"}, {"POST", "/pin/sessions/introspect"}, {"DELETE", "/pin/sessions"},
		{"POST", "/identities/IDENTITY/pin"}, {"DELETE", "/identities/IDENTITY/pin"}, {"GET", "/lookup/identity"},
	}
	for i := range operations {
		for _, body := range []string{"", `{"pin": "12", "identity_id": "IDENTITY"}`, `{"pin": "` + other + `", "customer_id": "CUSTOMER", "identity_id": null}`,
			`{"session_token": "SESSION"}`, `{"current_pin": "` + other + `"}`, `{"pin": 8317}`, `[[[[`, "\xff", `{"pin":"\ud800"}`, `{"a":1e999}`, `null`} {
			f.Add(uint8(i), "customer_id=CUSTOMER&identity_id=IDENTITY&skill=pay&channel=telegram&external_id=1", "application/json", "SESSION", body)
		}
		f.Add(uint8(i), "customer_id=%00&customer_id=1;%zz", "text/plain; charset=\"", "cst_", "{}")
	}
	real := strings.NewReplacer("IDENTITY", s.identity.String(), "CUSTOMER", s.customer.String(), "SESSION", token)
	f.Fuzz(func(t *testing.T, operation uint8, query, contentType, session, body string) {
		o := operations[int(operation)%len(operations)]
		header := s.bearer()
		header["Content-Type"], header["X-Pin-Session"] = headerText(contentType), headerText(real.Replace(session))
		a := s.Fuzzed(t, webtest.Request{Method: o.method, Path: s.at(real.Replace(o.path)) + "?" + real.Replace(query), Header: header, Body: real.Replace(body)})
		if strings.Contains(a.Body, other) {
			t.Errorf("%s %s answered with the PIN", o.method, o.path)
		}
	})
}

// headerText removes the characters that an HTTP client refuses to send in a header.
func headerText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
}
