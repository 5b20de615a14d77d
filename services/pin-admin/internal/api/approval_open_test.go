package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
	"github.com/countersign/countersign/services/pin-admin/internal/app"
)

func TestOpenApprovalShowsTheAction(t *testing.T) {
	t.Parallel()
	a := newAsked(t)
	got := a.Want(a.open(""), 200)
	for field, want := range map[string]any{
		"id": a.id.String(), "status": "pending", "reason": nil, "grants": "action", "instance_name": "Shop", "customer_name": "Alice",
		"requester": "support bot", "audience": "bank", "title": "Pay", "note": "You asked me to", "session": nil, "tries_left": 2.0,
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
