package password

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/pkg/secret"
)

func TestPasswordStrength(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name      string
		passwords []string
		want      error
	}{
		{"strong", []string{"kXv9-tRw", "correct horse battery staple", "Ada's cat is 12", "73920486", "パスワードパスワ", "password of my own", "countersigning ink"}, nil},
		{"too short", []string{"", "k", "kXv9-tR", "パスワードパス"}, ErrShort},
		{"too short in NFC", []string{"e\u0301e\u0301e\u0301e\u0301"}, ErrShort},
		{"frequent passwords", []string{"password", "iloveyou", "1qaz2wsx", "trustno1", "qwertyuiop"}, ErrCommon},
		{"frequent passwords in capitals", []string{"PASSWORD", "TrustNo1"}, ErrCommon},
		{"frequent passwords with digits and signs around them", []string{"Password1!", "password2026", "!!sunshine!!", "123Iloveyou"}, ErrCommon},
		{"dates", []string{"14071989", "19890714", "07142001"}, ErrCommon},
		{"fewer than four different characters", []string{"        ", "aaaaaaaa", "abcabcab", "11223311", "ääääääää"}, ErrCommon},
		{"runs with equal steps", []string{"12345678", "87654321", "abcdefghij", "acegikmo"}, ErrCommon},
		{"a repeated block", []string{"abcdabcd", "wxyz1wxyz1wxyz1"}, ErrCommon},
		{"the address", []string{"grace.hopper", "Grace.Hopper", "grace.hopper1", "grace.hopper@example.test", "grace.hopper@example.test!", "xgrace.hopperx"}, ErrCommon},
		{"the product's name", []string{"countersign", "Countersign123", "123countersign"}, ErrCommon},
		{"much more than the address", []string{"grace.hopper likes nanoseconds"}, nil},
	} {
		for _, text := range rule.passwords {
			if err := Check(secret.New(text), "password", "grace.hopper@example.test"); !errors.Is(err, rule.want) {
				t.Errorf("%s: %q: %v", rule.name, text, err)
			}
		}
	}
	if err := Check(secret.New("aabacaad"), "password", "a@example.test"); err != nil {
		t.Errorf("a local part of one letter must not count as part of the password: %v", err)
	}
	if len(commonest) != 3000 {
		t.Errorf("the list has %d passwords, want 3000", len(commonest))
	}
}
