package account_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/account"
)

// signedIn returns the id of a user, and a context in which the user is the caller with a new session.
func (d *deployment) signedIn(email string) (uuid.UUID, context.Context) {
	d.t.Helper()
	id := one[uuid.UUID](d, `select id from users where email = $1`, email)
	session := one[uuid.UUID](d, `insert into user_sessions (user_id, expires_at) values ($1, now() + interval '1 day') returning id`, id)
	return id, caller.NewContext(d.t.Context(), caller.Caller{Kind: caller.User, ID: id, SessionID: session, Email: email, Address: "192.0.2.7"})
}

// requestAddress requests a new address for the user with an address.
func (d *deployment) requestAddress(email, address string) {
	d.t.Helper()
	_, ctx := d.signedIn(email)
	if err := d.RequestAddress(ctx, address); err != nil {
		d.t.Error(err)
	}
}

func (d *deployment) confirmAddress(token string) error {
	return d.ConfirmAddress(d.t.Context(), secret.New(token))
}

func (d *deployment) addressOf(user uuid.UUID) string {
	d.t.Helper()
	return one[string](d, `select email from users where id = $1`, user)
}

func TestNewAddressMovesTheUserAndTheCustomer(t *testing.T) {
	d := newDeployment(t)
	old, password := d.user()
	address := newAddress()
	user, _ := d.signedIn(old)
	customer := one[uuid.UUID](d, `insert into customers (email) values ($1) returning id`, old)
	d.people.Exec(`insert into user_sessions (user_id, expires_at) values ($1, now() + interval '1 day')`, user)
	// A stranger has signed up with the new address and never confirmed it.
	stranger := d.signUp(address, newPassword())
	d.forgot(old)
	reset := d.box.Last(old, 2).Token
	d.pass("1 minute")
	d.requestAddress(old, address)
	if letter := d.box.Last(old, 3); letter.Subject != "A new email address was requested" || letter.Token != "" {
		t.Errorf("got\n%s", letter.Raw)
	}
	link := d.box.Last(address, 2)
	if link.Subject != "Confirm your new email address" || d.addressOf(user) != old {
		t.Errorf("got\n%s", link.Raw)
	}
	generation := one[string](d, `select password_generation from users where id = $1`, user)
	for range 2 { // the second time changes nothing
		if err := d.confirmAddress(link.Token); err != nil {
			t.Fatal(err)
		}
	}
	if d.addressOf(user) != address || one[string](d, `select email from customers where id = $1`, customer) != address {
		t.Error("the user or the customer has the old address")
	}
	if n := one[int](d, `select count(*) from users where id = $1`, stranger.ID); n != 0 {
		t.Error("the stranger's signup is left")
	}
	if n := one[int](d, `select count(*) from user_sessions where revoked_at is null`); n != 0 || one[string](d, `select password_generation from users where id = $1`, user) == generation {
		t.Errorf("%d sessions are live, or a login that has compared the password can open one", n)
	}
	if letter := d.box.Last(old, 4); letter.Subject != "Your email address was changed" || letter.Token != "" {
		t.Errorf("got\n%s", letter.Raw)
	}
	wantError(t, d.reset(reset, newPassword()), account.ErrLink)
	d.wantPassword(address, password, true)
	d.wantPassword(old, password, false)
	if n := one[int](d, `select count(*) from audit where action = 'address.changed' and target_id = $1 and actor_id = $1 and customer_id = $2`, user, customer); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	// A stranger who signs up with the old address does not become the customer.
	d.signUp(old, newPassword())
	if n := one[int](d, `select count(*) from customers where email = $1`, old); n != 0 {
		t.Error("a customer has the old address")
	}
}

func TestAddressInUseIsNotTaken(t *testing.T) {
	d := newDeployment(t)
	email, _ := d.user()
	other, _ := d.user()
	user, ctx := d.signedIn(email)
	wantError(t, d.RequestAddress(ctx, email), account.ErrSameAddress)
	d.pass("1 minute")

	// Another user has it: that user gets a notice without a link.
	d.requestAddress(email, other)
	if letter := d.box.Last(other, 2); letter.Token != "" || letter.Subject != "This email address is in use already" {
		t.Errorf("got\n%s", letter.Raw)
	}

	// Another customer has it. The link proves the mailbox, but a user is not two customers.
	claimed := newAddress()
	d.people.Exec(`insert into customers (email) values ($1), ($2)`, claimed, email)
	d.requestAddress(email, claimed)
	link := d.box.Last(claimed, 1).Token
	wantError(t, d.confirmAddress(link), account.ErrAddressUsed)
	d.people.Exec(`delete from customers where email = $1`, email)
	wantError(t, d.confirmAddress(link), account.ErrAddressUsed) // also without a customer of the user's own

	// Another user confirms the address after the request.
	late := newAddress()
	d.requestAddress(email, late)
	d.people.Exec(`insert into users (email, password_hash, email_confirmed_at) values ($1, '', now())`, late)
	wantError(t, d.confirmAddress(d.box.Last(late, 1).Token), account.ErrAddressUsed)
	if d.addressOf(user) != email {
		t.Error("the address was changed")
	}
	if n := one[int](d, `select count(*) from mails where kind = 'address_changed'`); n != 0 {
		t.Errorf("%d mails about a change", n)
	}
	if n := one[int](d, `select count(*) from audit where action = 'address.refused'`); n != 3 {
		t.Errorf("%d audit rows of refusals", n)
	}
}

func TestLinksToANewAddress(t *testing.T) {
	d := newDeployment(t)
	email, _ := d.user()
	user, _ := d.signedIn(email)
	first, second, third := newAddress(), newAddress(), newAddress()
	d.requestAddress(email, first)
	d.requestAddress(email, first) // within a minute: no mail, and the link stays valid
	replaced := d.box.Last(first, 1).Token
	d.requestAddress(email, second)
	wantError(t, d.confirmAddress(replaced), account.ErrLink)
	expired := d.box.Last(second, 1).Token
	d.pass("24 hours")
	wantError(t, d.confirmAddress(expired), account.ErrLink)
	d.requestAddress(email, third)
	valid := d.box.Last(third, 1).Token
	for _, text := range []string{"", "canary", valid[:20], valid + "0"} {
		wantError(t, d.confirmAddress(text), account.ErrLink)
	}
	// A link of one kind does not work as a link of another kind.
	wantError(t, d.reset(valid, newPassword()), account.ErrLink)
	if _, _, err := d.Confirm(t.Context(), secret.New(valid), account.Choice{}); !errors.Is(err, account.ErrLink) {
		t.Errorf("got %v", err)
	}
	var changed atomic.Int32
	var running sync.WaitGroup
	for range 10 {
		running.Go(func() {
			switch err := d.confirmAddress(valid); {
			case err == nil:
				changed.Add(1)
			case !errors.Is(err, account.ErrLink):
				t.Error(err)
			}
		})
	}
	running.Wait()
	if n := one[int](d, `select count(*) from audit where action = 'address.changed'`); n != 1 || changed.Load() == 0 || d.addressOf(user) != third {
		t.Errorf("%d audit rows, %d answers", n, changed.Load())
	}
}

// A thief of a session has requested the address, and the owner chooses a new password, as the mail to the owner says.
func TestNewPasswordWithdrawsLinksToANewAddress(t *testing.T) {
	d := newDeployment(t)
	email, old := d.user()
	user, owner := d.signedIn(email)
	d.forgot(email)
	reset := d.box.Last(email, 2).Token
	for _, setPassword := range []func() error{
		func() error { return d.Passwords.Change(owner, secret.New(old), secret.New(newPassword())) },
		func() error { return d.reset(reset, newPassword()) },
	} {
		_, thief := d.signedIn(email)
		address := newAddress()
		if err := d.RequestAddress(thief, address); err != nil {
			t.Fatal(err)
		}
		link := d.box.Last(address, 1).Token
		if err := setPassword(); err != nil {
			t.Fatal(err)
		}
		wantError(t, d.confirmAddress(link), account.ErrLink)
		// A request that was authenticated before the new password comes too late.
		late := newAddress()
		wantError(t, d.RequestAddress(thief, late), caller.ErrInvalid)
		d.box.Last(late, 0)
	}
	if d.addressOf(user) != email {
		t.Error("the address was changed")
	}
}
