package account_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/password"
)

// user returns the address and the password of a confirmed user. The mailbox has one mail to the address.
func (d *deployment) user() (email, password string) {
	d.t.Helper()
	email, password = newAddress(), newPassword()
	d.signUp(email, password)
	d.confirm(d.box.Last(email, 1).Token)
	return email, password
}

func TestResetReplacesThePasswordAndEndsSessionsAndLinks(t *testing.T) {
	d := newDeployment(t)
	email, old := d.user()
	d.people.Exec(`insert into user_sessions (user_id, expires_at) select id, now() + interval '1 day' from users, generate_series(1, 2)`)
	d.forgot(email)
	first := d.box.Last(email, 2)
	d.pass("1 minute")
	d.forgot(email)
	second := d.box.Last(email, 3)

	// A weak password is refused, and the link stays valid.
	wantError(t, d.reset(first.Token, "Password123"), password.ErrCommon)
	generation := one[string](d, `select password_generation from users`)
	next := newPassword()
	if err := d.reset(second.Token, next); err != nil {
		t.Fatal(err)
	}
	if one[string](d, `select password_generation from users`) == generation {
		t.Error("a login that has compared the old password can still open a session")
	}
	for _, used := range []string{first.Token, second.Token} {
		wantError(t, d.reset(used, newPassword()), account.ErrLink)
	}
	d.wantPassword(email, old, false)
	d.wantPassword(email, next, true)
	if n := one[int](d, `select count(*) from user_sessions where revoked_why = 'password'`); n != 2 {
		t.Errorf("%d sessions were ended", n)
	}
	if n := one[int](d, `select count(*) from audit join users u on u.id = target_id and u.id = actor_id where action = 'password.reset' and actor_kind = 'user'`); n != 1 {
		t.Errorf("%d audit rows of resets", n)
	}
	if n := one[int](d, `select count(*) from audit where action = 'reset.refused'`); n != 2 {
		t.Errorf("%d audit rows of refusals", n)
	}
}

func TestForgotSendsAtMostOneMailAMinute(t *testing.T) {
	d := newDeployment(t)
	known, _ := d.user()
	unknown := newAddress()
	for _, email := range []string{known, unknown, unknown, known} {
		d.forgot(email)
	}
	d.box.Last(known, 2) // the mail of the signup and the mail of the reset
	d.box.Last(unknown, 0)
}

// Here the confirmation mail comes first: it must not delay a reset mail.
func TestResetLinksLast15Minutes(t *testing.T) {
	d := newDeployment(t)
	email := newAddress()
	d.signUp(email, newPassword())
	d.forgot(email)
	early := d.box.Last(email, 2)
	d.pass("14 minutes 50 seconds")
	d.forgot(email)
	late := d.box.Last(email, 3)
	d.pass("10 seconds")
	wantError(t, d.reset(early.Token, newPassword()), account.ErrLink)
	if err := d.reset(late.Token, newPassword()); err != nil {
		t.Error(err)
	}
}

func TestResetConfirmsTheAddressAndWithdrawsSignupLinks(t *testing.T) {
	d := newDeployment(t)
	email, strangersPassword, ownersPassword := newAddress(), newPassword(), newPassword()
	d.signUp(email, strangersPassword)
	d.signUp(email, newPassword())
	link := d.box.Last(email, 1)
	d.forgot(email)
	if err := d.reset(d.box.Last(email, 2).Token, ownersPassword); err != nil {
		t.Fatal(err)
	}
	if at, err := d.ConfirmedAt(t.Context(), email); err != nil || at == nil {
		t.Errorf("confirmed at %v, %v", at, err)
	}
	if d.confirm(link.Token) {
		t.Error("the link of the signup confirmed the address again")
	}
	d.wantPassword(email, strangersPassword, false)
	d.wantPassword(email, ownersPassword, true)
	if n := one[int](d, `select count(*) from repeated_signups`); n != 0 {
		t.Errorf("%d passwords of signups are left", n)
	}
}

func TestConcurrentResetsUseALinkOnce(t *testing.T) {
	d := newDeployment(t)
	email, _ := d.user()
	var links []string
	for i := range 2 {
		d.pass("1 minute")
		d.forgot(email)
		links = append(links, d.box.Last(email, i+2).Token)
	}
	var used atomic.Int32
	var stored atomic.Value
	var running sync.WaitGroup
	for i := range 20 {
		running.Go(func() {
			chosen := newPassword()
			switch err := d.reset(links[i%2], chosen); {
			case err == nil:
				used.Add(1)
				stored.Store(chosen)
			case !errors.Is(err, account.ErrLink):
				t.Error(err)
			}
		})
	}
	running.Wait()
	if used.Load() != 1 {
		t.Fatalf("used %d times", used.Load())
	}
	d.wantPassword(email, stored.Load().(string), true)
}

func TestResetRenewsTheGuessBudget(t *testing.T) {
	d := newDeployment(t)
	email, _ := d.user()
	d.wantPassword(email, "Wrong-canary-1", false)
	d.people.Exec(`update guess_budgets set charged = 10, locked_until = now() + interval '1 minute'`)
	d.forgot(email)
	next := newPassword()
	if err := d.reset(d.box.Last(email, 2).Token, next); err != nil {
		t.Fatal(err)
	}
	d.wantPassword(email, next, true)
}
