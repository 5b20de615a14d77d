package account_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/services/auth/internal/account"
	"github.com/countersign/countersign/services/auth/internal/password"
)

// deleteConcurrently calls Delete for each user while the users are locked, so that all calls run at the same time.
func (d *deployment) deleteConcurrently(users []uuid.UUID) (errs []error) {
	d.t.Helper()
	lock := d.people.Begin()
	lock.MustExec(`select from users for update`)
	errs = make([]error, len(users))
	var running sync.WaitGroup
	for i, user := range users {
		running.Go(func() { errs[i] = d.Delete(d.t.Context(), user) })
	}
	d.people.AwaitLocks(len(users))
	if err := lock.Rollback(); err != nil {
		d.t.Fatal(err)
	}
	running.Wait()
	return errs
}

func count(errs []error, want error) (n int) {
	for _, err := range errs {
		if errors.Is(err, want) {
			n++
		}
	}
	return n
}

func TestConcurrentDeletesDeleteAUserOnce(t *testing.T) {
	d := newDeployment(t)
	user := d.signUp(newAddress(), newPassword()).ID
	errs := d.deleteConcurrently([]uuid.UUID{user, user, user, user, user})
	if count(errs, nil) != 1 || count(errs, caller.ErrInvalid) != 4 {
		t.Errorf("got %v", errs)
	}
	if n := one[int](d, `select count(*) from audit where action = 'user.deleted' and target_id = $1 and details = '{}'`, user); n != 1 {
		t.Errorf("%d audit rows", n)
	}
}

func TestDeletedUserLeavesOnlyTheBudgetOfTheAddress(t *testing.T) {
	d := newDeployment(t)
	charger := budget.NewCharger(d.db)
	deleted, other := d.signUp(newAddress(), newPassword()), d.signUp(newAddress(), newPassword())
	for _, user := range []account.User{deleted, other} {
		for _, kind := range []budget.Kind{budget.PasswordSignedIn, budget.SecondFactor, budget.SecondFactorSignedIn, budget.Password} {
			subject := user.ID.String()
			if kind == budget.Password {
				subject = user.Email
			}
			if _, err := (budget.Guesses{DB: d.db, Charger: charger, Kind: kind, Limits: password.DefaultBudget}).Charge(t.Context(), subject); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.Delete(t.Context(), deleted.ID); err != nil {
		t.Fatal(err)
	}
	if left := one[string](d, `select string_agg(kind, ' ' order by kind) from guess_budgets`); left != "password password password_signed_in second_factor second_factor_signed_in" {
		t.Errorf("left: %s", left)
	}
}

func TestLastAdminCannotBeDeleted(t *testing.T) {
	d := newDeployment(t)
	var admins []uuid.UUID
	for range 3 {
		admins = append(admins, one[uuid.UUID](d, `insert into users (email, password_hash, role, email_confirmed_at) values ($1, '', 'admin', now()) returning id`, newAddress()))
	}
	// Neither a user without the role nor an unconfirmed admin counts.
	d.people.Exec(`insert into users (email, password_hash, email_confirmed_at) values ($1, '', now())`, newAddress())
	d.people.Exec(`insert into users (email, password_hash, role) values ($1, '', 'admin')`, newAddress())
	errs := d.deleteConcurrently(admins)
	if count(errs, nil) != 2 || count(errs, account.ErrOnlyAdmin) != 1 {
		t.Errorf("got %v", errs)
	}
	if n := one[int](d, `select count(*) from users where role = 'admin' and email_confirmed_at is not null`); n != 1 {
		t.Errorf("%d admins are left", n)
	}
}
