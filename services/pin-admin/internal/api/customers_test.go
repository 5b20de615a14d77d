package api_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

type object = map[string]any

// add creates something and returns the path it is then found at.
func (s *service) add(list string, body any) (string, webtest.Answer) {
	s.t.Helper()
	a := s.Want(s.ask("POST", list, body), 201)
	return list + "/" + a.JSON("id").(string), a
}

func TestACustomerThroughItsWholeLife(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path, created := s.add("/v1/customers", object{"email": "Ann.Lee@Example.com", "display_name": "Ann Lee"})
	s.Fields(created, object{"email": "ann.lee@example.com", "display_name": "Ann Lee"})
	if read := s.Want(s.ask("GET", path, nil), 200); read.Body != created.Body {
		t.Errorf("read %s, created %s", read.Body, created.Body)
	}
	s.Fields(s.Want(s.ask("GET", strings.ToUpper(path[:14])+path[14:], nil), 404), object{"detail": "Not Found"}) // only ids are without case
	s.Want(s.ask("GET", "/v1/customers/"+strings.ToUpper(path[14:])+"/", nil), 200)

	s.Fields(s.Want(s.ask("PATCH", path, object{"email": "ann@example.com"}), 200), object{"email": "ann@example.com", "display_name": "Ann Lee"})
	s.Fields(s.Want(s.ask("PATCH", path, object{"display_name": "Ann"}), 200), object{"email": "ann@example.com", "display_name": "Ann"})
	named := s.Want(s.ask("PATCH", path, object{}), 200)
	s.Fields(named, object{"display_name": "Ann"})
	null := s.Want(s.ask("PATCH", path, object{"display_name": nil}), 200)
	s.Fields(null, object{"email": "ann@example.com", "display_name": nil})
	if null.JSON("updated_at") == created.JSON("updated_at") || null.JSON("created_at") != created.JSON("created_at") {
		t.Errorf("times of %s, created %s", null.Body, created.Body)
	}
	s.Want(s.ask("PATCH", path, object{"email": "ANN@example.com"}), 200) // its own address is not taken

	if gone := s.Want(s.ask("DELETE", path, nil), 204); gone.Body != "" {
		t.Errorf("204 with a body: %q", gone.Body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		s.Fields(s.Want(s.ask(method, path, nil), 404), object{"detail": "Customer not found"})
	}
	s.Want(s.ask("PATCH", path, object{"display_name": "x"}), 404)
	s.Want(s.ask("PATCH", path, object{}), 404)
	s.actions("customer.created", "customer.updated", "customer.updated", "customer.updated", "customer.updated", "customer.deleted")
}

// actions fails the test unless these, and no others, are in the audit trail, in this order.
func (s *service) actions(want ...string) {
	s.t.Helper()
	var got string
	s.people.Get(&got, `select coalesce(string_agg(action, ' ' order by id), '') from audit`)
	if got != strings.Join(want, " ") {
		s.t.Errorf("the trail says %s, want %s", got, strings.Join(want, " "))
	}
}

func TestBadCustomers(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path, _ := s.add("/v1/customers", object{"email": "ann@example.com", "display_name": "Ann"})
	long := strings.Repeat("é", 255)
	for _, rule := range []struct{ name, body, kind, field string }{
		{"no body", ``, "missing", ""},
		{"a list", `[]`, "model_attributes_type", ""},
		{"broken JSON", `{"email`, "json_invalid", ""},
		{"an address null", `{"email": null}`, "string_type", "email"},
		{"an address as a number", `{"email": 1}`, "string_type", "email"},
		{"no at sign", `{"email": "ann"}`, "value_error", "email"},
		{"two at signs", `{"email": "a@b@example.com"}`, "value_error", "email"},
		{"a display name", `{"email": "Ann <ann@example.com>"}`, "value_error", "email"},
		{"a comment", `{"email": "ann@example.com (Ann)"}`, "value_error", "email"},
		{"NUL", `{"email": "ann\u0000@example.com"}`, "value_error", "email"},
		{"a line end", `{"email": "ann@example.com\n"}`, "value_error", "email"},
		{"blanks around", `{"email": " ann@example.com"}`, "value_error", "email"},
		{"a quoted part", `{"email": "\"ann lee\"@example.com"}`, "value_error", "email"},
		{"an IP address", `{"email": "ann@[127.0.0.1]"}`, "value_error", "email"},
		{"an address of 255", `{"email": "a@` + strings.Repeat("b", 249) + `.com"}`, "value_error", "email"},
		{"a name as a number", `{"email": "b@example.com", "display_name": 1}`, "string_type", "display_name"},
		{"an empty name", `{"email": "b@example.com", "display_name": ""}`, "string_too_short", "display_name"},
		{"a name of 256", `{"email": "b@example.com", "display_name": "` + long + `é"}`, "string_too_long", "display_name"},
		{"NUL in a name", `{"email": "b@example.com", "display_name": "a\u0000"}`, "value_error", "display_name"},
	} {
		for method, at := range map[string]string{"POST": "/v1/customers", "PATCH": path} {
			a := s.ask(method, at, rule.body)
			field, _ := a.JSON("detail.0.loc.1").(string)
			if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || a.JSON("detail.0.loc.0") != "body" || field != rule.field {
				t.Errorf("%s, %s: %d %s, want %s at %s", rule.name, method, a.Status, a.Body, rule.kind, rule.field)
			}
		}
	}
	s.Fields(s.Want(s.ask("POST", "/v1/customers", `{}`), 422), object{"detail.0.type": "missing", "detail.0.loc.1": "email"})
	s.Want(s.ask("POST", "/v1/customers", object{"email": "b@example.com", "display_name": long}), 201)
	s.Want(s.ask("POST", "/v1/customers", object{"email": "c@example.com", "display_name": nil, "id": uuid.NewString(), "admin": true}), 201)
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"email": "ann@example.com", "display_name": "Ann"})
}

func TestOneAddressIsOneCustomer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.add("/v1/customers", object{"email": "ann@example.com"})
	other, _ := s.add("/v1/customers", object{"email": "bea@example.com"})
	taken := object{"detail": "A customer with this email address exists already"}
	s.Fields(s.Want(s.ask("POST", "/v1/customers", object{"email": "ANN@example.com"}), 409), taken)
	s.Fields(s.Want(s.ask("PATCH", other, object{"email": "Ann@Example.com"}), 409), taken)
	s.together("/v1/customers", func(int) any { return object{"email": "cem@example.com"} })
}

// together creates the same thing a hundred times at once: one is created, 99 learn that it exists.
func (s *service) together(path string, body func(i int) any) {
	s.t.Helper()
	var created, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			a, err := s.Try(webtest.Request{Method: "POST", Path: path, Header: s.apiKeyHeader(), Body: body(i)})
			switch {
			case err == nil && a.Status == 201:
				created.Add(1)
			case err == nil && a.Status == 409:
				refused.Add(1)
			default:
				s.t.Errorf("%d %v %s", a.Status, err, a.Body)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || refused.Load() != 99 {
		s.t.Errorf("%d created, %d refused; want 1 and 99", created.Load(), refused.Load())
	}
}

func (s *service) apiKeyHeader() map[string]string {
	return map[string]string{"X-Api-Key": s.apiKey.Reveal()}
}

func TestWhatGoesWithACustomer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, instance := s.people.Customer(), s.people.Instance()
	identity := s.people.Identity(customer, instance)
	path := "/v1/customers/" + customer.String()
	s.Want(s.ask("POST", path+"/pin", object{"pin": goodPIN}), 200)
	s.Want(s.ask("POST", path+"/identities/"+identity.String()+"/pin", object{"pin": goodPIN}), 200)
	s.people.Exec(`insert into attempts (holder_id, number, instance_id, request_id) values ($1, 1, $2, '')`, customer, instance)

	s.Want(s.ask("PATCH", "/v1/instances/"+instance.String(), object{"owner_customer_id": customer}), 200)
	s.Fields(s.Want(s.ask("DELETE", path, nil), 409), object{"detail": "The customer owns an instance: give it another owner first"})
	s.Want(s.ask("GET", path+"/pin", nil), 200)
	s.Want(s.ask("PATCH", "/v1/instances/"+instance.String(), object{"owner_customer_id": nil}), 200)
	s.Want(s.ask("DELETE", path, nil), 204)

	for _, table := range []string{"customers", "identities", "pin_holders", "attempts"} {
		var left int
		s.people.Get(&left, `select count(*) from `+table)
		if left != 0 {
			t.Errorf("%d rows of %s are left", left, table)
		}
	}
	s.Want(s.ask("GET", "/v1/instances/"+instance.String(), nil), 200)
	trail := s.Want(s.ask("GET", "/v1/audit?customer_id="+customer.String(), nil), 200)
	s.Fields(trail, object{"items.0.action": "customer.deleted", "items.1.action": "pin.set", "items.2.action": "pin.set", "items.3": nil})
}
