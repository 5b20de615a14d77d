package api_test

import (
	"strings"
	"testing"
)

func TestReadAndChangeAPolicy(t *testing.T) {
	t.Parallel()
	s := newService(t)
	instance := s.people.Instance()
	path := "/v1/instances/" + instance.String() + "/pin-policy"
	initial := s.Want(s.ask("GET", path, nil), 200)
	s.Fields(initial, object{"instance_id": instance.String(), "pin_applies_to": "all", "enforcement": "listed", "pin_session_ttl_minutes": 30.0,
		"pin_change_requires_proof": false, "kyc_required": false, "pin_entry": "any", "approval_known_browser": false})
	if skills, ok := initial.JSON("pin_required_skills").([]any); !ok || len(skills) != 0 {
		t.Errorf("a new policy protects %v", initial.JSON("pin_required_skills"))
	}
	s.Fields(s.Want(s.ask("PATCH", path, object{"pin_required_skills": []string{"pay*", "mail.send"}}), 200), object{
		"pin_required_skills.0": "pay*", "pin_required_skills.1": "mail.send", "pin_applies_to": "all", "pin_session_ttl_minutes": 30.0})
	s.Fields(s.Want(s.ask("PATCH", path, object{"pin_applies_to": "owner", "pin_session_ttl_minutes": 1440}), 200), object{
		"pin_required_skills.0": "pay*", "pin_applies_to": "owner", "pin_session_ttl_minutes": 1440.0})
	s.Fields(s.Want(s.ask("PATCH", path, object{"kyc_required": true}), 200), object{"kyc_required": true, "pin_applies_to": "owner"})
	s.Fields(s.Want(s.ask("PATCH", path, object{}), 200), object{"kyc_required": true, "enforcement": "listed"})
	s.Fields(s.Want(s.ask("PATCH", path, object{"enforcement": "strict"}), 200), object{"enforcement": "strict", "pin_required_skills.0": "pay*"})
	s.Fields(s.Want(s.ask("PATCH", path, object{"pin_session_ttl_minutes": 5}), 200), object{"enforcement": "strict"})
	var audited string
	s.people.Get(&audited, `select details->>'enforcement' from audit where action = 'policy.changed' order by id desc limit 1`)
	if audited != "strict" {
		t.Errorf("the audit trail has the enforcement %q", audited)
	}
	s.Fields(s.Want(s.ask("PATCH", path, object{"pin_entry": "page", "approval_known_browser": true}), 200), object{"pin_entry": "page", "approval_known_browser": true, "enforcement": "strict"})
	s.Fields(s.Want(s.ask("GET", "/v1/audit?action=policy.changed&limit=1", nil), 200), object{"items.0.details.pin_entry": "page", "items.0.details.approval_known_browser": true})
	s.Fields(s.Want(s.ask("PATCH", path, object{"pin_entry": "any"}), 200), object{"pin_entry": "any", "approval_known_browser": true})
	s.Want(s.ask("PATCH", path, object{"pin_required_skills": []string{}}), 200)
	after := s.Want(s.ask("GET", path, nil), 200)
	if skills, _ := after.JSON("pin_required_skills").([]any); len(skills) != 0 || after.JSON("pin_applies_to") != "owner" {
		t.Errorf("after an empty list: %s", after.Body)
	}
}

func TestInvalidPoliciesAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	path := "/v1/instances/" + s.people.Instance().String() + "/pin-policy"
	for body, kind := range map[string]string{
		`{"pin_applies_to": "nobody"}`:                                      "enum",
		`{"pin_applies_to": "ALL"}`:                                         "enum",
		`{"pin_applies_to": 1}`:                                             "enum",
		`{"enforcement": "off"}`:                                            "enum",
		`{"enforcement": "Strict"}`:                                         "enum",
		`{"enforcement": null}`:                                             "enum",
		`{"enforcement": true}`:                                             "enum",
		`{"pin_session_ttl_minutes": 0}`:                                    "greater_than_equal",
		`{"pin_session_ttl_minutes": -1}`:                                   "greater_than_equal",
		`{"pin_session_ttl_minutes": 1441}`:                                 "less_than_equal",
		`{"pin_session_ttl_minutes": 1e300}`:                                "less_than_equal",
		`{"pin_session_ttl_minutes": 1.5}`:                                  "int_from_float",
		`{"pin_session_ttl_minutes": "30"}`:                                 "int_parsing",
		`{"pin_session_ttl_minutes": true}`:                                 "int_type",
		`{"pin_session_ttl_minutes": null}`:                                 "int_type",
		`{"pin_required_skills": "pay"}`:                                    "list_type",
		`{"pin_required_skills": {"a": 1}}`:                                 "list_type",
		`{"pin_required_skills": [1]}`:                                      "string_type",
		`{"pin_required_skills": [null]}`:                                   "string_type",
		`{"pin_required_skills": [""]}`:                                     "string_too_short",
		`{"pin_required_skills": ["p*y"]}`:                                  "string_pattern_mismatch",
		`{"pin_required_skills": ["a\u0000b"]}`:                             "value_error",
		`{"pin_required_skills": ["` + strings.Repeat("x", 256) + `"]}`:     "string_too_long",
		`{"pin_required_skills": [` + strings.Repeat(`"x",`, 500) + `"x"]}`: "too_long",
		`{"pin_change_requires_proof": "yes"}`:                              "bool_parsing",
		`{"pin_change_requires_proof": 1}`:                                  "bool_type",
		`{"kyc_required": "no"}`:                                            "bool_parsing",
		`{"pin_entry": "chat"}`:                                             "enum",
		`{"pin_entry": null}`:                                               "enum",
		`{"pin_entry": true}`:                                               "enum",
		`{"approval_known_browser": "yes"}`:                                 "bool_parsing",
		`{"approval_known_browser": null}`:                                  "bool_type",
		`{"kyc_required": null}`:                                            "bool_type",
		`[]`:                                                                "model_attributes_type",
		``:                                                                  "missing",
		`{"pin_applies_to": "owner", "pin_session_ttl_minutes": 0}`:         "greater_than_equal",
	} {
		a := s.ask("PATCH", path, body)
		if a.Status != 422 || a.JSON("detail.0.type") != kind {
			t.Errorf("%.60s: %d %s, want %s", body, a.Status, a.Body, kind)
		}
	}
	// A change with one valid and one invalid field changes nothing.
	s.Fields(s.Want(s.ask("GET", path, nil), 200), object{"pin_applies_to": "all", "pin_session_ttl_minutes": 30.0})
}

func TestOwnerOfTheInstanceCanReadThePolicy(t *testing.T) {
	t.Parallel()
	s := newService(t)
	instance, owner, other := s.people.Instance(), s.people.Customer(), s.people.Customer()
	s.people.Exec(`update instances set owner_customer_id = $1 where id = $2`, owner, instance)
	email := func(customer any) (address string) {
		s.people.Get(&address, `select email from customers where id = $1`, customer)
		return address
	}
	path := "/v1/instances/" + instance.String() + "/pin-policy"
	owners, _ := s.signIn(email(owner), "user")
	others, _ := s.signIn(email(other), "user")
	admins, _ := s.signIn("admin@example.com", "admin")
	s.Want(s.as(owners, "GET", path, nil), 200)
	s.Want(s.as(others, "GET", path, nil), 404)
	s.Want(s.as(admins, "GET", path, nil), 200)
	s.Want(s.as(owners, "PATCH", path, object{}), 403)
	s.Want(s.as(others, "PATCH", path, object{}), 403)
	s.Want(s.as(admins, "PATCH", path, object{}), 200)
}
