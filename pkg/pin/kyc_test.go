package pin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/pin"
)

// approve adds a user with the customer's address and verifies the user's identity.
func (w *world) approve() (user uuid.UUID) {
	w.t.Helper()
	w.people.Get(&user, `insert into users (email, password_hash, email_confirmed_at)
		select lower(email), 'x', now() from customers where id = $1 returning id`, w.customer)
	w.kyc(user, "approved")
	return user
}

// kyc records an event of an identity-verification vendor about a user.
func (w *world) kyc(user uuid.UUID, status string) {
	w.t.Helper()
	w.people.Exec(`insert into kyc_events (provider, event_id, user_id, type, status, occurred_at)
		values ('sumsub', $1, $2, 'applicantReviewed', $3, now())`, uuid.NewString(), user, status)
}

// setByAgent sets a PIN as an agent.
func (w *world) setByAgent(h pin.Holder) error {
	_, err := w.pins.Set(context.Background(), w.instance, h, rightPIN, pin.ByAgent)
	return err
}

func TestSettingAPINWhereKYCIsRequired(t *testing.T) {
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
		{"not required", func(*world) {}, nil, nil},
		{"required here", here, pin.ErrUnidentified, pin.ErrUnidentified},
		{"required on an instance without this customer", func(w *world) { elsewhere(w) }, nil, nil},
		{"required on another instance with this customer", func(w *world) { w.people.Identity(w.customer, elsewhere(w)) }, nil, pin.ErrUnidentified},
		{"required on an instance that the customer owns", func(w *world) {
			w.people.Exec(`update instances set owner_customer_id = $1 where id = $2`, w.customer, elsewhere(w))
		}, nil, pin.ErrUnidentified},
		{"required here, the user is approved", func(w *world) { here(w); w.approve() }, nil, nil},
		{"required here, the approval was reversed", func(w *world) { here(w); w.kyc(w.approve(), "rejected") }, pin.ErrUnidentified, pin.ErrUnidentified},
		{"required here, the user's address is not confirmed", func(w *world) {
			here(w)
			w.approve()
			w.people.Exec(`update users set email_confirmed_at = null`)
		}, pin.ErrUnidentified, pin.ErrUnidentified},
		{"required here, another user is approved", func(w *world) {
			here(w)
			w.approve()
			w.people.Exec(`update users set email = 'other@example.com'`)
		}, pin.ErrUnidentified, pin.ErrUnidentified},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.policy(w)
			if err := w.setByAgent(w.identityHolder()); !errors.Is(err, c.identity) {
				t.Errorf("an identity's own PIN: %v", err)
			}
			if err := w.setByAgent(w.customerHolder()); !errors.Is(err, c.customer) {
				t.Errorf("a customer's PIN: %v", err)
			}
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin) // no policy limits an admin
		})
	}
}

func TestReversedApprovalKeepsThePIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people.Exec(`update instances set kyc_required = true`)
	user := w.approve()
	if err := w.setByAgent(w.identityHolder()); err != nil {
		t.Fatal(err)
	}
	w.kyc(user, "on_hold")
	if got := w.verify(rightPIN); got.Outcome != pin.Right {
		t.Errorf("the PIN after the reversal: %s", got.Outcome)
	}
	if err := w.setByAgent(w.identityHolder()); !errors.Is(err, pin.ErrUnidentified) {
		t.Errorf("set again: %v", err)
	}
	w.exhaust()
	w.kyc(user, "approved")
	if err := w.setByAgent(w.identityHolder()); !errors.Is(err, pin.ErrLocked) {
		t.Errorf("locked: %v", err)
	}
}
