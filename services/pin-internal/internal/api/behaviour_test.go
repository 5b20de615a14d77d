package api_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
)

func TestAPINThroughItsWholeLife(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.Fields(s.verify(right), map[string]any{"verified": false, "error": "pin_not_set", "remaining_attempts": nil, "session_token": nil})

	set := s.Want(s.post(s.identityPath(), map[string]any{"pin": right}), 200)
	s.Fields(set, map[string]any{"has_pin": true, "is_active": true, "is_locked": false, "locked_until": nil})

	verified := s.verify(right)
	s.Fields(verified, map[string]any{"verified": true, "error": nil, "session_ttl_minutes": 30.0, "remaining_attempts": 5.0})
	session, _ := verified.JSON("session_token").(string)
	if !strings.HasPrefix(session, "cst_") {
		t.Fatalf("session_token %q", session)
	}
	s.Fields(s.check(session, ""), map[string]any{"required": false, "reason": "session_active", "session_active": true, "pin_holder": "identity"})
	introspected := s.post("/pin/sessions/introspect", map[string]any{"session_token": session})
	s.Fields(introspected, map[string]any{"active": true, "customer_id": s.customer.String(), "identity_id": s.identity.String()})

	s.Fields(s.verify(wrong), map[string]any{"verified": false, "error": "invalid_pin", "remaining_attempts": 4.0})
	for range 3 {
		s.verify(wrong)
	}
	fifth := s.verify(wrong)
	s.Fields(fifth, map[string]any{"error": "invalid_pin", "remaining_attempts": 0.0})
	if fifth.JSON("locked_until") == nil || fifth.Header.Get("Retry-After") == "" {
		t.Errorf("the lock is not told: %s", fifth.Body)
	}
	s.Fields(s.verify(right), map[string]any{"verified": false, "error": "pin_locked", "remaining_attempts": 0.0})
	s.Fields(s.check(session, ""), map[string]any{"required": true, "reason": "pin_needed", "is_locked": true, "session_active": false})
	s.Fields(s.post("/pin/sessions/introspect", map[string]any{"session_token": session}), map[string]any{"active": false})
	s.Want(s.post(s.identityPath(), map[string]any{"pin": other}), 409)
	s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at(s.identityPath()), Header: s.bearer()}), 409)
}

// check asks whether a PIN is needed, with a session and for a skill when they are given.
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

func TestASessionIsBoundToItsInstance(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	session := s.verify(right).JSON("session_token")
	mine := s.instance
	elsewhere := s.people.Instance()
	s.people.Identity(s.customer, elsewhere)
	s.instance, s.key = elsewhere, s.people.ProxyKey(elsewhere)
	s.Fields(s.post("/pin/sessions/introspect", map[string]any{"session_token": session}), map[string]any{"active": false})
	s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at("/pin/sessions"), Header: s.bearer(), Body: map[string]any{"session_token": session}}), 204)
	s.instance, s.key = mine, s.people.ProxyKey(mine)
	body := map[string]any{"session_token": session}
	s.Fields(s.post("/pin/sessions/introspect", body), map[string]any{"active": true})
	for range 2 {
		s.Want(s.Do(webtest.Request{Method: "DELETE", Path: s.at("/pin/sessions"), Header: s.bearer(), Body: body}), 204)
		s.Fields(s.post("/pin/sessions/introspect", body), map[string]any{"active": false})
	}
}

func TestAPolicyMayDemandProof(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.people.Exec(`update instances set pin_change_requires_proof = true`)
	s.setPIN() // no PIN applies yet: nothing to prove
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

func TestAPolicyMayDemandAVerifiedIdentity(t *testing.T) {
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

func TestLookup(t *testing.T) {
	t.Parallel()
	s := newService(t)
	var externalID, email string
	s.people.Get(&externalID, `select external_id from identities`)
	s.people.Get(&email, `select email from customers`)
	look := func(query string) webtest.Answer {
		return s.Do(webtest.Request{Method: "GET", Path: s.at("/lookup/identity?" + query), Header: s.bearer()})
	}
	s.Fields(s.Want(look("channel=telegram&external_id="+externalID), 200), map[string]any{"identity_id": s.identity.String(),
		"customer_id": s.customer.String(), "customer_email": email, "role_override": nil, "verified": false, "display_name": nil})
	s.Want(look("channel=whatsapp&external_id="+externalID), 404)
	s.Want(look("channel=telegram&external_id=nobody"), 404)
	s.Want(look("channel=telegram&external_id=%27%20or%201=1--"), 404)
}

func TestUpperCaseIDsAreTheSameHolder(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.setPIN()
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			id, path := s.identity.String(), s.at("/pin/verify")
			if i%2 == 0 {
				id, path = strings.ToUpper(id), strings.Replace(path, s.instance.String(), strings.ToUpper(s.instance.String()), 1)
			}
			if _, err := s.Try(webtest.Request{Method: "POST", Path: path, Header: s.bearer(), Body: map[string]any{"pin": wrong, "identity_id": id}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var charged int
	s.people.Get(&charged, `select charged from pin_holders`)
	if charged != 5 {
		t.Errorf("%d charged, want 5", charged)
	}
}

func TestWithoutRedis(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	s := newServiceOn(t, server.URL)
	s.setPIN()
	session, _ := s.verify(right).JSON("session_token").(string)
	server.Stop()
	s.Fields(s.verify(right), map[string]any{"verified": true, "session_token": nil, "session_ttl_minutes": nil})
	s.Fields(s.check(session, ""), map[string]any{"required": true, "session_active": false})
	revoke := s.Do(webtest.Request{Method: "DELETE", Path: s.at("/pin/sessions"), Header: s.bearer(), Body: map[string]any{"session_token": session}})
	if s.Want(revoke, 503); revoke.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestWithoutPostgres(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, nobody.Close())
	s := newServiceWith(t, storetest.Postgres(t), "postgres://"+nobody.Addr().String()+"/gone", storetest.Redis(t))
	for _, r := range []webtest.Request{
		{Method: "POST", Path: s.at("/pin/verify"), Body: map[string]any{"pin": right, "identity_id": s.identity}},
		{Method: "POST", Path: s.at("/pin/verify"), Body: map[string]any{"pin": 1}},
		{Method: "POST", Path: s.at("/pin/check-required?customer_id=" + s.customer.String())},
		{Method: "POST", Path: s.at(s.identityPath()), Body: map[string]any{"pin": right}},
		{Method: "DELETE", Path: s.at(s.identityPath())},
	} {
		r.Header = s.bearer()
		a := s.Want(s.Do(r), 503)
		if a.Header.Get("Retry-After") == "" || a.JSON("detail") != "Temporarily unavailable, try again shortly" {
			t.Errorf("%s %s: %s", r.Method, r.Path, a.Body)
		}
	}
}
