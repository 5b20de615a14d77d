package api_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func TestWeakPINsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, weak := range []string{"1234", "9012", "0987", "1122", "1111", "1987", "123123", "123450", "121314", "010203", "311299", "19991231"} {
		a := s.Want(s.post(s.identityPath(), map[string]any{"pin": weak}), 422)
		s.Fields(a, map[string]any{"detail.0.type": "value_error", "detail.0.loc.1": "pin", "detail.0.msg": "Value error, The PIN is too easy to guess"})
	}
	s.Fields(s.verify(right), map[string]any{"error": "pin_not_set"})
}

func TestPolicyCanRequireTheCurrentPIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.people.Exec(`update instances set pin_change_requires_proof = true`)
	s.setPIN() // no PIN applies yet, so no proof is needed
	s.Want(s.post(s.identityPath(), map[string]any{"pin": other}), 403)
	s.Want(s.post(s.identityPath(), map[string]any{"pin": other, "current_pin": wrong}), 403)
	s.Fields(s.verify(wrong), map[string]any{"remaining_attempts": 3.0}) // the proof was charged
	s.Want(s.post(s.identityPath(), map[string]any{"pin": other, "current_pin": right}), 200)

	session, _ := s.verify(other).JSON("session_token").(string)
	remove := webtest.Request{Method: "DELETE", Path: s.at(s.identityPath()), Header: s.bearer()}
	s.Want(s.Do(remove), 403)
	remove.Header["X-Pin-Session"] = session
	s.Want(s.Do(remove), 204)

	s.setPIN()
	for range 5 {
		s.Want(s.post(s.identityPath(), map[string]any{"pin": other, "current_pin": wrong}), 403)
	}
	s.Want(s.post(s.identityPath(), map[string]any{"pin": other, "current_pin": right}), 409)
}

func TestProofThatIsSentIsCheckedWithoutAPolicy(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	remove := webtest.Request{Method: "DELETE", Path: s.at(s.identityPath()), Header: s.bearer(), Body: map[string]any{"current_pin": wrong}}
	s.Want(s.post(s.identityPath(), map[string]any{"pin": other, "current_pin": wrong}), 403)
	s.Want(s.Do(remove), 403)
	s.Want(s.post(s.identityPath(), map[string]any{"pin": "1234", "current_pin": wrong}), 422) // a weak PIN costs no attempt
	s.Fields(s.verify(wrong), map[string]any{"remaining_attempts": 2.0})                       // both proofs were charged
	session, _ := s.verify(right).JSON("session_token").(string)

	for _, header := range []string{"x", session + ", " + session, session + "x"} {
		set := webtest.Request{Method: "POST", Path: s.at(s.identityPath()), Header: s.bearer(), Body: map[string]any{"pin": other}}
		set.Header["X-Pin-Session"] = header
		s.Fields(s.Want(s.Do(set), 403), map[string]any{"detail": "The current PIN or a live PIN session is needed for this change"})
	}
	s.Fields(s.verify(right), map[string]any{"verified": true}) // nothing was changed
	remove.Body, remove.Header["X-Pin-Session"] = nil, session
	s.Want(s.Do(remove), 204)
	s.Want(s.Do(remove), 204) // no PIN applies, so the ended session is not needed
}

func TestLockedCustomerPINCannotBeReplacedByAnIdentitysFirstPIN(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.people.Exec(`insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at, locked_until)
		select id, id, 'x', gen_random_uuid(), now(), now() + interval '1 hour' from customers`)
	refused := s.Want(s.post(s.identityPath(), map[string]any{"pin": right}), 409)
	s.Fields(refused, map[string]any{"detail": "The PIN is locked or deactivated"})
	s.Fields(s.check("", ""), map[string]any{"is_locked": true})
	s.people.Exec(`update pin_holders set locked_until = null, charged = 50, deactivated_by = 50`)
	s.Want(s.post(s.identityPath(), map[string]any{"pin": right}), 409)
	s.Fields(s.verify(right), map[string]any{"error": "pin_inactive"})
	s.people.Exec(`update pin_holders set deactivated_by = null`)
	s.setPIN()
}

func TestPolicyCanRequireAVerifiedIdentity(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.people.Exec(`update instances set kyc_required = true`)
	refused := s.Want(s.post(s.identityPath(), map[string]any{"pin": right}), 409)
	if detail, _ := refused.JSON("detail").(string); !strings.Contains(detail, "kyc_required") {
		t.Errorf("got %s", refused.Body)
	}
	s.Fields(s.check("", ""), map[string]any{"pin_set": false})
	s.people.Exec(`insert into users (email, password_hash, email_confirmed_at) select email, 'x', now() from customers`)
	s.people.Exec(`insert into kyc_events (provider, event_id, user_id, type, status, occurred_at) select 'sumsub', '1', id, 'applicantReviewed', 'approved', now() from users`)
	s.setPIN()
	s.people.Exec(`update kyc_events set status = 'rejected'`)
	s.Want(s.post(s.identityPath(), map[string]any{"pin": other}), 409)
	s.Fields(s.verify(right), map[string]any{"verified": true})
}

func TestInstanceThatTakesPINsOnlyOnAPage(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	session, _ := s.verify(right).JSON("session_token").(string)
	s.verify(wrong)
	budget := func() (state string) {
		s.people.Get(&state, `select concat_ws(' ', h.charged, h.forgiven, h.generation, (select count(*) from attempts)) from pin_holders h`)
		return state
	}
	before := budget()
	s.people.Exec(`update instances set pin_entry = 'page' where id = $1`, s.instance)

	verify := func(candidate string) webtest.Answer {
		return s.post("/pin/verify", map[string]any{"pin": candidate, "identity_id": s.identity})
	}
	requests := map[string]webtest.Answer{
		"verify right":                verify(right),
		"verify wrong":                verify(wrong),
		"set":                         s.post(s.identityPath(), map[string]any{"pin": other}),
		"set a weak PIN":              s.post(s.identityPath(), map[string]any{"pin": "1234"}),
		"set with the current PIN":    s.post(s.identityPath(), map[string]any{"pin": other, "current_pin": right}),
		"set with a wrong PIN":        s.post(s.identityPath(), map[string]any{"pin": other, "current_pin": wrong}),
		"remove":                      s.Do(webtest.Request{Method: "DELETE", Path: s.at(s.identityPath()), Header: s.bearer()}),
		"remove with the current PIN": s.Do(webtest.Request{Method: "DELETE", Path: s.at(s.identityPath()), Header: s.bearer(), Body: map[string]any{"current_pin": right}}),
		"set with a session":          s.withSession("POST", session, map[string]any{"pin": other}),
		"remove with a session":       s.withSession("DELETE", session, nil),
		"verify the customer":         s.post("/pin/verify", map[string]any{"pin": right, "customer_id": s.customer}),
	}
	for name, a := range requests {
		if a.Status != 403 || a.Header.Get("X-Error-Code") != "pin_entry_page_only" {
			t.Errorf("%s: %d %s %s", name, a.Status, a.Header.Get("X-Error-Code"), a.Body)
		}
	}
	if after := budget(); after != before {
		t.Errorf("the budget and the PIN were %s, and are %s", before, after)
	}
	s.Want(s.post("/pin/verify", map[string]any{"pin": "12", "identity_id": s.identity}), 422)
	s.Want(s.post("/pin/verify", map[string]any{"pin": right, "identity_id": s.instance}), 404)

	s.Fields(s.check(session, ""), map[string]any{"required": false, "reason": "session_active"})
	s.Fields(s.check("", ""), map[string]any{"required": true, "reason": "pin_needed"})
	s.Fields(s.post("/pin/sessions/introspect", map[string]any{"session_token": session}), map[string]any{"active": true})

	s.people.Exec(`update instances set pin_entry = 'any' where id = $1`, s.instance)
	s.Fields(s.verify(right), map[string]any{"verified": true})
}

// withSession changes the identity's PIN with a session as the proof.
func (s *service) withSession(method, session string, body any) webtest.Answer {
	header := s.bearer()
	header["X-Pin-Session"] = session
	return s.Do(webtest.Request{Method: method, Path: s.at(s.identityPath()), Header: header, Body: body})
}
