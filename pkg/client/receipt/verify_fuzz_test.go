package receipt

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzReceipt checks that Verify accepts only the one receipt that the issuer signed, in its canonical spelling, and that it returns
// ErrInvalid for every other text.
func FuzzReceipt(f *testing.F) {
	const issuer = "https://countersign.example"
	now := time.Unix(1_800_000_000, 0)
	a, audience := paid, "payments"
	a.Audience = &audience
	hash, err := a.Hash()
	if err != nil {
		f.Fatal(err)
	}
	claims := Claims{
		Issuer: issuer, Subject: a.Customer, Audience: audience, IssuedAt: now.Unix(), ExpiresAt: now.Unix() + 120, ID: "approval-1",
		Approved: Approved{Instance: a.Instance, Skill: a.Skill, ActionHash: hex.EncodeToString(hash[:]), Methods: []string{"pin"}},
	}
	valid, err := signed(claims, jwt.SigningMethodEdDSA, privateKey(1), nil)
	if err != nil {
		f.Fatal(err)
	}
	v := &Verifier{audience: audience, parser: newParser(issuer, audience, func() time.Time { return now }), keys: newKeys("", nil)}
	v.keys.tried = time.Now().Add(time.Hour) // no request
	v.keys.current.Store(&keySet{byID: map[string]ed25519.PublicKey{"first": privateKey(1).Public().(ed25519.PublicKey)}, read: time.Now().Add(time.Hour)})
	parts := strings.Split(valid, ".")
	for _, text := range []string{valid, valid + "=", "", "..", parts[0] + "." + parts[1] + ".", parts[1] + "." + parts[0] + "." + parts[2]} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := v.Verify(t.Context(), text, paid)
		if accepted := err == nil; accepted != (text == valid) || accepted != (got.ID != "") || !accepted && !errors.Is(err, ErrInvalid) {
			t.Errorf("Verify(%q) = %+v, %v", text, got, err)
		}
	})
}
