package api_test

import "testing"

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
