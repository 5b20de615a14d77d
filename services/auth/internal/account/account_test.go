package account

import (
	"errors"
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
	for _, rule := range []struct {
		name      string
		passwords []string
		want      error
	}{
		{"good ones", []string{"kXv9-tRw", "correct horse battery staple", "Ada's cat is 12", "73920486", "パスワードパスワ", "password of my own", "countersigning ink"}, nil},
		{"short", []string{"", "k", "kXv9-tR", "パスワードパス"}, ErrPasswordShort},
		{"short once it is composed", []string{"e\u0301e\u0301e\u0301e\u0301"}, ErrPasswordShort},
		{"the commonest", []string{"password", "iloveyou", "1qaz2wsx", "trustno1", "qwertyuiop"}, ErrPasswordCommon},
		{"in capitals", []string{"PASSWORD", "TrustNo1"}, ErrPasswordCommon},
		{"with digits and signs around", []string{"Password1!", "password2026", "!!sunshine!!", "123Iloveyou"}, ErrPasswordCommon},
		{"dates", []string{"14071989", "19890714", "07142001"}, ErrPasswordCommon},
		{"few different characters", []string{"        ", "aaaaaaaa", "abcabcab", "11223311", "ääääääää"}, ErrPasswordCommon},
		{"runs", []string{"12345678", "87654321", "abcdefghij", "acegikmo"}, ErrPasswordCommon},
		{"one block over and over", []string{"abcdabcd", "wxyz1wxyz1wxyz1"}, ErrPasswordCommon},
		{"the address", []string{"grace.hopper", "Grace.Hopper", "grace.hopper1", "grace.hopper@example.test", "grace.hopper@example.test!", "xgrace.hopperx"}, ErrPasswordCommon},
		{"our name", []string{"countersign", "Countersign123", "123countersign"}, ErrPasswordCommon},
		{"more than the address", []string{"grace.hopper likes nanoseconds"}, nil},
	} {
		for _, text := range rule.passwords {
			if err := checkPassword(secret.New(text), "password", "grace.hopper@example.test"); !errors.Is(err, rule.want) {
				t.Errorf("%s: %q: %v", rule.name, text, err)
			}
		}
	}
	if err := checkPassword(secret.New("aabacaad"), "password", "a@example.test"); err != nil {
		t.Errorf("a local part of one letter is found everywhere: %v", err)
	}
	if len(commonest) != 3000 {
		t.Errorf("%d passwords are known as common", len(commonest))
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
