package api_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// FuzzHandler sends bodies and queries to the whole service: pages, sort orders, searches, cursors, PINs, policies. Every answer
// conforms to the OpenAPI document, is not a 5xx, and does not repeat the PIN of the request. In inputs, CUSTOMER, INSTANCE and
// IDENTITY are replaced by real ids.
func FuzzHandler(f *testing.F) {
	s := newService(f)
	customer, instance := s.people.Customer(), s.people.Instance()
	real := strings.NewReplacer("CUSTOMER", customer.String(), "INSTANCE", instance.String(), "IDENTITY", s.people.Identity(customer, instance).String())
	link := s.enrolment(customer)
	operations := []struct{ method, path string }{
		{"GET", "/v1/customers"}, {"POST", "/v1/customers"}, {"PATCH", "/v1/customers/CUSTOMER"},
		{"GET", "/v1/instances"}, {"POST", "/v1/instances"}, {"PATCH", "/v1/instances/INSTANCE"}, {"PATCH", "/v1/instances/INSTANCE/pin-policy"},
		{"GET", "/v1/customers/CUSTOMER/identities"}, {"POST", "/v1/customers/CUSTOMER/identities"}, {"PATCH", "/v1/customers/CUSTOMER/identities/IDENTITY"},
		{"POST", "/v1/customers/CUSTOMER/pin"}, {"POST", "/v1/instances/INSTANCE/proxy-keys"}, {"POST", "/v1/api-keys"}, {"GET", "/v1/api-keys"},
		{"GET", "/v1/audit"}, {"GET", "/v1/customers/lookup/identity"}, {"POST", "/v1/enrolments/open"}, {"POST", "/v1/enrolments/complete"},
	}
	for i := range operations {
		for _, body := range []string{"", `{}`, `{"email": "a@example.com", "display_name": null}`, `{"name": "x", "owner_customer_id": "CUSTOMER", "expires_at": "2031-01-01T00:00:00Z", "scopes": ["read"]}`,
			`{"instance_id": "INSTANCE", "channel": "sms", "external_id": "1", "role_override": "owner"}`, `{"pin": "` + otherPIN + `"}`, `{"token": "` + link + `"}`, `{"token": "` + link + `", "pin": "1234", "phrase": "a b"}`,
			`{"pin_applies_to": "owner", "pin_required_skills": ["pay*", ""], "pin_session_ttl_minutes": 1441}`, `{"name": "\u0000"}`, `{"scopes": [[]]}`, "\xff", `null`} {
			f.Add(uint8(i), "", body)
		}
		for _, query := range []string{"page=1&per_page=100&search=a%25_%5C&sort_by=email&sort_dir=desc", "page=0", "page=9223372036854775807", "per_page=1e3&page=%00",
			"sort_by=email;drop", "limit=1&cursor=AAAA&since=2026-01-01T00:00:00Z", "since=9999-99-99", "until=0000-01-01T00:00:00Z", "action=%ff", "channel=sms&external_id=1&instance_id=INSTANCE", "page=1&page=2;%zz"} {
			f.Add(uint8(i), query, "")
		}
	}
	f.Fuzz(func(t *testing.T, operation uint8, query, body string) {
		o := operations[int(operation)%len(operations)]
		a := s.Fuzzed(t, webtest.Request{Method: o.method, Path: real.Replace(o.path) + "?" + real.Replace(query), Body: real.Replace(body),
			Header: map[string]string{"X-Api-Key": s.apiKey.Reveal(), "Content-Type": "application/json"}})
		if strings.Contains(a.Body, otherPIN) && strings.HasSuffix(o.path, "/pin") {
			t.Errorf("%s %s answered with the PIN", o.method, o.path)
		}
	})
}
