package pin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/pin"
)

// approve makes the customer a user whose identity is verified. kyc is what a vendor says about a user after that.
func (w *world) approve() (user uuid.UUID) {
	w.t.Helper()
	w.people.Get(&user, `insert into users (email, password_hash, email_confirmed_at)
		select lower(email), 'x', now() from customers where id = $1 returning id`, w.customer)
	w.kyc(user, "approved")
	return user
}

func (w *world) kyc(user uuid.UUID, status string) {
	w.t.Helper()
	w.people.Exec(`insert into kyc_events (provider, event_id, user_id, type, status, occurred_at)
		values ('sumsub', $1, $2, 'applicantReviewed', $3, now())`, uuid.NewString(), user, status)
}

// trySet sets a PIN as an agent would.
func (w *world) trySet(h pin.Holder) error {
	_, err := w.pins.Set(context.Background(), w.instance, h, rightPIN, pin.ByAgent)
	return err
}

func TestWhereKYCIsRequired(t *testing.T) {
	t.Parallel()
	elsewhere := func(w *world) uuid.UUID {
		instance := w.people.Instance()
		w.people.Exec(`update instances set kyc_required = true where id = $1`, instance)
		return instance
	}
	here := func(w *world) { w.people.Exec(`update instances set kyc_required = true where id = $1`, w.instance) }
	for _, c := range []struct {
		name               string
		policy             func(w *world)
		identity, customer error
	}{
		{"nowhere", func(*world) {}, nil, nil},
		{"here", here, pin.ErrUnidentified, pin.ErrUnidentified},
		{"on an instance of others", func(w *world) { elsewhere(w) }, nil, nil},
		{"on another instance where the customer is", func(w *world) { w.people.Identity(w.customer, elsewhere(w)) }, nil, pin.ErrUnidentified},
		{"on an instance that the customer owns", func(w *world) {
			w.people.Exec(`update instances set owner_customer_id = $1 where id = $2`, w.customer, elsewhere(w))
		}, nil, pin.ErrUnidentified},
		{"here, and the user is approved", func(w *world) { here(w); w.approve() }, nil, nil},
		{"here, and the approval was reversed", func(w *world) { here(w); w.kyc(w.approve(), "rejected") }, pin.ErrUnidentified, pin.ErrUnidentified},
		{"here, and the user's address is not confirmed", func(w *world) {
			here(w)
			w.approve()
			w.people.Exec(`update users set email_confirmed_at = null`)
		}, pin.ErrUnidentified, pin.ErrUnidentified},
		{"here, and another user is approved", func(w *world) {
			here(w)
			w.approve()
			w.people.Exec(`update users set email = 'other@example.com'`)
		}, pin.ErrUnidentified, pin.ErrUnidentified},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.policy(w)
			if err := w.trySet(w.identityHolder()); !errors.Is(err, c.identity) {
				t.Errorf("an identity's: %v", err)
			}
			if err := w.trySet(w.customerHolder()); !errors.Is(err, c.customer) {
				t.Errorf("a customer's: %v", err)
			}
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin) // whom no policy binds
		})
	}
}

func TestAnApprovalThatIsReversedLeavesThePINThatIsSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people.Exec(`update instances set kyc_required = true`)
	user := w.approve()
	if err := w.trySet(w.identityHolder()); err != nil {
		t.Fatal(err)
	}
	w.kyc(user, "on_hold")
	if got := w.verify(rightPIN); got.Outcome != pin.Right {
		t.Errorf("the PIN is %s", got.Outcome)
	}
	if err := w.trySet(w.identityHolder()); !errors.Is(err, pin.ErrUnidentified) {
		t.Errorf("set again: %v", err)
	}
	w.exhaust()
	w.kyc(user, "approved")
	if err := w.trySet(w.identityHolder()); !errors.Is(err, pin.ErrLocked) {
		t.Errorf("locked: %v", err)
	}
}
