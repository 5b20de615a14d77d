package api_test

import (
	"strings"
	"testing"
)

func TestCreateChangeAndDeleteACustomer(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path, created := s.add("/v1/customers", object{"email": "Ann.Lee@Example.com", "display_name": "Ann Lee"})
	s.Fields(created, object{"email": "ann.lee@example.com", "display_name": "Ann Lee"})
	if read := s.Want(s.ask("GET", path, nil), 200); read.Body != created.Body {
		t.Errorf("read %s, created %s", read.Body, created.Body)
	}
	s.Fields(s.Want(s.ask("GET", strings.ToUpper(path[:14])+path[14:], nil), 404), object{"detail": "Not Found"}) // only ids are case-insensitive
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
	s.Want(s.ask("PATCH", path, object{"email": "ANN@example.com"}), 200) // a customer can keep its own address

	if deleted := s.Want(s.ask("DELETE", path, nil), 204); deleted.Body != "" {
		t.Errorf("204 with a body: %q", deleted.Body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		s.Fields(s.Want(s.ask(method, path, nil), 404), object{"detail": "Customer not found"})
	}
	s.Want(s.ask("PATCH", path, object{"display_name": "x"}), 404)
	s.Want(s.ask("PATCH", path, object{}), 404)
	s.actions("customer.created", "customer.updated", "customer.updated", "customer.updated", "customer.updated", "customer.deleted")
}

func TestInvalidCustomersAreRefused(t *testing.T) {
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
		{"an address with a display name", `{"email": "Ann <ann@example.com>"}`, "value_error", "email"},
		{"an address with a comment", `{"email": "ann@example.com (Ann)"}`, "value_error", "email"},
		{"NUL in an address", `{"email": "ann\u0000@example.com"}`, "value_error", "email"},
		{"a newline in an address", `{"email": "ann@example.com\n"}`, "value_error", "email"},
		{"a space before an address", `{"email": " ann@example.com"}`, "value_error", "email"},
		{"a quoted local part", `{"email": "\"ann lee\"@example.com"}`, "value_error", "email"},
		{"an IP address as the domain", `{"email": "ann@[127.0.0.1]"}`, "value_error", "email"},
		{"an address of 255 characters", `{"email": "a@` + strings.Repeat("b", 249) + `.com"}`, "value_error", "email"},
		{"a name as a number", `{"email": "b@example.com", "display_name": 1}`, "string_type", "display_name"},
		{"an empty name", `{"email": "b@example.com", "display_name": ""}`, "string_too_short", "display_name"},
		{"a name of 256 characters", `{"email": "b@example.com", "display_name": "` + long + `é"}`, "string_too_long", "display_name"},
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
	s.Want(s.ask("POST", "/v1/customers", object{"email": "c@example.com", "display_name": nil}), 201)
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"email": "ann@example.com", "display_name": "Ann"})
}

func TestEmailAddressIsUnique(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.add("/v1/customers", object{"email": "ann@example.com"})
	other, _ := s.add("/v1/customers", object{"email": "bea@example.com"})
	taken := object{"detail": "A customer with this email address exists already"}
	s.Fields(s.Want(s.ask("POST", "/v1/customers", object{"email": "ANN@example.com"}), 409), taken)
	s.Fields(s.Want(s.ask("PATCH", other, object{"email": "Ann@Example.com"}), 409), taken)
	s.createInParallel("/v1/customers", func(int) any { return object{"email": "cem@example.com"} })
}

func TestDeletingACustomerDeletesItsData(t *testing.T) {
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
