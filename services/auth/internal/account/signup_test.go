package account_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/password"
)

func TestConcurrentSignupsCreateOneUserAndOneMail(t *testing.T) {
	d := newDeployment(t)
	email := newAddress()
	var running sync.WaitGroup
	for range 40 {
		running.Go(func() { d.signUp(email, newPassword()) })
	}
	running.Wait()
	d.box.Last(email, 1)
	if n := one[int](d, `select count(*) from users`); n != 1 {
		t.Errorf("%d users", n)
	}
	if n := one[int](d, `select count(*) from audit where action = 'user.signup'`); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	const salt = `split_part(password_hash, '$', 5)`
	if n := one[int](d, `select count(distinct salt) from (select `+salt+` salt from users union all select `+salt+` from repeated_signups) s`); n != 1 {
		t.Errorf("%d salts", n)
	}
}

func TestRepeatedSignupDoesNotRevealOrChangeTheUser(t *testing.T) {
	d := newDeployment(t)
	for name, confirmed := range map[string]bool{"unconfirmed": false, "confirmed": true} {
		email := newAddress()
		user := d.signUp(email, newPassword())
		if confirmed {
			d.people.Exec(`update users set email_confirmed_at = now() where id = $1`, user.ID)
		}
		stored := one[string](d, `select u::text from users u where id = $1`, user.ID)
		again := d.signUp(email, newPassword())
		if again.ID == user.ID || again.ID.Version() != 4 || again.Email != email || again.EmailConfirmedAt != nil {
			t.Errorf("%s: got %+v", name, again)
		}
		if now := one[string](d, `select u::text from users u where id = $1`, user.ID); now != stored {
			t.Errorf("%s: the user was changed", name)
		}
	}
}

// In a pool without permits, hashing waits until the context ends. So a signup that succeeds has not hashed the password.
func TestSignupHashesForEveryAddress(t *testing.T) {
	d := newDeployment(t)
	known := newAddress()
	d.signUp(known, newPassword())
	blocked := &account.Accounts{DB: d.db, Passwords: password.New(password.DefaultBudget, d.db, budget.NewCharger(d.db), slowhash.NewPool(0, 10), d.Networks, prometheus.NewRegistry()), Outbox: d.Outbox}
	for name, email := range map[string]string{"a known address": known, "an unknown address": newAddress()} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if _, err := blocked.Signup(ctx, email, secret.New(newPassword())); err == nil {
			t.Errorf("%s: answered without a hash", name)
		}
		cancel()
	}
}

func TestSignupIsRefusedWhenThePoolIsFull(t *testing.T) {
	d := newDeployment(t)
	for {
		if _, err := d.pool.Reserve(uuid.New()); err != nil { // each caller is a tenant
			break
		}
	}
	_, err := d.Signup(t.Context(), newAddress(), secret.New(newPassword()))
	wantError(t, err, slowhash.ErrBusy)
	if n := one[int](d, `select count(*) from users`); n != 0 {
		t.Errorf("%d users", n)
	}
}

func TestSignupOfAConfirmedAddressSendsANotice(t *testing.T) {
	d := newDeployment(t)
	email := newAddress()
	d.signUp(email, newPassword())
	d.confirm(d.box.Last(email, 1).Token)
	d.signUp(email, newPassword())
	d.box.Last(email, 1) // within a minute
	d.pass("1 minute")
	for range 2 {
		d.signUp(email, newPassword())
	}
	if letter := d.box.Last(email, 2); letter.Token != "" || !strings.Contains(letter.Subject, "already") {
		t.Errorf("got\n%s", letter.Raw)
	}
}
