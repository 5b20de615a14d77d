package usersession

import (
	"testing"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/token"
)

func TestRefreshTokenIsDerivedFromItsParent(t *testing.T) {
	t.Parallel()
	const first, second = "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "b:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	ring, err := keyring.Parse(first + "," + second)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sessions{Ring: ring}
	parent, other := token.New(token.Refresh), token.New(token.Refresh)
	derive := func(key string, parent token.Token) string {
		child, err := s.child(key, parent)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.Parse(token.Refresh, child.Reveal(), 0); err != nil {
			t.Error("the child is not a refresh token")
		}
		return child.Reveal()
	}
	child := derive("a", parent)
	if child != derive("a", parent) {
		t.Error("the same parent gave two different children")
	}
	if child == derive("b", parent) || child == derive("a", other) || child == parent.Reveal() {
		t.Error("a child does not depend on its key and its parent")
	}
	if _, err := s.child("c", parent); err == nil {
		t.Error("derived a child with a key that is not on the ring")
	}
}
