package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// check calls check-required, with a session and a skill if they are not empty.
func (s *service) check(session, skill string) webtest.Answer {
	s.t.Helper()
	path := "/pin/check-required?customer_id=" + s.customer.String() + "&identity_id=" + s.identity.String()
	if skill != "" {
		path += "&skill=" + skill
	}
	header := s.bearer()
	header["X-Pin-Session"] = session
	return s.Want(s.Do(webtest.Request{Method: "POST", Path: s.at(path), Header: header}), 200)
}

func TestCheckRequired(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.Fields(s.check("", ""), map[string]any{"required": false, "reason": "no_active_pin", "pin_set": false, "pin_holder": nil,
		"role": "customer", "skill_protected": nil, "is_active": false})
	s.setPIN()
	s.Fields(s.check("", ""), map[string]any{"required": true, "reason": "pin_needed", "pin_set": true, "is_active": true})
	s.Fields(s.check("", "pay"), map[string]any{"required": false, "reason": "skill_not_protected", "skill_protected": false})
	s.people.Exec(`update instances set pin_required_skills = '{pay*}', pin_applies_to = 'owner'`)
	s.Fields(s.check("", "pay"), map[string]any{"required": false, "reason": "role_exempt", "skill_protected": true})
	s.people.Exec(`update instances set owner_customer_id = $1`, s.customer)
	s.Fields(s.check("", "pay.all"), map[string]any{"required": true, "role": "owner"})
	for _, malformed := range []string{"nonsense", "cst_", "cst_0", strings.Repeat("x", 500), s.key.Reveal()} {
		s.Fields(s.check(malformed, "pay"), map[string]any{"required": true, "session_active": false})
	}
}

func TestCheckRequiredUnderStrictEnforcement(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.people.Exec(`update instances set enforcement = 'strict', pin_required_skills = '{mail.*}'`)
	for _, skill := range []string{"", "pay", "mail.send"} {
		s.Fields(s.check("", skill), map[string]any{"required": true, "reason": "no_active_pin", "pin_set": false, "session_active": false})
	}
	s.setPIN()
	s.Fields(s.check("", "pay"), map[string]any{"required": true, "reason": "pin_needed", "skill_protected": true})
	session, _ := s.verify(right).JSON("session_token").(string)
	s.Fields(s.check(session, "pay"), map[string]any{"required": false, "reason": "session_active", "skill_protected": true})
	s.people.Exec(`update instances set pin_applies_to = 'owner'`)
	s.Fields(s.check("", "pay"), map[string]any{"required": false, "reason": "role_exempt", "skill_protected": true})
}

func TestCheckRequiredForRegisteredSkills(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.people.Exec(`insert into skills (instance_id, skill, mode) select $1, * from (values ('weather', 'open'), ('Mail.Send', 'session'), ('pay.transfer', 'approval')) v`, s.instance)
	s.people.Exec(`insert into skills (instance_id, skill, mode) values ($1, 'elsewhere', 'approval')`, s.people.Instance())
	for _, enforcement := range []string{"listed", "strict"} {
		s.people.Exec(`update instances set enforcement = $1, pin_required_skills = '{weather}'`, enforcement)
		s.Fields(s.check("", "weather"), map[string]any{"required": false, "skill_protected": false})
		s.Fields(s.check("", "mail.send"), map[string]any{"required": true, "reason": "no_active_pin", "skill_protected": true})
		s.Fields(s.check("", "PAY.transfer"), map[string]any{"required": true, "reason": "approval_needed", "skill_protected": true, "pin_set": false})
	}
	s.people.Exec(`update instances set enforcement = 'listed', pin_required_skills = '{weather}'`)
	s.setPIN()
	session, _ := s.verify(right).JSON("session_token").(string)
	s.Fields(s.check(session, "weather"), map[string]any{"required": false, "reason": "skill_not_protected"})
	s.Fields(s.check("", "MAIL.send"), map[string]any{"required": true, "reason": "pin_needed"})
	s.Fields(s.check(session, "mail.SEND"), map[string]any{"required": false, "reason": "session_active"})
	s.Fields(s.check(session, "pay.transfer"), map[string]any{"required": true, "reason": "approval_needed", "session_active": true})
	s.Fields(s.check("", "elsewhere"), map[string]any{"required": false, "reason": "skill_not_protected", "skill_protected": false})
	s.Fields(s.check("", "pay."), map[string]any{"required": false, "reason": "skill_not_protected"})
	s.people.Exec(`update instances set pin_applies_to = 'owner'`)
	s.Fields(s.check("", "mail.send"), map[string]any{"required": false, "reason": "role_exempt"})
	s.Fields(s.check("", "pay.transfer"), map[string]any{"required": true, "reason": "approval_needed", "role": "customer"})
	for range 5 {
		s.verify(wrong)
	}
	s.Fields(s.check(session, "pay.transfer"), map[string]any{"required": true, "reason": "approval_needed", "is_locked": true})
}

func TestSkillsAreComparedWithoutRegardToCase(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	s.people.Exec(`update instances set pin_required_skills = '{payments.*,Delete_Account}'`)
	for _, skill := range []string{"Payments.transfer", "PAYMENTS.TRANSFER", "payments.transfer", "delete_account"} {
		s.Fields(s.check("", skill), map[string]any{"required": true, "skill_protected": true})
	}
	s.Fields(s.check("", "Pay.transfer"), map[string]any{"required": false, "skill_protected": false})
}

func TestInvalidQueryParametersAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	id := s.customer.String()
	for _, rule := range []struct {
		query string
		kind  any
		loc   any
	}{
		{"", "missing", "customer_id"},
		{"customer_id=", "uuid_parsing", "customer_id"},
		{"customer_id=1", "uuid_parsing", "customer_id"},
		{"customer_id=" + id + "&customer_id=" + id, "value_error", "customer_id"},
		{"customer_id=" + id + "&identity_id=", "uuid_parsing", "identity_id"},
		{"customer_id=" + id + "&skill=", "string_too_short", "skill"},
		{"customer_id=" + id + "&skill=" + strings.Repeat("s", 256), "string_too_long", "skill"},
		{"customer_id=" + id + "&skill=%00", "value_error", "skill"},
		{"customer_id=" + id + "&skill=%ff", "value_error", "skill"},
	} {
		a := s.post("/pin/check-required?"+rule.query, nil)
		if a.Status != 422 || a.JSON("detail.0.type") != rule.kind || a.JSON("detail.0.loc.0") != "query" || a.JSON("detail.0.loc.1") != rule.loc {
			t.Errorf("?%s: %d %s", rule.query, a.Status, a.Body)
		}
	}
	s.Fields(s.Want(s.post("/pin/check-required?customer_id=%zz", nil), 422), map[string]any{"detail.0.loc.0": "query"})
	s.Want(s.post("/pin/check-required?customer_id="+uuid.NewString(), nil), 404)
	s.Want(s.post("/pin/check-required?customer_id="+id+"&identity_id="+uuid.NewString(), nil), 404)
}
