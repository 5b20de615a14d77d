package api_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/services/auth/operator"
)

// asOperator is the context in which the operator's command calls package operator.
func asOperator(t *testing.T) context.Context {
	return caller.NewContext(t.Context(), caller.Caller{Kind: caller.Operator, RequestID: "run-1"})
}

func TestAdminOfTheOperatorSignsInWithEveryUnicodeFormOfThePassword(t *testing.T) {
	t.Parallel()
	s := newService(t)
	admin := newPerson()
	admin.password = "Café-Canary-Ünï"
	_, err := operator.PutUser(asOperator(t), s.owner, admin.email, operator.Admin, secret.New(norm.NFD.String(admin.password)))
	must(t, err)
	for _, form := range []norm.Form{norm.NFC, norm.NFD} {
		s.login(person{admin.email, form.String(admin.password)})
	}
	if s.profile(s.login(admin).access).Status != http.StatusOK {
		t.Error("the admin's access token is refused")
	}
}

func TestPasswordOfTheOperatorEndsTheLockOfTheAddress(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	old := s.login(p)
	s.asStranger()
	s.exhaust(p.email)
	s.want(s.post("/auth/login", p.form()), http.StatusTooManyRequests)
	p.password = "Another-canary-of-the-operator"
	_, err := operator.PutUser(asOperator(t), s.owner, p.email, operator.Admin, secret.New(p.password))
	must(t, err)
	s.login(p)
	s.want(s.profile(old.access), http.StatusUnauthorized)
	const q = `select count(*) from audit where actor_kind = 'operator' and request_id = 'run-1' and action in ('user.promote', 'password.changed')`
	if n := one[int](s.deployment, q); n != 2 {
		t.Errorf("%d audit rows of the operator, want 2", n)
	}
}

func TestSecondFactorResetByTheOperator(t *testing.T) {
	t.Parallel()
	s := newService(t)
	o := s.guarded()
	challenge := s.challenged(o)
	for range s.settings.MFABudget.Attempts {
		s.answers(challenge, s.wrong(o))
	}
	if err := operator.ResetSecondFactor(asOperator(t), s.owner, "nobody@example.test"); !errors.Is(err, operator.ErrNoUser) {
		t.Errorf("an unknown address: %v", err)
	}
	must(t, operator.ResetSecondFactor(asOperator(t), s.owner, o.email))
	s.login(o.person)
	if left := one[int](s.deployment, `select (select count(*) from second_factors) + (select count(*) from recovery_codes)`); left != 0 {
		t.Errorf("%d rows are left", left)
	}
	const locked = `select count(*) from guess_budgets where kind like 'second_factor%' and (locked_until is not null or deactivated_by is not null or forgiven < charged)`
	if n := one[int](s.deployment, locked); n != 0 {
		t.Error("the guess budget was not renewed")
	}
	if n := s.trail("second_factor.removed", o.id); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	if err := operator.ResetSecondFactor(asOperator(t), s.owner, o.email); err == nil {
		t.Error("a second factor that does not exist was reset")
	}
	if role := one[string](s.deployment, `select role from users where email = $1`, o.email); role != operator.User {
		t.Errorf("the user's role became %s", role)
	}
}
