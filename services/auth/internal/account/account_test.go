package account

import (
	"testing"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/token"
)

func TestTheDecoyCostsWhatAPasswordCosts(t *testing.T) {
	t.Parallel()
	if slowhash.Outdated(decoy, "") {
		t.Errorf("%s", decoy)
	}
}

func TestPasswordsThatMayBeChosen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"12345678": nil, "1234567": ErrPasswordShort, "": ErrPasswordShort, "パスワードパスワ": nil, "パスワードパス": ErrPasswordShort,
		"e\u0301e\u0301e\u0301e\u0301": ErrPasswordShort, "        ": nil,
	} {
		if err := checkPassword(secret.New(text)); err != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheChildOfARefreshToken(t *testing.T) {
	t.Parallel()
	const first, second = "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "b:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	ring, err := keyring.Parse(first + "," + second)
	if err != nil {
		t.Fatal(err)
	}
	a := &Accounts{ring: ring}
	parent, other := token.New(token.Refresh), token.New(token.Refresh)
	derive := func(key string, parent token.Token) string {
		child, err := a.child(key, parent)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.Parse(token.Refresh, child.Reveal(), 0); err != nil {
			t.Error("the child is no refresh token")
		}
		return child.Reveal()
	}
	child := derive("a", parent)
	if child != derive("a", parent) {
		t.Error("a parent has two children")
	}
	if child == derive("b", parent) || child == derive("a", other) || child == parent.Reveal() {
		t.Error("a child does not depend on its key and its parent")
	}
	if _, err := a.child("c", parent); err == nil {
		t.Error("derived under a key that is not on the ring")
	}
}
