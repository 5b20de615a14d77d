package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// send asks with fields that are JSON texts, as they are.
func (s *service) send(fields string) webtest.Answer {
	s.t.Helper()
	return s.Do(webtest.Request{Method: "POST", Path: s.at("/approvals"), Header: s.bearer(), Body: `{"customer_id":"` + s.customer.String() + `",` + fields + `}`})
}

// nested returns an object with n levels.
func nested(n int) string { return strings.Repeat(`{"a":`, n-1) + `{}` + strings.Repeat(`}`, n-1) }

// ofSize returns an object whose canonical form has n bytes.
func ofSize(n int) string { return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}` }

func TestBadRequestsForApprovals(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	s.setCustomerPIN()
	s.register("strict", "approval", ", arguments", `, '{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}},"additionalProperties":false}'`)
	s.register("strict-session", "session", ", arguments", `, '{"type":"object","required":["n"]}'`)
	s.register("heard", "approval", ", audience", ", 'bank'")
	other := s.people.Customer()
	otherIdentity := s.people.Identity(other, s.instance)
	for _, rule := range []struct {
		name, fields string
		status       int
		loc          string // of the first issue, or the text of detail
	}{
		{"16384 canonical bytes", `"skill":"Pay","arguments":` + ofSize(16384), 201, ""},
		{"16385 canonical bytes", `"skill":"Pay","arguments":` + ofSize(16385), 422, "body arguments"},
		{"16384 canonical bytes, sent as escapes", `"skill":"Pay","arguments":{"a":"` + strings.Repeat(`\u0078`, 16376) + `","` + `":""}`, 422, "body arguments"},
		{"128 KiB", `"skill":"Pay","arguments":{"a":"` + strings.Repeat("x", 128<<10) + `"}`, 413, "Request body too large"},
		{"32 levels", `"skill":"Pay","arguments":` + nested(32), 201, ""},
		{"33 levels", `"skill":"Pay","arguments":` + nested(33), 422, "body arguments"},
		{"a session without the arguments that the schema needs", `"skill":"strict-session"`, 201, ""},
		{"a session with arguments outside the schema", `"skill":"strict-session","arguments":{"m":1}`, 422, "body arguments n"},
		{"9999 levels", `"skill":"Pay","arguments":` + nested(9999), 422, "body arguments"},
		{"20000 levels", `"skill":"Pay","arguments":` + nested(20000), 422, "body"},
		{"a repeated key", `"skill":"Pay","arguments":{"b":{"a":1,"a":2}}`, 422, "body arguments b a"},
		{"a key that is repeated with an escape", `"skill":"Pay","arguments":{"a":1,"\u0061":2}`, 422, "body arguments a"},
		{"repeated arguments", `"skill":"Pay","arguments":{"a":1},"arguments":{"a":2}`, 422, "body arguments"},
		{"a repeated skill", `"skill":"open","skill":"Pay"`, 422, "body skill"},
		{"NaN", `"skill":"Pay","arguments":{"a":NaN}`, 422, "body"},
		{"Infinity", `"skill":"Pay","arguments":{"a":Infinity}`, 422, "body"},
		{"a number that rounds", `"skill":"Pay","arguments":{"a":9007199254740993}`, 422, "body arguments a"},
		{"a number that is too small", `"skill":"Pay","arguments":{"list":[0,1e-400]}`, 422, "body arguments list 1"},
		{"a number that is too large", `"skill":"Pay","arguments":{"a":1e400}`, 422, "body arguments a"},
		{"negative zero", `"skill":"Pay","arguments":{"a":-0}`, 422, "body arguments a"},
		{"half of a surrogate pair", `"skill":"Pay","arguments":{"a":"\ud800"}`, 422, "body arguments a"},
		{"NUL", `"skill":"Pay","arguments":{"a":"\u0000"}`, 422, "body arguments a"},
		{"a key with NUL", `"skill":"Pay","arguments":{"\u0000":1}`, 422, "body arguments (name not shown)"},
		{"broken UTF-8", `"skill":"Pay","arguments":{"a":"` + "\xff" + `"}`, 422, "body"},
		{"a name that is not shown", `"skill":"Pay","arguments":{"83174629":{"a":-0}}`, 422, "body arguments (name not shown) a"},
		{"a list", `"skill":"Pay","arguments":[]`, 422, "body arguments"},
		{"a text", `"skill":"Pay","arguments":"{}"`, 422, "body arguments"},
		{"a number", `"skill":"Pay","arguments":1`, 422, "body arguments"},
		{"null", `"skill":"Pay","arguments":null`, 201, ""},
		{"outside the schema", `"skill":"STRICT","arguments":{"n":1.5}`, 422, "body arguments n"},
		{"a field that the schema does not have", `"skill":"strict","arguments":{"n":1,"more":2}`, 422, "body arguments more"},
		{"no arguments, and the schema needs one", `"skill":"strict"`, 422, "body arguments n"},
		{"1.0 is an integer", `"skill":"strict","arguments":{"n":1.0}`, 201, ""},
		{"no skill", `"note":"x"`, 422, "body skill"},
		{"an empty skill", `"skill":""`, 422, "body skill"},
		{"a skill of 256 characters", `"skill":"` + strings.Repeat("é", 256) + `"`, 422, "body skill"},
		{"a skill of another type", `"skill":7`, 422, "body skill"},
		{"another audience than the registered one", `"skill":"heard","audience":"Bank"`, 422, "body audience"},
		{"an empty audience", `"skill":"Pay","audience":""`, 422, "body audience"},
		{"an audience of 256 characters", `"skill":"Pay","audience":"` + strings.Repeat("é", 256) + `"`, 422, "body audience"},
		{"the registered audience", `"skill":"heard","audience":"bank","arguments":{"n":1}`, 201, ""},
		{"a note of 500 characters", `"skill":"Pay","note":"` + strings.Repeat("é", 500) + `","arguments":{"n":2}`, 201, ""},
		{"a note of 501 characters", `"skill":"Pay","note":"` + strings.Repeat("é", 501) + `"`, 422, "body note"},
		{"29 seconds", `"skill":"Pay","expires_in":29`, 422, "body expires_in"},
		{"30 seconds", `"skill":"Pay","expires_in":30,"arguments":{"n":3}`, 201, ""},
		{"3600 seconds", `"skill":"Pay","expires_in":3600,"arguments":{"n":4}`, 201, ""},
		{"3601 seconds", `"skill":"Pay","expires_in":3601`, 422, "body expires_in"},
		{"seconds as a text", `"skill":"Pay","expires_in":"600"`, 422, "body expires_in"},
		{"half a second", `"skill":"Pay","expires_in":60.5`, 422, "body expires_in"},
		{"an unknown field", `"skill":"Pay","Arguments":{}`, 422, "body Arguments"},
		{"an identity of another customer", `"skill":"Pay","identity_id":"` + otherIdentity.String() + `"`, 404, "Customer or identity not found in this instance"},
		{"an unknown identity", `"skill":"Pay","identity_id":"` + uuid.NewString() + `"`, 404, "Customer or identity not found in this instance"},
		{"an identity that is no UUID", `"skill":"Pay","identity_id":"x"`, 422, "body identity_id"},
	} {
		a := s.send(rule.fields)
		var at []string
		for i := range 9 {
			if step, ok := a.JSON("detail.0.loc." + string(rune('0'+i))).(string); ok {
				at = append(at, step)
			}
		}
		got := strings.Join(at, " ")
		if detail, ok := a.JSON("detail").(string); ok {
			got = detail
		}
		if a.Status != rule.status || got != rule.loc {
			t.Errorf("%s: %d %q, want %d %q: %.300s", rule.name, a.Status, got, rule.status, rule.loc, a.Body)
		}
		if strings.Contains(a.Body, "83174629") || strings.Contains(a.Body, "9007199254740993") {
			t.Errorf("%s: the answer repeats a value: %s", rule.name, a.Body)
		}
		s.people.Exec(`update approvals set status = 'cancelled' where status = 'pending'`)
	}
	for name, body := range map[string]string{
		"no subject": `{"skill":"Pay"}`, "no subject, null": `{"skill":"Pay","customer_id":null,"identity_id":null}`,
	} {
		a := s.Want(s.Do(webtest.Request{Method: "POST", Path: s.at("/approvals"), Header: s.bearer(), Body: body}), 422)
		if !strings.Contains(a.Body, "customer_id or identity_id is needed") {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	foreign := s.people.Customer() // not at the instance
	s.Want(s.post("/approvals", object{"customer_id": foreign, "skill": "Pay"}), 404)
	for _, wait := range []string{"61", "-1", "x", "1.5", "", "1&wait=2"} {
		s.Fields(s.Want(s.read(uuid.NewString(), "?wait="+wait), 422), object{"detail.0.loc.1": "wait"})
	}
	s.Fields(s.Want(s.read("x", ""), 422), object{"detail.0.loc.1": "approval_id"})
	for _, identity := range []bool{true, false} { // one id is enough
		body := object{"skill": "Pay", "arguments": object{"one": identity}, "customer_id": s.customer}
		if identity {
			delete(body, "customer_id")
			body["identity_id"] = s.identity
		}
		s.Want(s.post("/approvals", body), 201)
	}
}

func TestNothingIsNeeded(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	s.register("Look", "open", "", "")
	s.register("Talk", "session", "", "")
	session := s.verify(right).JSON("session_token").(string)
	with := func(session string, body object) webtest.Answer {
		header := s.bearer()
		header["X-Pin-Session"] = session
		return s.Do(webtest.Request{Method: "POST", Path: s.at("/approvals"), Header: header, Body: s.request(body)})
	}
	s.Fields(s.Want(s.ask(object{"skill": "look"}), 200), object{"status": "not_required", "reason": "skill_not_protected", "id": nil})
	s.Fields(s.Want(s.ask(object{"skill": "other"}), 200), object{"status": "not_required", "reason": "skill_not_protected"})
	s.Fields(s.Want(with(session, object{"skill": "talk"}), 200), object{"status": "not_required", "reason": "session_active"})
	s.Fields(s.Want(with("cst_nonsense", object{"skill": "talk"}), 201), object{"status": "pending", "grants": "session", "skill": "Talk", "summary": "Talk"})
	s.Fields(s.Want(with(session, object{"skill": "pay"}), 201), object{"grants": "action"})
	var kinds string
	s.people.Get(&kinds, `select string_agg(kind, ' ' order by kind) from approvals`)
	if kinds != "action session" {
		t.Errorf("the approvals are %s", kinds)
	}
}

func TestPINThatCannotApprove(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	s.people.Exec(`update pin_holders set locked_until = date_trunc('second', now()) + interval '10 minutes'`)
	a := s.Want(s.ask(nil), 409)
	s.Fields(a, object{"code": "pin_locked", "detail": "The PIN is locked"})
	if until, _ := a.JSON("locked_until").(string); until == "" || a.Header.Get("Retry-After") == "" || a.Header.Get("X-Error-Code") != "pin_locked" {
		t.Errorf("%v %s", a.Header, a.Body)
	}
	s.people.Exec(`update pin_holders set locked_until = null, deactivated_by = 50`)
	s.Fields(s.Want(s.ask(nil), 409), object{"code": "pin_inactive", "locked_until": nil})
	s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at("/lookup/identity"), Header: s.bearer()}), 405)
	s.people.Exec(`delete from pin_holders`)
	a = s.Want(s.ask(nil), 409)
	s.Fields(a, object{"code": "pin_not_set"})
	if a.Header.Get("Retry-After") != "" {
		t.Error("waiting does not help")
	}
	s.Fields(s.Want(s.ask(object{"skill": "other"}), 200), object{"status": "not_required", "reason": "no_active_pin"})
	s.people.Exec(`update instances set enforcement = 'strict'`)
	s.Fields(s.Want(s.ask(object{"skill": "other"}), 409), object{"code": "pin_not_set"})
	s.wantTrail()
}

func TestLimitsOfAsking(t *testing.T) {
	t.Parallel()
	s := newPayingService(t)
	ids := []string{s.asked(), s.asked(), s.asked()}
	refused := func(body object, status int, code string) {
		t.Helper()
		a := s.Want(s.ask(body), status)
		s.Fields(a, object{"code": code})
		if a.Header.Get("Retry-After") == "" || a.Header.Get("X-Error-Code") != code {
			t.Errorf("%s: the headers are %v", code, a.Header)
		}
	}
	refused(nil, 409, "too_many_pending")
	s.Want(s.cancel(ids[0]), 204)
	id, _ := s.Want(s.ask(object{"arguments": object{"n": 1}}), 201).JSON("id").(string)
	s.decide(id, "denied")
	refused(object{"arguments": object{"n": 1}}, 409, "denied_recently")
	s.decide(ids[1], "denied")
	refused(object{"arguments": object{"n": 2}}, 409, "skill_denied")
	s.people.Exec(`delete from approvals`)
	for range 30 {
		s.Want(s.cancel(s.asked()), 204)
	}
	refused(nil, 429, "approvals_rate_limited")
}

func TestAskWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	redis := storetest.OwnRedis(t)
	s := newServiceOn(t, redis.URL)
	s.setPIN()
	s.register("Pay", "approval", "", "")
	redis.Stop()
	id := s.asked()
	s.Fields(s.Want(s.read(id, ""), 200), object{"status": "pending"})
	s.Want(s.cancel(id), 204)
}
