package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func TestCreateChangeAndDeleteAnIdentity(t *testing.T) {
	t.Parallel()
	s := newService(t)
	customer, instance, elsewhere := s.people.Customer(), s.people.Instance(), s.people.Instance()
	list := "/v1/customers/" + customer.String() + "/identities"
	path, created := s.add(list, object{"instance_id": instance, "channel": "telegram", "external_id": "100"})
	s.Fields(created, object{"customer_id": customer.String(), "instance_id": instance.String(), "channel": "telegram", "external_id": "100",
		"display_name": nil, "role_override": nil, "verified": false})
	if read := s.Want(s.ask("GET", path, nil), 200); read.Body != created.Body {
		t.Errorf("read %s, created %s", read.Body, created.Body)
	}
	full := object{"channel": "whatsapp", "external_id": "é", "display_name": "Ann", "role_override": "owner", "verified": true}
	s.Fields(s.Want(s.ask("PATCH", path, full), 200), full)
	s.Fields(s.Want(s.ask("PATCH", path, object{"verified": false}), 200), object{"role_override": "owner", "display_name": "Ann", "verified": false})
	s.Fields(s.Want(s.ask("PATCH", path, object{"display_name": nil}), 200), object{"role_override": "owner", "display_name": nil})
	s.Fields(s.Want(s.ask("PATCH", path, object{"role_override": nil}), 200), object{"role_override": nil, "external_id": "é"})
	// The customer and the instance of an identity cannot be changed.
	for field, value := range (object{"customer_id": s.people.Customer(), "instance_id": elsewhere, "id": uuid.New()}) {
		s.Fields(s.Want(s.ask("PATCH", path, object{field: value}), 422), object{"detail.0.type": "extra_forbidden", "detail.0.loc.1": field})
	}
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"customer_id": customer.String(), "instance_id": instance.String(), "id": created.JSON("id")})

	stranger := "/v1/customers/" + s.people.Customer().String() + "/identities" + path[len(list):]
	for _, at := range []string{stranger, list + "/" + uuid.NewString()} {
		s.Fields(s.Want(s.ask("GET", at, nil), 404), object{"detail": "Identity not found"})
		s.Want(s.ask("PATCH", at, object{"verified": true}), 404)
		s.Want(s.ask("PATCH", at, object{}), 404)
		s.Want(s.ask("DELETE", at, nil), 404)
	}
	s.Want(s.ask("POST", path+"/pin", object{"pin": goodPIN}), 200)
	s.Want(s.ask("DELETE", path, nil), 204)
	s.Want(s.ask("DELETE", path, nil), 404)
	var holders int
	if s.people.Get(&holders, `select count(*) from pin_holders`); holders != 0 {
		t.Error("the PIN of a deleted identity still exists")
	}
	s.actions("identity.created", "identity.updated", "identity.updated", "identity.updated", "identity.updated", "pin.set", "identity.deleted")
}

func TestInvalidIdentitiesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	instance := s.people.Instance().String()
	list := "/v1/customers/" + s.people.Customer().String() + "/identities"
	path, _ := s.add(list, object{"instance_id": instance, "channel": "sms", "external_id": "1"})
	for _, rule := range []struct {
		name        string
		change      object
		kind, field string
	}{
		{"an unknown channel", object{"channel": "fax"}, "enum", "channel"},
		{"a channel in upper case", object{"channel": "SMS"}, "enum", "channel"},
		{"a channel null", object{"channel": nil}, "enum", "channel"},
		{"an external id that is a number", object{"external_id": 1}, "string_type", "external_id"},
		{"an empty external id", object{"external_id": ""}, "string_too_short", "external_id"},
		{"an external id of 256 characters", object{"external_id": strings.Repeat("é", 256)}, "string_too_long", "external_id"},
		{"NUL in an external id", object{"external_id": "a\x00"}, "value_error", "external_id"},
		{"an unknown role", object{"role_override": "admin"}, "enum", "role_override"},
		{"verified as a text", object{"verified": "true"}, "bool_parsing", "verified"},
		{"verified null", object{"verified": nil}, "bool_type", "verified"},
		{"an empty name", object{"display_name": ""}, "string_too_short", "display_name"},
	} {
		whole := object{"instance_id": instance, "channel": "sms", "external_id": "2"}
		for field, value := range rule.change {
			whole[field] = value
		}
		for _, a := range []webtest.Answer{s.ask("POST", list, whole), s.ask("PATCH", path, rule.change)} {
			if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || a.JSON("detail.0.loc.1") != rule.field {
				t.Errorf("%s: %d %s, want %s at %s", rule.name, a.Status, a.Body, rule.kind, rule.field)
			}
		}
	}
	for _, needed := range []string{"instance_id", "channel", "external_id"} {
		whole := object{"instance_id": instance, "channel": "sms", "external_id": "2"}
		delete(whole, needed)
		s.Fields(s.Want(s.ask("POST", list, whole), 422), object{"detail.0.type": "missing", "detail.0.loc.1": needed})
	}
	unknown := s.Want(s.ask("POST", list, object{"instance_id": uuid.New(), "channel": "sms", "external_id": "2"}), 422)
	s.Fields(unknown, object{"detail.0.type": "value_error", "detail.0.loc.1": "instance_id", "detail.0.msg": "Value error, There is no such instance"})
	noCustomer := "/v1/customers/" + uuid.NewString() + "/identities"
	s.Want(s.ask("POST", noCustomer, object{"instance_id": instance, "channel": "sms", "external_id": "2"}), 404)
	s.Want(s.ask("GET", noCustomer, nil), 404)
	s.Want(s.ask("POST", list, object{"instance_id": instance, "channel": "sms", "external_id": strings.Repeat("é", 255)}), 201)
}

func TestAccountOnAChannelIsUnique(t *testing.T) {
	t.Parallel()
	s := newService(t)
	instance, elsewhere := s.people.Instance(), s.people.Instance()
	mine, yours := "/v1/customers/"+s.people.Customer().String()+"/identities", "/v1/customers/"+s.people.Customer().String()+"/identities"
	account := object{"instance_id": instance, "channel": "voice", "external_id": "+4930"}
	s.add(mine, account)
	taken := object{"detail": "This account on this channel of this instance is an identity already"}
	s.Fields(s.Want(s.ask("POST", mine, account), 409), taken)
	s.Fields(s.Want(s.ask("POST", yours, account), 409), taken)
	s.add(yours, object{"instance_id": instance, "channel": "sms", "external_id": "+4930"})
	s.add(yours, object{"instance_id": elsewhere, "channel": "voice", "external_id": "+4930"})
	path, _ := s.add(yours, object{"instance_id": instance, "channel": "voice", "external_id": "+4931"})
	s.Fields(s.Want(s.ask("PATCH", path, object{"external_id": "+4930"}), 409), taken)
	s.createInParallel(mine, func(int) any { return object{"instance_id": instance, "channel": "email", "external_id": "a"} })
}
