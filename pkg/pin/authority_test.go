package pin_test

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/session"
)

// A proof allows a change of the proved PIN only, and only while that PIN is still in place.
func TestProofIsForOnePIN(t *testing.T) {
	t.Parallel()
	setByAdmin := func(w *world, h pin.Holder, p *pin.PIN) {
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
		// The PINs of the customer and of the identity before the proof; nil: no PIN.
		customer, identity *pin.PIN
		current            pin.PIN
		meanwhile          func(*world)
		set, remove        error
	}{
		{"no change meanwhile", &rightPIN, nil, rightPIN, func(*world) {}, nil, nil},
		{"no change of the identity's own PIN", &rightPIN, &thirdPIN, thirdPIN, func(*world) {}, nil, nil},
		{"there was no PIN", nil, nil, rightPIN, func(*world) {}, nil, nil},
		{"an attempt was charged", &rightPIN, &thirdPIN, thirdPIN, func(w *world) { w.verify(wrongPIN) }, nil, nil},
		{"the identity's own PIN was set again to the same PIN", nil, &thirdPIN, thirdPIN, func(w *world) { setByAdmin(w, w.identityHolder(), &thirdPIN) }, pin.ErrChanged, pin.ErrChanged},
		{"the identity's own PIN was removed", nil, &thirdPIN, thirdPIN, func(w *world) { setByAdmin(w, w.identityHolder(), nil) }, pin.ErrChanged, nil},
		{"the customer's PIN was set again", &rightPIN, nil, rightPIN, func(w *world) { setByAdmin(w, w.customerHolder(), &thirdPIN) }, pin.ErrChanged, nil},
		{"the customer's PIN was removed", &rightPIN, nil, rightPIN, func(w *world) { setByAdmin(w, w.customerHolder(), nil) }, pin.ErrChanged, nil},
		{"the identity got its own PIN", &rightPIN, nil, rightPIN, func(w *world) { setByAdmin(w, w.identityHolder(), &thirdPIN) }, pin.ErrChanged, pin.ErrChanged},
		{"there was no PIN, and the identity got its own PIN", nil, nil, rightPIN, func(w *world) { setByAdmin(w, w.identityHolder(), &thirdPIN) }, pin.ErrChanged, pin.ErrChanged},
		{"there was no PIN, and the customer got a PIN", nil, nil, rightPIN, func(w *world) { setByAdmin(w, w.customerHolder(), &thirdPIN) }, pin.ErrChanged, nil},
		{"the identity's own PIN was locked", nil, &thirdPIN, thirdPIN, (*world).exhaust, pin.ErrLocked, pin.ErrLocked},
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
				by, err := w.verifier.AuthorizeAgent(t.Context(), w.key, w.subject(), nil, &rule.current, nil)
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

// A proof that an agent sends is checked, whether or not the policy demands a proof.
func TestProofThatIsSentIsChecked(t *testing.T) {
	t.Parallel()
	live := func(w *world) *session.Session {
		return w.sessions.Find(w.t.Context(), w.verify(rightPIN).Session.Reveal())
	}
	ended := func(w *world) *session.Session {
		x := live(w)
		w.people.Exec(`update pin_holders set session_generation = gen_random_uuid()`)
		return x
	}
	unknown := func(*world) *session.Session { return &session.Session{} }
	for _, rule := range []struct {
		name    string
		current *pin.PIN
		session func(*world) *session.Session
		// want is the error if the policy demands no proof, demanded the error if it does.
		want, demanded error
		charged        int
	}{
		{"no proof", nil, nil, nil, pin.ErrUnproved, 0},
		{"the current PIN", &rightPIN, nil, nil, nil, 1},
		{"a wrong PIN", &wrongPIN, nil, pin.ErrProofWrong, pin.ErrProofWrong, 1},
		{"a live session", nil, live, nil, nil, 1},
		{"an ended session", nil, ended, pin.ErrUnproved, pin.ErrUnproved, 1},
		{"an unknown session", nil, unknown, pin.ErrUnproved, pin.ErrUnproved, 0},
		{"the current PIN and an ended session", &rightPIN, ended, nil, nil, 2},
		{"a wrong PIN and a live session", &wrongPIN, live, pin.ErrProofWrong, pin.ErrProofWrong, 2},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			for demanded, want := range map[bool]error{false: rule.want, true: rule.demanded} {
				w := newWorld(t)
				w.people.Exec(`update instances set pin_change_requires_proof = $1`, demanded)
				w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
				var presented *session.Session
				if rule.session != nil {
					presented = rule.session(w)
				}
				by, err := w.verifier.AuthorizeAgent(t.Context(), w.key, w.subject(), nil, rule.current, presented)
				if !errors.Is(err, want) {
					t.Errorf("demanded %v: %v, want %v", demanded, err, want)
				}
				var charged int
				w.people.Get(&charged, `select charged from pin_holders`)
				if charged != rule.charged {
					t.Errorf("demanded %v: %d attempts charged, want %d", demanded, charged, rule.charged)
				}
				if err == nil {
					w.set(w.identityHolder(), thirdPIN, by)
				}
			}
		})
	}
}

// If no PIN applies, there is nothing to prove.
func TestProofWithoutAPINIsNotChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, presented := range []*session.Session{nil, {}} {
		by, err := w.verifier.AuthorizeAgent(t.Context(), w.key, w.subject(), nil, &wrongPIN, presented)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.pins.Remove(t.Context(), w.identityHolder(), by); err != nil {
			t.Error(err)
		}
	}
}

// A session is a proof of the PIN that it is based on. A signed-in customer proves the customer's own PIN.
func TestSessionAndOwnPINAreProofsForOnePIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people.Exec(`update instances set pin_change_requires_proof = true`)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	confirmed := w.sessions.Find(t.Context(), w.verify(rightPIN).Session.Reveal())
	bySession, err := w.verifier.AuthorizeAgent(t.Context(), w.key, w.subject(), nil, nil, confirmed)
	if err != nil {
		t.Fatal(err)
	}
	byCustomer, err := w.verifier.AuthorizeCustomer(t.Context(), w.customer, w.customer, rightPIN)
	if err != nil {
		t.Fatal(err)
	}
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	if _, err := w.pins.Set(t.Context(), w.instance, w.identityHolder(), thirdPIN, bySession); !errors.Is(err, pin.ErrChanged) {
		t.Errorf("set with an ended session: %v", err)
	}
	if _, err := w.pins.Set(t.Context(), w.instance, w.customerHolder(), thirdPIN, byCustomer); !errors.Is(err, pin.ErrChanged) {
		t.Errorf("set with a replaced PIN: %v", err)
	}
	if err := w.pins.Remove(t.Context(), w.customerHolder(), byCustomer); !errors.Is(err, pin.ErrChanged) {
		t.Errorf("removed with a replaced PIN: %v", err)
	}
	if byCustomer, err = w.verifier.AuthorizeCustomer(t.Context(), w.customer, w.customer, rightPIN); err != nil {
		t.Fatal(err)
	}
	w.set(w.identityHolder(), thirdPIN, pin.ByAdmin) // does not change the customer's PIN
	w.set(w.customerHolder(), thirdPIN, byCustomer)
	if _, err := w.verifier.AuthorizeCustomer(t.Context(), w.customer, w.customer, rightPIN); !errors.Is(err, pin.ErrProofWrong) {
		t.Errorf("the old PIN: %v", err)
	}
	if err := w.pins.Remove(t.Context(), w.customerHolder(), pin.ByAdmin); err != nil {
		t.Fatal(err)
	}
	if _, err := w.verifier.AuthorizeCustomer(t.Context(), w.customer, w.customer, thirdPIN); !errors.Is(err, pin.ErrNotSet) {
		t.Errorf("no PIN: %v", err)
	}
}

// A change that commits while a proof is used counts too: Set and Remove check the row after they have locked it.
func TestProofIsCheckedUnderTheRowLock(t *testing.T) {
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
		by, err := w.verifier.AuthorizeCustomer(t.Context(), w.customer, w.customer, rightPIN)
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
	// After its own PIN was removed, an identity may get a new one with a proof of the customer's PIN.
	w.people.Exec(`update instances set pin_change_requires_proof = true`)
	w.set(w.identityHolder(), thirdPIN, pin.ByAdmin)
	if err := w.pins.Remove(t.Context(), w.identityHolder(), pin.ByAdmin); err != nil {
		t.Fatal(err)
	}
	by, err := w.verifier.AuthorizeAgent(t.Context(), w.key, w.subject(), nil, &rightPIN, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.set(w.identityHolder(), thirdPIN, by)
}
