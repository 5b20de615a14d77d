//go:build attack

package attack

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/pin"
)

// The attacks of a runtime or of a person on one approval, each from its first request to its last one.

// An approval of one action cannot be used for another one. The attempt does not use it up.
func TestApprovalOfOneActionIsUsedForAnother(t *testing.T) {
	s := newApprovalStack(t, 1, 1)
	a := s.approved(s.person, skill, "1.00")
	for name, arguments := range map[string]map[string]any{
		"another amount": transfer("1000.00"), "nothing": {}, "one more argument": {"amount": "1.00", "payee": "Bob", "again": true},
		"another case of a name": {"Amount": "1.00", "payee": "Bob"}, "a number instead of a text": {"amount": 1.00, "payee": "Bob"},
	} {
		if r := s.use(s.replicas[0], a.ID, useID(1), arguments); r.Code != "action_mismatch" {
			t.Errorf("%s: %s", name, r)
		}
	}
	// Another instance cannot see it.
	other := *s
	stack := *s.stack
	stack.instance = s.people.Instance()
	stack.key = s.people.ProxyKey(stack.instance)
	other.stack = &stack
	if r := other.use(s.replicas[0], a.ID, useID(1), nil); r.status != 404 {
		t.Errorf("another instance: %s", r)
	}
	if r := s.use(s.replicas[0], a.ID, useID(1), transfer("1.00")); !r.opens() || r.ActionHash != a.ActionHash {
		t.Errorf("its action: %s", r)
	}
	// The same use_id with other arguments gets nothing either.
	if r := s.use(s.replicas[0], a.ID, useID(1), transfer("1000.00")); r.Code != "action_mismatch" {
		t.Errorf("the same use_id: %s", r)
	}
}

// The model opens the link itself. It sees what the person sees, and it may deny, but it has no PIN.
func TestModelOpensTheLink(t *testing.T) {
	s := newApprovalStack(t, 1, 1)
	a := s.asked(s.person, skill, "1")
	view := open(s.admins[0], a.link())
	if view.status != 200 || !strings.Contains(view.body, "Bob") || strings.Contains(view.body, right) {
		t.Fatalf("%s", view)
	}
	for name, body := range map[string]any{
		"no PIN":           map[string]any{"token": a.link(), "view_hash": view.ViewHash, "decision": "approve"},
		"an empty PIN":     map[string]any{"token": a.link(), "view_hash": view.ViewHash, "decision": "approve", "pin": ""},
		"accept":           map[string]any{"token": a.link(), "view_hash": view.ViewHash, "decision": "accept", "pin": right},
		"a status":         map[string]any{"token": a.link(), "view_hash": view.ViewHash, "status": "approved"},
		"no decision":      map[string]any{"token": a.link(), "view_hash": view.ViewHash, "pin": right},
		"a number as PIN":  `{"token":"` + a.link() + `","view_hash":"` + view.ViewHash + `","decision":"approve","pin":8317}`,
		"no view":          map[string]any{"token": a.link(), "decision": "approve", "pin": right},
		"two decisions":    `{"token":"` + a.link() + `","view_hash":"` + view.ViewHash + `","decision":"deny","decision":"approve"}`,
		"not an object":    `["approve"]`,
		"an empty body":    ``,
		"a view of zeroes": map[string]any{"token": a.link(), "view_hash": strings.Repeat("0", 64), "decision": "approve", "pin": right},
	} {
		if r := call("POST", s.admins[0].url+"/v1/approvals/decide", "", body); r.status != 400 && r.status != 422 && r.Code != "view_changed" {
			t.Errorf("%s: %s", name, r)
		}
	}
	// A proxy key decides nothing.
	if r := call("POST", s.admins[0].url+"/v1/me/approvals/"+a.ID+"/decide", s.key.Reveal(), map[string]any{"view_hash": view.ViewHash, "decision": "approve", "pin": right}); r.status != 401 {
		t.Errorf("with a proxy key: %s", r)
	}
	if r := s.row(a.ID); r.Status != "pending" || r.Tries != 0 {
		t.Fatalf("%+v", r)
	}
	if r := decide(s.admins[0], a.link(), "deny", ""); r.Status != "denied" {
		t.Errorf("deny: %s", r)
	}
	if r := s.use(s.replicas[0], a.ID, useID(1), nil); r.Code != "approval_denied" {
		t.Errorf("%s", r)
	}
}

// Alice's link is sent to Bob. Bob's PIN is a wrong PIN there: it costs Alice's budget and one of the link's two tries.
func TestLinkIsSentToAnotherPerson(t *testing.T) {
	s := newApprovalStack(t, 1, 1)
	bob := s.newPerson()
	s.set(bob, other)
	a := s.asked(s.person, skill, "1")
	if d := decide(s.admins[0], a.link(), "approve", other); d.status != 200 || d.Status != "pending" || d.Error != "invalid_pin" {
		t.Errorf("%s", d)
	}
	if s.charged(s.person) != 1 || s.charged(bob) != 0 {
		t.Errorf("%d charged to Alice, %d to Bob", s.charged(s.person), s.charged(bob))
	}
	// Bob is signed in at pin-admin.
	signedIn := *s
	stack := *s.stack
	stack.person = bob
	signedIn.stack = &stack
	token := signedIn.accessToken()
	if list := call("GET", s.admins[0].url+"/v1/me/approvals", token, nil); list.status != 200 || strings.Contains(list.body, a.ID) {
		t.Errorf("Bob's list: %s", list)
	}
	if r := call("POST", s.admins[0].url+"/v1/me/approvals/"+a.ID+"/decide", token, map[string]any{"view_hash": open(s.admins[0], a.link()).ViewHash, "decision": "approve", "pin": right}); r.status != 404 {
		t.Errorf("Bob decides: %s", r)
	}
	if r := s.row(a.ID); r.Status != "pending" || r.Tries != 1 {
		t.Errorf("%+v", r)
	}
}

// A model hides what the action is: with a note, and with characters that people do not see. The page shows each argument, and makes
// these characters visible.
func TestModelHidesTheAction(t *testing.T) {
	s := newApprovalStack(t, 1, 1)
	const note = "You have approved this already. {payee}"
	arguments := map[string]any{
		"amount": "1\u202e00.000", "payee": "B\u200bob\u2066", "memo": "\u0440aypal", "hidden": map[string]any{"deep": []any{strings.Repeat("x", 5000), "the end"}},
	}
	a := s.agent(s.replicas[0], "POST", "/approvals", map[string]any{"identity_id": s.identity, "skill": skill, "arguments": arguments, "note": note})
	if a.status != 201 {
		t.Fatal(a)
	}
	view := open(s.admins[0], a.link())
	for _, r := range "\u202e\u200b\u2066" {
		if strings.ContainsRune(view.body, r) || strings.Contains(view.body, fmt.Sprintf(`\u%04x`, r)) || !strings.Contains(view.body, fmt.Sprintf("⟨U+%04X⟩", r)) {
			t.Errorf("the page gets U+%04X as it is: %s", r, view)
		}
	}
	for _, want := range []string{"hidden_characters", "mixed_scripts", "the end", strings.Repeat("x", 5000), "memo", "hidden.deep"} {
		if !strings.Contains(view.body, want) {
			t.Errorf("the page does not get %.20s: %s", want, view)
		}
	}
	if view.Note != note || strings.Contains(a.Summary, "already") {
		t.Errorf("the note is %q, the summary %q", view.Note, a.Summary)
	}
	for name, size := range map[string]int{"201": 16384, "422": 16385} {
		body := map[string]any{"identity_id": s.identity, "skill": skill, "arguments": map[string]any{"a": strings.Repeat("x", size-len(`{"a":""}`))}}
		if r := s.agent(s.replicas[0], "POST", "/approvals", body); fmt.Sprint(r.status) != name {
			t.Errorf("%d bytes: %.300s", size, r)
		}
	}
}

// Two values that a program may read as one are refused, or are two actions.
func TestValuesThatLookEqual(t *testing.T) {
	s := newApprovalStack(t, 1, 1)
	ask := func(value string) reply {
		return s.agent(s.replicas[0], "POST", "/approvals", `{"identity_id":"`+s.identity.String()+`","skill":"`+skill+`","arguments":{"v":`+value+`}}`)
	}
	for _, refused := range []string{"9007199254740993", "1e-400", "-0", "1e400", "0.1000000000000000055511151231257827", "NaN", `1,"v":2`, `1,"\u0076":2`, `"\ud800"`, strings.Repeat("[", 33) + strings.Repeat("]", 33)} {
		if r := ask(refused); r.status != 422 && r.status != 400 || strings.Contains(r.body, "90071992547") {
			t.Errorf("%s: %s", refused, r)
		}
	}
	// Different values are different actions.
	hashes := map[string]string{}
	for _, value := range []string{"9007199254740992", `"9007199254740992"`, `"\u00e9"`, `"e\u0301"`, `"\u212b"`, `"\u00c5"`, "null", `""`, "[]", "{}", "false"} {
		r := ask(value)
		if before, seen := hashes[r.ActionHash]; r.status != 201 || seen {
			t.Errorf("%s: %s; the same as %s", value, r, before)
		}
		hashes[r.ActionHash] = value
		s.agent(s.replicas[0], "POST", "/approvals/"+r.ID+"/cancel", nil)
	}
	// Equal values in another notation are the same action: the composed letter was approved, not the decomposed one.
	a := s.approved(s.person, skill, "\u00e9")
	if r := s.use(s.replicas[0], a.ID, useID(1), transfer("e\u0301")); r.Code != "action_mismatch" {
		t.Errorf("decomposed: %s", r)
	}
	body := `{"use_id":"` + useID(1) + `","arguments":{ "payee" : "\u0042ob", "amount" : "\u00e9" }}`
	if r := s.agent(s.replicas[0], "POST", "/approvals/"+a.ID+"/use", body); !r.opens() {
		t.Errorf("escaped: %s", r)
	}
}

// The PIN changes between the approval and its use. The approval is invalid, also after the change was undone.
func TestPINChangesBetweenApprovalAndUse(t *testing.T) {
	all := newApprovalStack(t, 2, 1)
	for _, change := range []struct {
		name string
		do   func(*approvalStack)
	}{
		{"an admin sets it", func(s *approvalStack) { s.set(s.person, other) }},
		{"an admin sets the same PIN", func(s *approvalStack) { s.set(s.person, right) }},
		{"the agent sets it", func(s *approvalStack) {
			s.send("POST", s.replicas[0], "/identities/"+s.identity.String()+"/pin", map[string]any{"pin": other})
		}},
		{"the agent removes it", func(s *approvalStack) {
			s.send("DELETE", s.replicas[0], "/identities/"+s.identity.String()+"/pin", nil)
		}},
		{"guesses lock it", func(s *approvalStack) {
			s.guessInParallel(20, func(int) map[string]any { return s.withPIN(wrong) })
		}},
		{"guesses lock it and an admin unlocks it", func(s *approvalStack) {
			s.guessInParallel(20, func(int) map[string]any { return s.withPIN(wrong) })
			_, err := s.admin.Unlock(context.Background(), s.holder())
			must(s.t, err)
		}},
		{"guesses lock it and the lock ends", func(s *approvalStack) {
			s.guessInParallel(20, func(int) map[string]any { return s.withPIN(wrong) })
			s.endLock(s.person)
		}},
		{"the customer is deleted", func(s *approvalStack) { s.people.Exec(`delete from customers where id = $1`, s.customer) }},
		{"the identity is deleted", func(s *approvalStack) { s.people.Exec(`delete from identities where id = $1`, s.identity) }},
	} {
		for _, grants := range []string{skill, sessionSkill} {
			t.Run(change.name+" "+grants, func(t *testing.T) {
				s := all.with(t)
				a := s.approved(s.person, grants, "1")
				change.do(s)
				deleted := strings.HasSuffix(change.name, "deleted")
				for i, at := range s.replicas {
					if r := s.use(at, a.ID, useID(1), nil); r.Code != "pin_changed" && !(deleted && r.status == 404) {
						t.Errorf("use at replica %d: %s", i, r)
					}
				}
				if w := s.wait(s.replicas[0], a.ID, 0); !deleted && (w.Status != "expired" || w.Reason != "pin_changed") {
					t.Errorf("%s", w)
				}
			})
		}
	}
}

// The customer's PIN approves. Then the identity that was asked gets a PIN of its own, so the customer's PIN no longer applies.
func TestAnotherPINAppliesBeforeUse(t *testing.T) {
	s := newApprovalStack(t, 1, 1)
	customer := person{customer: s.people.Customer()}
	customer.identity = s.people.Identity(customer.customer, s.instance)
	chosen, err := pin.Parse(right)
	must(t, err)
	_, err = s.admin.Set(context.Background(), s.instance, pin.Holder{CustomerID: customer.customer}, chosen, pin.ByAdmin)
	must(t, err)
	a := s.approved(customer, skill, "1")
	s.set(customer, other)
	if r := s.use(s.replicas[0], a.ID, useID(1), nil); r.opens() {
		t.Errorf("%s", r)
	}
}

// One decision counts. Every later one, also in another tab, gets the state.
func TestTwoTabs(t *testing.T) {
	s := newApprovalStack(t, 1, 2)
	for i, first := range []string{"approve", "deny"} {
		a := s.asked(s.person, skill, fmt.Sprint(i))
		views := []reply{open(s.admins[0], a.link()), open(s.admins[1], a.link())}
		if d := decideView(s.admins[0], a.link(), views[0].ViewHash, first, right); d.status != 200 {
			t.Fatal(d)
		}
		for _, second := range []string{"approve", "deny"} {
			if d := decideView(s.admins[1], a.link(), views[1].ViewHash, second, right); d.status != 409 || !strings.HasPrefix(d.Code, "approval_") {
				t.Errorf("%s after %s: %s", second, first, d)
			}
		}
		if s.charged(s.person) != 1 {
			t.Errorf("after %s: %d attempts charged", first, s.charged(s.person))
		}
	}
	if r := open(s.admins[0], "cap_"+strings.ReplaceAll(uuid.NewString(), "-", "")); r.status != 404 && r.status != 422 {
		t.Errorf("a made up link: %s", r)
	}
}
