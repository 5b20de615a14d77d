package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestCreateChangeAndDeleteAnInstance(t *testing.T) {
	t.Parallel()
	s := newService(t)
	owner := s.people.Customer().String()
	path, created := s.add("/v1/instances", object{"name": "Shop"})
	s.Fields(created, object{"name": "Shop", "owner_customer_id": nil})
	if read := s.Want(s.ask("GET", path, nil), 200); read.Body != created.Body {
		t.Errorf("read %s, created %s", read.Body, created.Body)
	}
	s.Fields(s.Want(s.ask("PATCH", path, object{"owner_customer_id": owner}), 200), object{"name": "Shop", "owner_customer_id": owner})
	s.Fields(s.Want(s.ask("PATCH", path, object{"name": "Shop 2"}), 200), object{"name": "Shop 2", "owner_customer_id": owner})
	s.Fields(s.Want(s.ask("PATCH", path, object{}), 200), object{"name": "Shop 2", "owner_customer_id": owner})
	s.Fields(s.Want(s.ask("PATCH", path, object{"owner_customer_id": nil}), 200), object{"name": "Shop 2", "owner_customer_id": nil})
	s.Fields(s.Want(s.ask("GET", path+"/pin-policy", nil), 200), object{"pin_applies_to": "all", "enforcement": "listed"})
	s.Want(s.ask("DELETE", path, nil), 204)
	for _, method := range []string{"GET", "DELETE"} {
		s.Fields(s.Want(s.ask(method, path, nil), 404), object{"detail": "Instance not found"})
	}
	s.Want(s.ask("PATCH", path, object{"name": "x"}), 404)

	_, owned := s.add("/v1/instances", object{"name": "Shop", "owner_customer_id": owner}) // two instances can have the same name
	s.Fields(owned, object{"owner_customer_id": owner})
	s.actions("instance.created", "instance.updated", "instance.updated", "instance.updated", "instance.deleted", "instance.created")

	strict, _ := s.add("/v1/instances", object{"name": "Bank", "enforcement": "strict"})
	s.Fields(s.Want(s.ask("GET", strict+"/pin-policy", nil), 200), object{"enforcement": "strict", "pin_applies_to": "all"})
	var audited string
	s.people.Get(&audited, `select details->>'enforcement' from audit where action = 'instance.created' order by id desc limit 1`)
	if audited != "strict" {
		t.Errorf("the audit trail has the enforcement %q", audited)
	}
	for body, kind := range map[string]string{`{"name": "a", "enforcement": null}`: "enum", `{"name": "a", "enforcement": "STRICT"}`: "enum", `{"name": "a", "enforcement": 1}`: "enum"} {
		s.Fields(s.Want(s.ask("POST", "/v1/instances", body), 422), object{"detail.0.type": kind, "detail.0.loc.1": "enforcement"})
	}
}

func TestInvalidInstancesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path, _ := s.add("/v1/instances", object{"name": "Shop"})
	for _, rule := range []struct{ name, body, kind, field string }{
		{"a name null", `{"name": null}`, "string_type", "name"},
		{"an empty name", `{"name": ""}`, "string_too_short", "name"},
		{"a name of 256 characters", `{"name": "` + strings.Repeat("é", 256) + `"}`, "string_too_long", "name"},
		{"NUL in a name", `{"name": "a\u0000"}`, "value_error", "name"},
		{"an owner that is not a UUID", `{"name": "a", "owner_customer_id": "x"}`, "uuid_parsing", "owner_customer_id"},
		{"an owner in braces", `{"name": "a", "owner_customer_id": "{` + uuid.NewString() + `}"}`, "uuid_parsing", "owner_customer_id"},
		{"an owner that does not exist", `{"name": "a", "owner_customer_id": "` + uuid.NewString() + `"}`, "value_error", "owner_customer_id"},
	} {
		for method, at := range map[string]string{"POST": "/v1/instances", "PATCH": path} {
			a := s.ask(method, at, rule.body)
			if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || a.JSON("detail.0.loc.1") != rule.field {
				t.Errorf("%s, %s: %d %s, want %s at %s", rule.name, method, a.Status, a.Body, rule.kind, rule.field)
			}
		}
	}
	s.Fields(s.Want(s.ask("POST", "/v1/instances", `{}`), 422), object{"detail.0.type": "missing", "detail.0.loc.1": "name"})
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"name": "Shop", "owner_customer_id": nil})
	s.actions("instance.created")
}

func TestDeletingAnInstanceDeletesItsData(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, instance := s.people.Customer(), s.people.Instance()
	identity := s.people.Identity(customer, instance)
	s.people.ProxyKey(instance)
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/pin", object{"pin": goodPIN}), 200)
	s.Want(s.ask("POST", "/v1/customers/"+customer.String()+"/identities/"+identity.String()+"/pin", object{"pin": goodPIN}), 200)
	s.Want(s.ask("DELETE", "/v1/instances/"+instance.String(), nil), 204)
	for query, want := range map[string]int{
		`select count(*) from identities`: 0, `select count(*) from proxy_keys`: 0, `select count(*) from pin_holders`: 1, `select count(*) from customers`: 1,
	} {
		var left int
		if s.people.Get(&left, query); left != want {
			t.Errorf("%s: %d, want %d", query, left, want)
		}
	}
}
