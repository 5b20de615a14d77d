package pin_test

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/session"
)

// A proof is of one PIN. What it allows is done to that one or not at all, whatever happened since.
func TestAProofIsOfOnePIN(t *testing.T) {
	t.Parallel()
	admins := func(w *world, h pin.Holder, p *pin.PIN) {
		if p == nil {
			if err := w.pins.Remove(w.t.Context(), h, pin.ByAdmin); err != nil {
				w.t.Fatal(err)
			}
			return
		}
		w.set(h, *p, pin.ByAdmin)
	}
	for _, rule := range []struct {
		name string
		// of the customer and of the identity, before the proof (nil: none)
		customer, identity *pin.PIN
		current            pin.PIN
		meanwhile          func(*world)
		set, remove        error
	}{
		{"nothing happened", &rightPIN, nil, rightPIN, func(*world) {}, nil, nil},
		{"nothing happened to their own", &rightPIN, &thirdPIN, thirdPIN, func(*world) {}, nil, nil},
		{"there was none", nil, nil, rightPIN, func(*world) {}, nil, nil},
		{"another's budget was spent", &rightPIN, &thirdPIN, thirdPIN, func(w *world) { w.verify(wrongPIN) }, nil, nil},
		{"their own was set anew, the same", nil, &thirdPIN, thirdPIN, func(w *world) { admins(w, w.identityHolder(), &thirdPIN) }, pin.ErrChanged, pin.ErrChanged},
		{"their own was removed", nil, &thirdPIN, thirdPIN, func(w *world) { admins(w, w.identityHolder(), nil) }, pin.ErrChanged, nil},
		{"the customer's was set anew", &rightPIN, nil, rightPIN, func(w *world) { admins(w, w.customerHolder(), &thirdPIN) }, pin.ErrChanged, nil},
		{"the customer's was removed", &rightPIN, nil, rightPIN, func(w *world) { admins(w, w.customerHolder(), nil) }, pin.ErrChanged, nil},
		{"they got their own", &rightPIN, nil, rightPIN, func(w *world) { admins(w, w.identityHolder(), &thirdPIN) }, pin.ErrChanged, pin.ErrChanged},
		{"there was none, and now they have", nil, nil, rightPIN, func(w *world) { admins(w, w.identityHolder(), &thirdPIN) }, pin.ErrChanged, pin.ErrChanged},
		{"there was none, and now the customer has", nil, nil, rightPIN, func(w *world) { admins(w, w.customerHolder(), &thirdPIN) }, pin.ErrChanged, nil},
		{"their own was locked", nil, &thirdPIN, thirdPIN, (*world).exhaust, pin.ErrLocked, pin.ErrLocked},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			for change, want := range map[string]error{"set": rule.set, "remove": rule.remove} {
				w := newWorld(t)
				w.people.Exec(`update instances set pin_change_requires_proof = true`)
				for holder, p := range map[pin.Holder]*pin.PIN{w.customerHolder(): rule.customer, w.identityHolder(): rule.identity} {
					if p != nil {
						w.set(holder, *p, pin.ByAdmin)
					}
				}
				by, err := w.verifier.AuthorizeAgent(t.Context(), w.key, w.subject(), &rule.current, nil)
				if err != nil {
					t.Fatal(err)
				}
				rule.meanwhile(w)
				if change == "set" {
					_, err = w.pins.Set(t.Context(), w.instance, w.identityHolder(), parse("2749"), by)
				} else {
					err = w.pins.Remove(t.Context(), w.identityHolder(), by)
				}
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", change, err, want)
				}
			}
		})
	}
}

// A session is a proof too, of the PIN it rests on; and so is, for a customer who is signed in, the PIN they hold.
func TestOtherProofsAreOfOnePIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people.Exec(`update instances set pin_change_requires_proof = true`)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	confirmed := session.Store{Redis: w.redis}.Find(t.Context(), w.verify(rightPIN).Session.Reveal())
	bySession, err := w.verifier.AuthorizeAgent(t.Context(), w.key, w.subject(), nil, confirmed)
	if err != nil {
		t.Fatal(err)
	}
	byCustomer, err := w.verifier.AuthorizeCustomer(t.Context(), w.customer, rightPIN)
	if err != nil {
		t.Fatal(err)
	}
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	if _, err := w.pins.Set(t.Context(), w.instance, w.identityHolder(), thirdPIN, bySession); !errors.Is(err, pin.ErrChanged) {
		t.Errorf("by a session that is dead: %v", err)
	}
	if _, err := w.pins.Set(t.Context(), w.instance, w.customerHolder(), thirdPIN, byCustomer); !errors.Is(err, pin.ErrChanged) {
		t.Errorf("by a PIN that was replaced: %v", err)
	}
	if err := w.pins.Remove(t.Context(), w.customerHolder(), byCustomer); !errors.Is(err, pin.ErrChanged) {
		t.Errorf("removed by a PIN that was replaced: %v", err)
	}
	if byCustomer, err = w.verifier.AuthorizeCustomer(t.Context(), w.customer, rightPIN); err != nil {
		t.Fatal(err)
	}
	w.set(w.identityHolder(), thirdPIN, pin.ByAdmin) // which is nothing to the customer's
	w.set(w.customerHolder(), thirdPIN, byCustomer)
	if _, err := w.verifier.AuthorizeCustomer(t.Context(), w.customer, rightPIN); !errors.Is(err, pin.ErrProofWrong) {
		t.Errorf("the old PIN: %v", err)
	}
	if err := w.pins.Remove(t.Context(), w.customerHolder(), pin.ByAdmin); err != nil {
		t.Fatal(err)
	}
	if _, err := w.verifier.AuthorizeCustomer(t.Context(), w.customer, thirdPIN); !errors.Is(err, pin.ErrNotSet) {
		t.Errorf("none: %v", err)
	}
}

// What is under way while a proof is used counts as well: the row is looked at when it is held, and not before.
func TestAProofIsOfThePINOfThatMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	for name, change := range map[string]func(pin.Authority) error{
		"set": func(by pin.Authority) error {
			_, err := w.pins.Set(t.Context(), w.instance, w.customerHolder(), thirdPIN, by)
			return err
		},
		"remove": func(by pin.Authority) error { return w.pins.Remove(t.Context(), w.customerHolder(), by) },
	} {
		by, err := w.verifier.AuthorizeCustomer(t.Context(), w.customer, rightPIN)
		if err != nil {
			t.Fatal(err)
		}
		meanwhile := w.db.MustBegin()
		meanwhile.MustExec(`update pin_holders set generation = gen_random_uuid() where holder_id = $1`, w.customer)
		done := make(chan error)
		go func() { done <- change(by) }()
		for waiting := 0; waiting == 0; {
			w.people.Get(&waiting, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
		}
		if err := meanwhile.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, pin.ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One who had a PIN of their own once may be given another on the strength of their customer's.
	w.people.Exec(`update instances set pin_change_requires_proof = true`)
	w.set(w.identityHolder(), thirdPIN, pin.ByAdmin)
	if err := w.pins.Remove(t.Context(), w.identityHolder(), pin.ByAdmin); err != nil {
		t.Fatal(err)
	}
	by, err := w.verifier.AuthorizeAgent(t.Context(), w.key, w.subject(), &rightPIN, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.set(w.identityHolder(), thirdPIN, by)
}
