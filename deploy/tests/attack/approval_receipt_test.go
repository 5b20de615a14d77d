//go:build attack

package attack

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/countersign/countersign/pkg/client/action"
	"github.com/countersign/countersign/pkg/client/receipt"
)

// A tool server verifies the receipt of real services with the keys that pin-admin publishes. It refuses the receipt for another
// audience or action, and a receipt that was changed.
func TestReceiptAtToolServer(t *testing.T) {
	ctx := context.Background()
	s := newApprovalStack(t, 1, 1)
	s.replicas = append(s.replicas, s.start("pin-internal", "RECEIPT_ISSUER="+s.admins[0].url))
	const audience = "https://bank.example"
	a := s.agent(s.replicas[0], "POST", "/approvals", map[string]any{"identity_id": s.identity, "skill": skill, "arguments": transfer("100.00"), "audience": audience})
	if d := decide(s.admins[0], a.link(), "approve", right); d.Status != "approved" {
		t.Fatal(d)
	}
	used := s.use(s.replicas[1], a.ID, useID(1), nil)
	if !used.opens() {
		t.Fatal(used)
	}
	bank, err := receipt.NewVerifier(s.admins[0].url, audience, nil)
	must(t, err)
	arguments, err := action.Canonical([]byte(`{"payee":"Bob","amount":"100.00"}`))
	must(t, err)
	paid := action.Action{Instance: s.instance.String(), Customer: s.customer.String(), Skill: skill, Arguments: arguments}
	claims, err := bank.Verify(ctx, used.Receipt, paid)
	if err != nil || claims.ID != a.ID || claims.ExpiresAt-claims.IssuedAt != 120 {
		t.Fatalf("%+v, %v", claims, err)
	}

	otherAudience, err := receipt.NewVerifier(s.admins[0].url, "https://shop.example", nil)
	must(t, err)
	if _, err := otherAudience.Verify(ctx, used.Receipt, paid); !errors.Is(err, receipt.ErrInvalid) {
		t.Errorf("another audience: %v", err)
	}
	for name, change := range map[string]func(*action.Action){
		"another amount":   func(a *action.Action) { a.Arguments = strings.Replace(a.Arguments, "100.00", "1000.00", 1) },
		"another customer": func(a *action.Action) { a.Customer = s.newPerson().customer.String() },
		"another skill":    func(a *action.Action) { a.Skill = sessionSkill },
		"another instance": func(a *action.Action) { a.Instance = s.people.Instance().String() },
	} {
		other := paid
		change(&other)
		if _, err := bank.Verify(ctx, used.Receipt, other); !errors.Is(err, receipt.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	header, rest, _ := strings.Cut(used.Receipt, ".")
	claimsText, _, _ := strings.Cut(rest, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, forged := range map[string]string{
		"alg none":        encode(`{"alg":"none","typ":"countersign-receipt+jwt"}`) + "." + claimsText + ".",
		"no signature":    header + "." + claimsText + ".",
		"another content": header + "." + encode(`{"iss":"`+s.admins[0].url+`"}`) + rest[len(claimsText):],
		"a session token": s.guess(s.replicas[0], s.withPIN(right)).token,
		"nothing":         "",
	} {
		if _, err := bank.Verify(ctx, forged, paid); !errors.Is(err, receipt.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The key was removed in an emergency. A tool server that does not have it yet refuses the receipt.
	s.people.Exec(`delete from receipt_keys`)
	fresh, err := receipt.NewVerifier(s.admins[0].url, audience, nil)
	must(t, err)
	if _, err := fresh.Verify(ctx, used.Receipt, paid); !errors.Is(err, receipt.ErrInvalid) {
		t.Errorf("without the key: %v", err)
	}
}
