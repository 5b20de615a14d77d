package action

import (
	"testing"
)

func hash(t *testing.T, a Action) [32]byte {
	t.Helper()
	h, err := a.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHash(t *testing.T) {
	t.Parallel()
	audience, empty := "payments", ""
	base := Action{Instance: "i", Customer: "c", Skill: "s", Audience: &audience, Arguments: `{"to":"caf\u00e9","amount":1}`}
	want := hash(t, base)
	same := base
	same.Arguments = ` {"amount":1.0, "to":"café"}`
	if hash(t, same) != want {
		t.Error("another spelling of the same object has another hash")
	}
	for name, change := range map[string]func(*Action){
		"instance":        func(a *Action) { a.Instance = "I" },
		"customer":        func(a *Action) { a.Customer = "d" },
		"skill":           func(a *Action) { a.Skill = "S" },
		"audience":        func(a *Action) { a.Audience = &empty },
		"absent audience": func(a *Action) { a.Audience = nil },
		"a value":         func(a *Action) { a.Arguments = `{"to":"café","amount":2}` },
		"NFD for NFC":     func(a *Action) { a.Arguments = `{"to":"cafe` + "\u0301" + `","amount":1}` },
		"text for number": func(a *Action) { a.Arguments = `{"to":"café","amount":"1"}` },
		"a null member":   func(a *Action) { a.Arguments = `{"to":"café","amount":1,"note":null}` },
	} {
		changed := base
		change(&changed)
		if hash(t, changed) == want {
			t.Errorf("%s: the hash did not change", name)
		}
	}
	for _, bad := range []Action{{Instance: "\xc3", Customer: "\xa9"}, {Skill: "\xff"}, {Arguments: "[]"}} {
		if _, err := bad.Hash(); err == nil {
			t.Errorf("%+v has a hash", bad)
		}
	}
}

func TestLower(t *testing.T) {
	t.Parallel()
	if got := Lower("Payments.TRANSFER_Äİ\u212a"); got != "payments.transfer_Äİ\u212a" {
		t.Error(got)
	}
}
