package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

// signedIn returns an access token of the customer who is asked.
func (a *asked) signedIn() string {
	a.t.Helper()
	var email string
	a.people.Get(&email, `select email from customers where id = $1`, a.customer)
	access, _ := a.signIn(email, "user")
	return access
}

func (a *asked) decideMine(access string, id uuid.UUID, body object) webtest.Answer {
	a.t.Helper()
	return a.as(access, "POST", "/v1/me/approvals/"+id.String()+"/decide", body)
}

func TestMyApprovals(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	access, old := a.signedIn(), a.id
	a.people.Exec(`update instances set approval_known_browser = true`) // a signed-in customer needs no known browser
	a.again()
	list := a.Want(a.as(access, "GET", "/v1/me/approvals", nil), 200)
	for field, want := range map[string]any{
		"items.0.id": a.id.String(), "items.1.id": old.String(), "items.2": nil, "items.0.status": "pending", "items.0.title": "Pay", "items.0.pin.state": "active",
		"items.0.tries_left": 2.0, "items.0.summary_parts.1.value": "25.00 EUR",
	} {
		if list.JSON(field) != want {
			t.Errorf("%s is %v, want %v", field, list.JSON(field), want)
		}
	}
	if strings.Contains(list.Body, "known_browser") || strings.Contains(list.Body, "phrase") {
		t.Errorf("%s", list.Body)
	}
	hash := list.JSON("items.0.view_hash")
	if hash != a.viewHash() {
		t.Error("the link has another view_hash")
	}
	a.refused(a.decideMine(access, old, object{"view_hash": hash, "decision": "approve", "pin": goodPIN}), 409, "view_changed")
	a.Want(a.decideMine(access, a.id, object{"view_hash": hash, "decision": "approve"}), 422)
	a.wantDecision(a.decideMine(access, a.id, object{"view_hash": hash, "decision": "approve", "pin": wrongPIN}), "pending", "", "invalid_pin", 4, 1)
	got := a.decideMine(access, a.id, object{"view_hash": hash, "decision": "approve", "pin": goodPIN})
	a.wantDecision(got, "approved", "", "", 5, 0)
	if got.Header.Get("Set-Cookie") != "" {
		t.Error("a decision of a signed-in customer sets a cookie")
	}
	a.refused(a.decideMine(access, a.id, object{"view_hash": hash, "decision": "deny"}), 409, "approval_approved")
	a.wantDecision(a.decideMine(access, old, object{"view_hash": list.JSON("items.1.view_hash"), "decision": "deny"}), "denied", "person", "", -1, 2)
	if list := a.Want(a.as(access, "GET", "/v1/me/approvals", nil), 200); list.Body != `{"items":[]}`+"\n" {
		t.Errorf("%s", list.Body)
	}
	var actors string
	a.people.Get(&actors, `select string_agg(action || ' ' || actor_kind, ', ' order by id) from audit where action like 'approval.%'`)
	if actors != "approval.wrong_pin user, approval.approved user, approval.denied user" {
		t.Errorf("the trail has %s", actors)
	}
}

func TestMyApprovalsOfAnother(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	hash := a.viewHash()
	_, bob := a.signedInCustomer()
	stranger, _ := a.signIn("stranger@example.com", "user")
	admin, _ := a.signIn("admin@example.com", "admin")
	for _, access := range []string{bob, stranger, admin} {
		if list := a.Want(a.as(access, "GET", "/v1/me/approvals", nil), 200); list.JSON("items.0") != nil {
			t.Errorf("%s", list.Body)
		}
		a.refused(a.decideMine(access, a.id, object{"view_hash": hash, "decision": "deny"}), 404, "approval_not_found")
		a.refused(a.decideMine(access, uuid.New(), object{"view_hash": hash, "decision": "deny"}), 404, "approval_not_found")
	}
	if a.status() != "pending" {
		t.Error(a.status())
	}
	// The customer left the instance.
	a.people.Exec(`delete from identities`)
	if list := a.Want(a.as(a.signedIn(), "GET", "/v1/me/approvals", nil), 200); list.JSON("items.0") != nil {
		t.Errorf("%s", list.Body)
	}
}

func TestListApprovals(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	first := a.id
	a.Want(a.decide(""), 200)
	a.again()
	a.people.Exec(`update approvals set created_at = created_at - interval '1 hour', skill = 'Mail.Send' where id = $1`, first)
	bob := askedOn(a.service)
	bob.people.Exec(`update approvals set expires_at = now() where id = $1`, bob.id)
	ids := func(query string) string {
		return strings.Join(texts(a.Want(a.ask("GET", "/v1/approvals"+query, nil), 200), "id"), " ")
	}
	all := []string{bob.id.String(), a.id.String(), first.String()}
	for query, want := range map[string]string{
		"":                                      strings.Join(all, " "),
		"?per_page=1&page=2":                    all[1],
		"?per_page=1&page=9":                    "",
		"?customer_id=" + a.customer.String():   all[1] + " " + all[2],
		"?instance_id=" + bob.instance.String(): all[0],
		"?status=denied":                        all[2],
		"?status=expired":                       all[0],
		"?status=pending":                       all[1],
		"?status=used":                          "",
		"?skill=mail.SEND":                      all[2],
		"?skill=mail":                           "",
		"?customer_id=" + uuid.NewString():      "",
	} {
		if got := ids(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := ids("?until=2020-01-01T00:00:00Z"); got != "" {
		t.Errorf("until: %s", got)
	}
	if got := ids("?since=2020-01-01T00:00:00Z&skill=pay.transfer&status=pending"); got != all[1] {
		t.Errorf("since: %s", got)
	}
	for _, query := range []string{"?status=open", "?customer_id=1", "?page=0", "?per_page=101", "?since=yesterday", "?skill=", "?search=x"} {
		a.Want(a.ask("GET", "/v1/approvals"+query, nil), 422)
	}
	list := a.Want(a.ask("GET", "/v1/approvals", nil), 200)
	var email string
	a.people.Get(&email, `select email from customers where id = $1`, a.customer)
	a.Fields(list, object{
		"total": 3.0, "items.1.instance_name": "Shop", "items.1.customer_email": email, "items.1.identity_id": nil, "items.1.skill": "pay.transfer", "items.1.audience": "bank",
		"items.1.grants": "action", "items.1.summary": "Pay 25.00 EUR to Bob⟨U+202E⟩gnp", "items.1.requester": "support bot", "items.1.decided_at": nil, "items.1.used_at": nil,
		"items.2.status": "denied", "items.2.reason": "person", "items.0.status": "expired", "items.0.reason": nil,
	})
	if strings.Contains(list.Body, `"arguments"`) || list.JSON("items.2.decided_at") == nil || len(list.JSON("items.1.action_hash").(string)) != 64 {
		t.Errorf("%s", list.Body)
	}
	one := a.Want(a.ask("GET", "/v1/approvals/"+a.id.String(), nil), 200)
	a.Fields(one, object{"id": a.id.String(), "note": "You asked me to", "arguments": `{"amount":"25.00 EUR","to":"Bob\u202egnp"}`, "status": "pending"})
	a.Want(a.ask("GET", "/v1/approvals/"+uuid.NewString(), nil), 404)
	a.Want(a.ask("GET", "/v1/approvals/1", nil), 422)
	reader := map[string]string{"X-Api-Key": a.people.APIKey("read").Reveal()}
	a.Want(a.Do(webtest.Request{Method: "GET", Path: "/v1/approvals", Header: reader}), 200)
	a.Want(a.as(a.signedIn(), "GET", "/v1/approvals", nil), 403)
}

func TestPhrase(t *testing.T) {
	t.Parallel()
	s := newService(t)
	t.Cleanup(func() { s.NeverLogged(canaryPhrase) })
	customer, access := s.signedInCustomer()
	path := "/v1/customers/" + customer.String() + "/phrase"
	get := func() any { return s.Want(s.as(access, "GET", "/v1/me/phrase", nil), 200).JSON("phrase") }
	if got := get(); got != nil {
		t.Errorf("%v", got)
	}
	s.Want(s.as(access, "PUT", "/v1/me/phrase", object{"phrase": "Mo\u0308we"}), 204) // NFD
	if got := get(); got != "M\u00f6we" {
		t.Errorf("%q", got)
	}
	s.Want(s.ask("PUT", path, object{"phrase": canaryPhrase}), 204)
	if got := get(); got != canaryPhrase {
		t.Errorf("%q", got)
	}
	for _, phrase := range []string{
		"", " ", " x", "x ", "a\tb", "a\nb", "a\u202eb", "a\u200bb", "a\u00adb", "\ufeff", "a\u00a0b", "\ue000", "a\u3164b", strings.Repeat("ö", 101), "a\x00b",
	} {
		if got := s.as(access, "PUT", "/v1/me/phrase", object{"phrase": phrase}); got.Status != 422 || !strings.Contains(got.Body, `["body","phrase"]`) || strings.Contains(got.Body, "b\"") {
			t.Errorf("%q: %d %s", phrase, got.Status, got.Body)
		}
	}
	for _, body := range []any{object{}, object{"phrase": 5}, object{"phrase": nil}, object{"phrase": "x", "pin": "y"}, "[]"} {
		s.Want(s.as(access, "PUT", "/v1/me/phrase", body), 422)
	}
	for _, phrase := range []string{strings.Repeat("ö", 100), "x", "青い鳥", "a b", "Ωmega 7!"} {
		s.Want(s.as(access, "PUT", "/v1/me/phrase", object{"phrase": phrase}), 204)
		if got := get(); got != phrase {
			t.Errorf("%q, want %q", got, phrase)
		}
	}
	s.Want(s.as(access, "DELETE", "/v1/me/phrase", nil), 204)
	s.Want(s.as(access, "DELETE", "/v1/me/phrase", nil), 204)
	s.Want(s.ask("DELETE", path, nil), 204)
	if got := get(); got != nil {
		t.Errorf("%v", got)
	}
	for _, method := range []string{"PUT", "DELETE"} {
		var body any
		if method == "PUT" {
			body = object{"phrase": "x"}
		}
		s.Want(s.ask(method, "/v1/customers/"+uuid.NewString()+"/phrase", body), 404)
	}
	s.Want(s.ask("GET", path, nil), 405) // nobody but the customer reads it
	stranger, _ := s.signIn("stranger@example.com", "user")
	s.refusedNoCustomer(s.as(stranger, "GET", "/v1/me/phrase", nil), s.as(stranger, "PUT", "/v1/me/phrase", object{"phrase": "x"}), s.as(stranger, "DELETE", "/v1/me/phrase", nil))
	s.people.Exec(`update user_sessions set proved_at = now() - interval '6 minutes'`)
	for _, got := range []webtest.Answer{s.as(access, "PUT", "/v1/me/phrase", object{"phrase": "x"}), s.as(access, "DELETE", "/v1/me/phrase", nil)} {
		if got.Status != 401 || got.Header.Get("X-Error-Code") != "insufficient_user_authentication" {
			t.Errorf("without a fresh sign-in: %d %s", got.Status, got.Body)
		}
	}
	s.Want(s.as(access, "GET", "/v1/me/phrase", nil), 200)
	var trail string
	s.people.Get(&trail, `select string_agg(distinct action || ' ' || actor_kind, ', ') from audit where customer_id = $1`, customer)
	if trail != "phrase.removed user, phrase.set api_key, phrase.set user" {
		t.Errorf("the trail has %s", trail)
	}
}

func (s *service) refusedNoCustomer(answers ...webtest.Answer) {
	s.t.Helper()
	for _, got := range answers {
		if got.Status != 409 || got.JSON("code") != "no_customer" {
			s.t.Errorf("%d %s", got.Status, got.Body)
		}
	}
}
