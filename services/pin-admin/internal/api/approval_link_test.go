package api_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/testkit/webtest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

const (
	wrongPIN = "50413928"
	// canaryPhrase must not occur outside of the answer to a known browser.
	canaryPhrase = "Blaue Möwe über dem Deich"
)

// asked is a customer with a PIN whom an agent asked for an approval.
type asked struct {
	*service
	instance, customer, identity, id uuid.UUID
	link                             string
}

func newAsked(t testing.TB, change ...func(*app.Settings)) *asked {
	t.Helper()
	return askedOn(newService(t, change...))
}

func askedOn(s *service) *asked {
	s.t.Helper()
	a := &asked{service: s, customer: s.people.Customer(), instance: s.people.Instance()}
	a.identity = s.people.Identity(a.customer, a.instance)
	s.people.Exec(`update customers set display_name = 'Alice' where id = $1`, a.customer)
	s.people.Exec(`update instances set name = 'Shop' where id = $1`, a.instance)
	s.Want(s.ask("POST", "/v1/customers/"+a.customer.String()+"/pin", object{"pin": goodPIN}), 200)
	a.again()
	return a
}

// again asks for another approval, and makes it the present one.
func (a *asked) again() {
	a.t.Helper()
	link, hash := token.New(token.Approval), make([]byte, 32)
	rand.Read(hash)
	a.id, a.link = uuid.New(), link.Reveal()
	a.people.Exec(`insert into approvals (id, instance_id, customer_id, proxy_key_id, requester, kind, skill, arguments, title, template, note,
		action_hash, nonce, key_id, link_hash, expires_at)
		values ($1, $2, $3, $1, 'support bot', 'action', 'pay.transfer', '{"amount":"25.00 EUR","to":"Bob\u202egnp"}', 'Pay', 'Pay {amount} to {to}',
		'You asked me to', $4, $4, 'one', $5, now() + interval '10 minutes')`, a.id, a.instance, a.customer, hash, link.Hash())
	a.t.Cleanup(func() { a.NeverLogged(link.Reveal()) })
}

// open opens the link, in a browser with this cookie (empty: none).
func (a *asked) open(cookie string) webtest.Answer {
	a.t.Helper()
	return a.Do(webtest.Request{Method: "POST", Path: "/v1/approvals/open", Header: browser(cookie), Body: object{"token": a.link}})
}

func browser(cookie string) map[string]string {
	if cookie == "" {
		return nil
	}
	return map[string]string{"Cookie": "__Host-countersign-browser=" + cookie}
}

// viewHash is the hash of what the link shows now.
func (a *asked) viewHash() string {
	a.t.Helper()
	return a.Want(a.open(""), 200).JSON("view_hash").(string)
}

func (a *asked) request(cookie, viewHash, decision, pin string) webtest.Request {
	body := object{"token": a.link, "view_hash": viewHash, "decision": decision}
	if pin != "" {
		body["pin"] = pin
	}
	return webtest.Request{Method: "POST", Path: "/v1/approvals/decide", Header: browser(cookie), Body: body}
}

// decide decides about what the link shows now. Without a PIN it denies.
func (a *asked) decide(pin string) webtest.Answer {
	a.t.Helper()
	decision := "approve"
	if pin == "" {
		decision = "deny"
	}
	return a.Do(a.request("", a.viewHash(), decision, pin))
}

// wantDecision checks the fields of a decision. remaining is the number of attempts (-1: null).
func (a *asked) wantDecision(got webtest.Answer, status, reason, pinError string, remaining, tries int) {
	a.t.Helper()
	text := func(field string) string { s, _ := got.JSON(field).(string); return s }
	left := -1
	if n, ok := got.JSON("remaining_attempts").(float64); ok {
		left = int(n)
	}
	if got.Status != 200 || text("status") != status || text("reason") != reason || text("error") != pinError || left != remaining || got.JSON("remaining_tries") != float64(tries) {
		a.t.Errorf("%d %s", got.Status, got.Body)
	}
}

// refused checks that an answer is an error with this code.
func (a *asked) refused(got webtest.Answer, status int, code string) {
	a.t.Helper()
	if got.Status != status || got.Header.Get("X-Error-Code") != code || status == 409 && got.JSON("code") != code {
		a.t.Errorf("%d %s %s, want %d %s", got.Status, got.Header.Get("X-Error-Code"), got.Body, status, code)
	}
}

// charged returns how many attempts were charged, and how many tries of all links were taken.
func (a *asked) charged() (attempts, tries int) {
	a.t.Helper()
	a.people.Get(&attempts, `select coalesce(sum(charged), 0) from pin_holders`)
	a.people.Get(&tries, `select coalesce(sum(tries), 0) from approvals`)
	return attempts, tries
}

func (a *asked) wantCharged(want int) {
	a.t.Helper()
	if attempts, tries := a.charged(); attempts != want || tries != want {
		a.t.Errorf("%d attempts charged and %d tries taken, want %d", attempts, tries, want)
	}
}

func (a *asked) status() (status string) {
	a.t.Helper()
	a.people.Get(&status, `select status from approvals where id = $1`, a.id)
	return status
}

func TestOpenApprovalShowsTheAction(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	got := a.Want(a.open(""), 200)
	for field, want := range map[string]any{
		"id": a.id.String(), "status": "pending", "reason": nil, "grants": "action", "instance_name": "Shop", "customer_name": "Alice",
		"requester": "support bot", "title": "Pay", "note": "You asked me to", "session": nil, "tries_left": 2.0,
		"summary_parts.0.text": "Pay ", "summary_parts.1.value": "25.00 EUR", "summary_parts.3.value": "Bob⟨U+202E⟩gnp", "summary_parts.3.flags.0": "hidden_characters",
		"arguments.0.path": "amount", "arguments.0.value": "25.00 EUR", "arguments.0.type": "string", "arguments.0.in_summary": true,
		"pin.state": "active", "pin.locked_until": nil, "pin.locked_for": nil,
		"known_browser": false, "known_browser_required": false, "phrase": nil,
	} {
		if got.JSON(field) != want {
			t.Errorf("%s is %v, want %v", field, got.JSON(field), want)
		}
	}
	if left := got.JSON("expires_in").(float64); left < 580 || left > 600 {
		t.Errorf("expires_in is %v", left)
	}
	if !strings.Contains(got.Body, `"phrase":null`) || got.Header.Get("Set-Cookie") != "" {
		t.Errorf("%v %s", got.Header, got.Body)
	}
	again := a.Want(a.open(""), 200)
	if again.JSON("view_hash") != got.JSON("view_hash") {
		t.Error("the same view has two hashes")
	}
	a.wantCharged(0)
}

func TestOpenApprovalShowsTheSession(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	a.people.Exec(`update approvals set kind = 'session'`)
	a.people.Exec(`update instances set pin_required_skills = '{pay.*,mail.read,mail.send}', pin_session_ttl_minutes = 20`)
	a.people.Exec(`insert into skills (instance_id, skill, mode) values ($1, 'Mail.Send', 'approval'), ($1, 'files.read', 'session'), ($1, 'mail.read', 'open')`, a.instance)
	got := a.Want(a.open(""), 200)
	if fmt.Sprint(got.JSON("session.skills")) != "[files.read pay.*]" || got.JSON("session.minutes") != 20.0 {
		t.Errorf("%v", got.JSON("session"))
	}
	before := a.viewHash()
	a.people.Exec(`update instances set enforcement = 'strict'`)
	if got := a.Want(a.open(""), 200); got.JSON("session.skills") != nil || got.JSON("session.minutes") != 20.0 || got.JSON("view_hash") == before {
		t.Errorf("%v", got.JSON("session"))
	}
	a.refused(a.Do(a.request("", before, "approve", goodPIN)), 409, "view_changed")
	a.wantCharged(0)
}

func TestOpenApprovalShowsTheStatePIN(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	a.people.Exec(`update pin_holders set locked_until = now() + interval '90 seconds'`)
	got := a.Want(a.open(""), 200)
	if left, _ := got.JSON("pin.locked_for").(float64); got.JSON("pin.state") != "locked" || left < 60 || left > 90 || got.JSON("pin.locked_until") == nil {
		t.Errorf("%v", got.JSON("pin"))
	}
	a.people.Exec(`update pin_holders set charged = 1, deactivated_by = 1`)
	if got := a.Want(a.open(""), 200); got.JSON("pin.state") != "inactive" {
		t.Errorf("%v", got.JSON("pin"))
	}
	a.people.Exec(`update pin_holders set verifier = null, generation = null, pin_set_at = null`)
	if got := a.Want(a.open(""), 200); got.JSON("pin.state") != "not_set" {
		t.Errorf("%v", got.JSON("pin"))
	}
}

func TestUnknownApprovalLink(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	good := a.link
	a.people.Exec(`insert into customers (email) values ('mallory@example.com')`)
	for name, link := range map[string]string{
		"unknown": token.New(token.Approval).Reveal(), "mistyped": mistype(good), "another kind": token.New(token.Session).Reveal(),
		"upper case": strings.ToUpper(good), "text": "x", "with a line end": good + "\n",
		"empty": "", "huge": strings.Repeat("a", 10_000),
	} {
		a.link = link
		a.refused(a.open(""), 404, "approval_link_unknown")
		a.refused(a.Do(a.request("", strings.Repeat("0", 64), "approve", goodPIN)), 404, "approval_link_unknown")
		a.refused(a.Do(a.request("", strings.Repeat("0", 64), "deny", "")), 404, "approval_link_unknown")
		if t.Failed() {
			t.Fatalf("the link is %s", name)
		}
	}
	a.link = good
	for _, change := range []string{`delete from identities`, `delete from instances`} {
		hash := a.Want(a.open(""), 200).JSON("view_hash").(string)
		a.people.Exec(change)
		a.refused(a.open(""), 404, "approval_link_unknown")
		a.refused(a.Do(a.request("", hash, "approve", goodPIN)), 404, "approval_link_unknown")
		if t.Failed() {
			t.Fatal(change)
		}
		a.people.Exec(`insert into identities (customer_id, instance_id, channel, external_id) select $1, id, 'telegram', 'again' from instances`, a.customer)
	}
	a.wantCharged(0)
}

func TestDeletedIdentityEndsTheLink(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	a.people.Exec(`update approvals set identity_id = $1`, a.identity)
	hash := a.viewHash()
	a.people.Exec(`delete from identities`)
	a.refused(a.Do(a.request("", hash, "approve", goodPIN)), 404, "approval_link_unknown")
	a.refused(a.open(""), 404, "approval_link_unknown")
}

func TestDecideApprovalRefusesBadInput(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	hash := a.viewHash()
	for name, c := range map[string]struct {
		body  string
		field string
	}{
		"no token":             {`{"view_hash":"` + hash + `","decision":"deny"}`, `["body","token"]`},
		"token of wrong type":  {`{"token":5,"view_hash":"` + hash + `","decision":"deny"}`, `["body","token"]`},
		"no view_hash":         {`{"token":"` + a.link + `","decision":"deny"}`, `["body","view_hash"]`},
		"short view_hash":      {`{"token":"` + a.link + `","view_hash":"00","decision":"deny"}`, `["body","view_hash"]`},
		"upper case view_hash": {`{"token":"` + a.link + `","view_hash":"` + strings.Repeat("A", 64) + `","decision":"deny"}`, `["body","view_hash"]`},
		"no decision":          {`{"token":"` + a.link + `","view_hash":"` + hash + `"}`, `["body","decision"]`},
		"unknown decision":     {`{"token":"` + a.link + `","view_hash":"` + hash + `","decision":"approved"}`, `["body","decision"]`},
		"approve without PIN":  {`{"token":"` + a.link + `","view_hash":"` + hash + `","decision":"approve"}`, `{"type":"missing","loc":["body","pin"],"msg":"Field required"}`},
		"letters in the PIN":   {`{"token":"` + a.link + `","view_hash":"` + hash + `","decision":"approve","pin":"8317a"}`, `["body","pin"]`},
		"other digits":         {`{"token":"` + a.link + `","view_hash":"` + hash + `","decision":"approve","pin":"٨٣١٧"}`, `["body","pin"]`},
		"short PIN":            {`{"token":"` + a.link + `","view_hash":"` + hash + `","decision":"approve","pin":"831"}`, `["body","pin"]`},
		"PIN as a number":      {`{"token":"` + a.link + `","view_hash":"` + hash + `","decision":"approve","pin":83174629}`, `["body","pin"]`},
		"empty PIN":            {`{"token":"` + a.link + `","view_hash":"` + hash + `","decision":"approve","pin":""}`, `["body","pin"]`},
		"unknown field":        {`{"token":"` + a.link + `","view_hash":"` + hash + `","decision":"deny","force":true}`, `"extra_forbidden"`},
		"an array":             {`[]`, `"body"`},
	} {
		got := a.Do(webtest.Request{Method: "POST", Path: "/v1/approvals/decide", Body: c.body})
		if got.Status != 422 || !strings.Contains(got.Body, c.field) || strings.Contains(got.Body, a.link) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	a.wantCharged(0)
	if a.status() != "pending" {
		t.Error(a.status())
	}
}

func TestApproveAtLink(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	hash := a.viewHash()
	a.wantDecision(a.decide(goodPIN), "approved", "", "", 5, 1)
	a.wantCharged(1)
	if got := a.Want(a.open(""), 200); got.JSON("status") != "approved" || got.JSON("view_hash") != hash || got.JSON("expires_in").(float64) > 120 {
		t.Errorf("%s", got.Body)
	}
	a.refused(a.decide(goodPIN), 409, "approval_approved")
	a.refused(a.decide(""), 409, "approval_approved")
	a.wantCharged(1)
	a.actions("pin.set", "approval.approved", "browser.known")
}

func TestDenyAtLink(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	a.wantDecision(a.decide(""), "denied", "person", "", -1, 2)
	a.refused(a.decide(""), 409, "approval_denied")
	a.refused(a.decide(goodPIN), 409, "approval_denied")
	if got := a.Want(a.open(""), 200); got.JSON("status") != "denied" || got.JSON("reason") != "person" {
		t.Errorf("%s", got.Body)
	}
	a.wantCharged(0)
	a.again()
	a.wantDecision(a.Do(a.request("", a.viewHash(), "deny", goodPIN)), "denied", "person", "", -1, 2) // the PIN is ignored
	a.wantCharged(0)
	a.actions("pin.set", "approval.denied", "approval.denied")
}

func TestTwoWrongPINsDeny(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	a.wantDecision(a.decide(wrongPIN), "pending", "", "invalid_pin", 4, 1)
	a.wantDecision(a.decide(wrongPIN), "denied", "wrong_pin", "invalid_pin", 3, 0)
	a.refused(a.decide(goodPIN), 409, "approval_denied")
	a.wantCharged(2)
	a.again()
	a.wantDecision(a.decide(goodPIN), "approved", "", "", 5, 1) // the runtime may ask again at once
	a.actions("pin.set", "approval.wrong_pin", "approval.wrong_pin", "approval.denied", "approval.approved", "browser.known")
}

func TestDecidedOrExpiredApproval(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	for change, code := range map[string]string{
		`status = 'pending', expires_at = now()`: "approval_expired",
		`status = 'expired'`:                     "approval_expired",
		`status = 'cancelled'`:                   "approval_cancelled",
		`status = 'pending', tries = 2, tried_at = now() - interval '1 minute'`:        "approval_denied",
		`status = 'pending', tries = 2, wrong = 1, tried_at = now() - interval '20 s'`: "approval_denied",
		`status = 'used', holder_id = customer_id, session_generation = (select session_generation from pin_holders), decided_at = now(),
		 use_hash = action_hash, used_at = now()`: "approval_used",
	} {
		a.again()
		hash := a.viewHash()
		a.people.Exec(`update approvals set `+change+` where id = $1`, a.id)
		a.refused(a.Do(a.request("", hash, "approve", goodPIN)), 409, code)
		a.refused(a.Do(a.request("", hash, "deny", "")), 409, code)
		if got := a.Want(a.open(""), 200); "approval_"+got.JSON("status").(string) != code {
			t.Errorf("%s: %s", change, got.Body)
		}
	}
	if attempts, _ := a.charged(); attempts != 0 {
		t.Errorf("%d charged", attempts)
	}
	a.again()
	a.people.Exec(`update approvals set tries = 2, tried_at = now() where id = $1`, a.id)
	a.refused(a.decide(goodPIN), 503, "approval_deciding")
}

func TestDecideNeedsThePresentView(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	for _, change := range []string{
		`update approvals set note = 'other'`, `update approvals set arguments = '{"amount":"2500.00 EUR","to":"Bob"}'`, `update approvals set title = 'Get'`,
		`update approvals set template = 'Get {amount} from {to}'`, `update approvals set template = null`, `update instances set name = 'Shop 2'`,
		`update customers set display_name = null`, `update approvals set requester = null`, `update approvals set action_hash = sha256('other')`,
	} {
		hash := a.viewHash()
		a.people.Exec(change)
		a.refused(a.Do(a.request("", hash, "approve", goodPIN)), 409, "view_changed")
		a.refused(a.Do(a.request("", hash, "deny", "")), 409, "view_changed")
		if t.Failed() {
			t.Fatal(change)
		}
	}
	first, hash := *a, a.viewHash()
	a.again()
	a.refused(a.Do(a.request("", hash, "approve", goodPIN)), 409, "view_changed") // the rendering of another approval
	first.Want(first.Do(first.request("", hash, "approve", goodPIN)), 200)
}

func TestLinkNeedsThePINOfItsCustomer(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	bob := a.people.Customer()
	a.people.Identity(bob, a.instance)
	a.Want(a.ask("POST", "/v1/customers/"+bob.String()+"/pin", object{"pin": otherPIN}), 200)
	a.wantDecision(a.decide(otherPIN), "pending", "", "invalid_pin", 4, 1)
	a.wantDecision(a.decide(goodPIN), "approved", "", "", 5, 0)
}

func TestPINChangedAfterTheAsk(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	path := "/v1/customers/" + a.customer.String() + "/pin"
	hash := a.viewHash()
	a.Want(a.ask("DELETE", path, nil), 204)
	if got := a.Want(a.open(""), 200); got.JSON("pin.state") != "not_set" || got.JSON("view_hash") != hash {
		t.Errorf("%s", got.Body)
	}
	a.wantDecision(a.decide(goodPIN), "pending", "", "pin_not_set", -1, 2)
	a.Want(a.ask("POST", path, object{"pin": otherPIN}), 200) // an admin sets a PIN between open and decide
	a.wantDecision(a.Do(a.request("", hash, "approve", goodPIN)), "pending", "", "invalid_pin", 4, 1)
	a.wantDecision(a.Do(a.request("", hash, "approve", otherPIN)), "approved", "", "", 5, 0)
}

func TestLockedPINAtLink(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	a.people.Exec(`update pin_holders set locked_until = now() + interval '90 seconds'`)
	for range 3 { // the refusal is remembered
		got := a.decide(goodPIN)
		a.wantDecision(got, "pending", "", "pin_locked", 0, 2)
		if wait, _ := got.JSON("retry_after").(float64); got.JSON("locked_until") == nil || wait < 60 || wait > 90 {
			t.Errorf("%s", got.Body)
		}
	}
	a.Want(a.ask("POST", "/v1/customers/"+a.customer.String()+"/pin/unlock", nil), 200)
	a.wantDecision(a.decide(goodPIN), "approved", "", "", 5, 1)
	a.again()
	a.people.Exec(`update pin_holders set deactivated_by = charged`)
	a.wantDecision(a.decide(goodPIN), "pending", "", "pin_inactive", 0, 2)
	a.wantDecision(a.decide(""), "denied", "person", "", -1, 2)
}

// TestGuessesAtLinksLockThePIN: the fifth wrong PIN at links locks the PIN. The mail about the lock names the page.
func TestGuessesAtLinksLockThePIN(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	for i := range 5 {
		if i > 0 && i%2 == 0 {
			a.again()
		}
		got := a.Want(a.decide(wrongPIN), 200)
		if locked := got.JSON("locked_until") != nil; locked != (i == 4) {
			t.Errorf("attempt %d: %s", i+1, got.Body)
		}
	}
	a.wantCharged(5)
	a.wantDecision(a.decide(goodPIN), "pending", "", "pin_locked", 0, 1)
	var source, actor string
	a.people.Get(&source, `select source from mails where kind = 'pin_locked'`)
	a.people.Get(&actor, `select actor_kind || ' ' || (actor_id = $1) from audit where action = 'pin.locked'`, a.id)
	if source != "the approval page" || actor != "link true" {
		t.Errorf("the mail names %q, the actor is %s", source, actor)
	}
}

func TestIdentityPINAtLink(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	path := "/v1/customers/" + a.customer.String() + "/identities/" + a.identity.String() + "/pin"
	a.people.Exec(`update approvals set identity_id = $1`, a.identity)
	a.Want(a.ask("POST", path, object{"pin": otherPIN}), 200)
	a.wantDecision(a.decide(goodPIN), "pending", "", "invalid_pin", 4, 1)
	a.wantDecision(a.decide(otherPIN), "approved", "", "", 5, 0)
}

// TestTwoTabs: of two decisions at the same time, one counts, and the other is answered with the state.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	for name, pins := range map[string][2]string{"approve twice": {goodPIN, goodPIN}, "deny twice": {"", ""}, "approve and deny": {goodPIN, ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAsked(t)
			hash := a.viewHash()
			counted := map[string]int{}
			var mu sync.Mutex
			var running sync.WaitGroup
			for _, pin := range pins {
				running.Go(func() {
					decision := "approve"
					if pin == "" {
						decision = "deny"
					}
					got, err := a.Try(a.request("", hash, decision, pin))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err != nil:
						t.Error(err)
					case got.Status == 200:
						counted[got.JSON("status").(string)]++
					case got.Status != 409 || got.JSON("code") != "approval_approved" && got.JSON("code") != "approval_denied":
						t.Errorf("%d %s", got.Status, got.Body)
					}
				})
			}
			running.Wait()
			if len(counted) != 1 || counted[a.status()] != 1 {
				t.Errorf("counted %v, the status is %s", counted, a.status())
			}
		})
	}
}

// TestDecidesInParallel: the budget is exact for 100 decisions at one link with right and wrong PINs.
func TestDecidesInParallel(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	hash := a.viewHash()
	var running sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for i := range 100 {
		running.Go(func() {
			got, err := a.Try(a.request("", hash, "approve", []string{goodPIN, wrongPIN}[i%2]))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			status, _ := got.JSON("status").(string)
			answers[fmt.Sprint(got.Status, " ", status, got.Header.Get("X-Error-Code"))]++
		})
	}
	running.Wait()
	for answer := range answers {
		switch answer {
		case "200 approved", "200 pending", "200 denied", "409 approval_approved", "409 approval_denied", "503 approval_deciding", "503 not_charged":
		default:
			t.Errorf("an answer is %s", answer)
		}
	}
	attempts, tries := a.charged()
	var rows int
	a.people.Get(&rows, `select count(*) from attempts`)
	if attempts != tries || rows != tries || tries < 1 || tries > 2 {
		t.Errorf("%d charged, %d rows, %d tries; answers %v", attempts, rows, tries, answers)
	}
	if answers["200 approved"] > 1 || (answers["200 approved"] == 1) != (a.status() == "approved") {
		t.Errorf("answers %v, status %s", answers, a.status())
	}
}

func TestApprovalsRateLimit(t *testing.T) {
	t.Parallel()
	a := askedOn(newServiceOn(t, storetest.OwnRedis(t).URL, func(s *app.Settings) { s.Approvals = 3 }))
	for range 3 {
		a.Want(a.open(""), 200)
	}
	got := a.open("")
	a.refused(got, 429, "rate_limited")
	if got.Header.Get("Retry-After") == "" || got.Header.Get("RateLimit-Limit") != "3" {
		t.Errorf("%v", got.Header)
	}
	a.refused(a.Do(a.request("", strings.Repeat("0", 64), "deny", "")), 409, "view_changed") // it has a limit of its own
}

// setCookie returns the cookie that an answer sets, and checks its attributes.
func (a *asked) setCookie(got webtest.Answer) string {
	a.t.Helper()
	cookies := (&http.Response{Header: got.Header}).Cookies()
	if len(cookies) != 1 {
		a.t.Fatalf("the answer sets %d cookies", len(cookies))
	}
	c := cookies[0]
	if c.Name != "__Host-countersign-browser" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 400*24*3600 {
		a.t.Errorf("the cookie is %+v", c)
	}
	a.t.Cleanup(func() { a.NeverLogged(c.Value) })
	return c.Value
}

// mistype changes one character of a token.
func mistype(text string) string {
	other := "0"
	if text[10] == '0' {
		other = "1"
	}
	return text[:10] + other + text[11:]
}
