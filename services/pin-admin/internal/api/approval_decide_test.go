package api_test

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/webtest"
)

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
