package account_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/password"
)

// confirmWith follows a confirmation link with the password of a signup, or with a new password.
func (d *deployment) confirmWith(token, password, fresh string) error {
	var choice account.Choice
	if password != "" {
		choice.Password = new(secret.New(password))
	}
	if fresh != "" {
		choice.New = new(secret.New(fresh))
	}
	_, first, err := d.Confirm(d.t.Context(), secret.New(token), choice)
	if err == nil && !first {
		err = errors.New("already confirmed")
	}
	return err
}

// sequences returns all sequences of up to n steps that begin with a signup.
func sequences(n int) (all [][]string) {
	all = [][]string{{"owner"}, {"stranger"}}
	for i := 0; i < len(all); i++ {
		if len(all[i]) < n {
			for _, step := range []string{"owner", "corrected", "stranger", "resend"} {
				all = append(all, append(slices.Clone(all[i]), step))
			}
		}
	}
	return all
}

// The owner, who may correct the password in another signup, and a stranger sign up with one address and request mails in every
// order. Whichever mail's link is followed, it never activates a password that the follower does not know.
func TestConfirmationAfterEveryOrderOfSignups(t *testing.T) {
	d := newDeployment(t)
	for i, steps := range sequences(3) {
		email := newAddress()
		passwords := map[string]string{"owner": newPassword(), "corrected": newPassword(), "stranger": newPassword()}
		signups := map[string]bool{}
		for _, step := range steps {
			if step == "resend" {
				d.resend(email)
			} else {
				d.signUp(email, passwords[step])
				signups[step] = true
			}
			d.pass("1 minute")
		}
		links := d.box.All(email)
		if len(links) != len(steps) {
			t.Fatalf("%v: %d mails", steps, len(links))
		}
		followed := links[i%len(links)].Token
		want := ""
		switch {
		case len(signups) == 1:
			want = steps[0]
			if err := d.confirmWith(followed, newPassword(), ""); !errors.Is(err, account.ErrNotOfASignup) {
				t.Errorf("%v: a wrong password after a single signup: %v", steps, err)
			}
			if err := d.confirmWith(followed, "", ""); err != nil {
				t.Errorf("%v: %v", steps, err)
			}
		default:
			for _, link := range links {
				if err := d.confirmWith(link.Token, "", ""); !errors.Is(err, account.ErrPasswordNeeded) {
					t.Errorf("%v: without a password: %v", steps, err)
				}
			}
			if err := d.confirmWith(followed, newPassword(), ""); !errors.Is(err, account.ErrNotOfASignup) {
				t.Errorf("%v: a wrong password: %v", steps, err)
			}
			if at, err := d.ConfirmedAt(t.Context(), email); at != nil || err != nil {
				t.Errorf("%v: confirmed at %v, %v", steps, at, err)
			}
			// The owner knows the own passwords. The last one is the corrected one.
			for _, step := range steps {
				if step == "owner" || step == "corrected" {
					want = step
				}
			}
			if err := d.confirmWith(followed, passwords[want], ""); err != nil {
				t.Errorf("%v: with the password: %v", steps, err)
			}
		}
		for person, chosen := range passwords {
			d.wantPassword(email, chosen, person == want)
		}
		for _, link := range links {
			if d.confirm(link.Token) {
				t.Errorf("%v: another link confirmed the address again", steps)
			}
		}
	}
	if n := one[int](d, `select count(*) from repeated_signups`); n != 0 {
		t.Errorf("%d signups of confirmed addresses are left", n)
	}
}

func TestNewPasswordEndsAllSignups(t *testing.T) {
	d := newDeployment(t)
	for name, signups := range map[string][]string{"one signup": {newPassword()}, "two signups": {newPassword(), newPassword()}} {
		email, fresh := newAddress(), newPassword()
		for _, password := range signups {
			d.signUp(email, password)
		}
		link := d.box.Last(email, 1).Token
		for chosen, want := range map[string]error{"short": password.ErrShort, "Password123": password.ErrCommon, email: password.ErrCommon} {
			wantError(t, d.confirmWith(link, "", chosen), want)
		}
		wantError(t, d.confirmWith(link, signups[0], fresh), account.ErrBothPasswords)
		if err := d.confirmWith(link, "", fresh); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, password := range signups {
			d.wantPassword(email, password, false)
		}
		d.wantPassword(email, fresh, true)
		// The link is used: it changes nothing any more.
		if err := d.confirmWith(link, "", newPassword()); err == nil {
			t.Errorf("%s: confirmed again", name)
		}
		d.wantPassword(email, fresh, true)
	}
}

func TestSamePasswordIsTheSameSignup(t *testing.T) {
	d := newDeployment(t)
	email, chosen := newAddress(), newPassword()
	for range 3 {
		d.signUp(email, chosen)
	}
	if !d.confirm(d.box.Last(email, 1).Token) {
		t.Error("the link did not confirm the address")
	}
	d.wantPassword(email, chosen, true)
}

// A stranger cannot push the first signup out, and cannot become the only signup.
func TestTheFirstAndTheNineNewestSignupsAreKept(t *testing.T) {
	d := newDeployment(t)
	email := newAddress()
	var passwords []string
	for range 12 {
		passwords = append(passwords, newPassword())
		d.signUp(email, passwords[len(passwords)-1])
	}
	d.signUp(email, passwords[3]) // becomes the newest
	if n := one[int](d, `select count(*) from repeated_signups`); n != 9 {
		t.Errorf("%d repeated signups", n)
	}
	d.people.Exec(`delete from guess_budgets`)
	for i, password := range passwords {
		d.wantPassword(email, password, i == 0 || i >= 3)
	}
	wantError(t, d.confirmWith(d.box.Last(email, 1).Token, "", ""), account.ErrPasswordNeeded)
}

func TestWrongPasswordsAtALinkAreCharged(t *testing.T) {
	d := newDeployment(t)
	email, chosen := newAddress(), newPassword()
	d.signUp(email, newPassword())
	d.signUp(email, chosen)
	link := d.box.Last(email, 1).Token
	for range password.DefaultBudget.Attempts {
		wantError(t, d.confirmWith(link, newPassword(), ""), account.ErrNotOfASignup)
	}
	wantError(t, d.confirmWith(link, chosen, ""), budget.ErrLocked)
	// Choosing a new password is no guess.
	fresh := newPassword()
	if err := d.confirmWith(link, "", fresh); err != nil {
		t.Error(err)
	}
	d.wantPassword(email, fresh, true)
}

// A signup that is committed while a link is followed counts.
func TestSignupDuringTheConfirmationMakesThePasswordNeeded(t *testing.T) {
	d := newDeployment(t)
	email := newAddress()
	user := d.signUp(email, newPassword())
	link := d.box.Last(email, 1).Token
	signup := d.people.Begin()
	signup.MustExec(`select from users where id = $1 for no key update`, user.ID)
	confirmed := make(chan error)
	go func() { confirmed <- d.confirmWith(link, "", "") }()
	d.people.AwaitLocks(1)
	signup.MustExec(`insert into repeated_signups (user_id, password_hash) values ($1, 'of a stranger')`, user.ID)
	if err := signup.Commit(); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-confirmed, account.ErrPasswordNeeded)
}

// Before the migration, each signup had a salt of its own.
func TestSignupsWithAnotherSaltNeedANewPassword(t *testing.T) {
	d := newDeployment(t)
	email, fresh := newAddress(), newPassword()
	user := d.signUp(email, newPassword())
	old, err := d.Passwords.Hash(t.Context(), secret.New("Canary-old-salt"))
	if err != nil {
		t.Fatal(err)
	}
	d.people.Exec(`insert into repeated_signups (user_id, password_hash) values ($1, $2)`, user.ID, old)
	link := d.box.Last(email, 1).Token
	wantError(t, d.confirmWith(link, "", ""), account.ErrPasswordNeeded)
	wantError(t, d.confirmWith(link, "Canary-old-salt", ""), account.ErrNotOfASignup)
	if err := d.confirmWith(link, "", fresh); err != nil {
		t.Error(err)
	}
}
