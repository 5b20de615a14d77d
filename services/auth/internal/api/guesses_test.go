package api_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
)

// comparisons are those of a replica so far.
func (s *service) comparisons() int {
	s.t.Helper()
	families, err := s.registry.Gather()
	must(s.t, err)
	for _, family := range families {
		if family.GetName() == "password_comparisons_total" {
			return int(family.GetMetric()[0].GetCounter().GetValue())
		}
	}
	s.t.Fatal("comparisons are not counted")
	return 0
}

// guess is a login with a wrong password.
func (s *service) guess(email string) answer {
	s.t.Helper()
	return s.post("/auth/login", person{email, "Wrong-canary-1"}.form())
}

// spend leaves an address as it is after n wrong passwords since its window began, without hashing any.
func (s *service) spend(email string, n int) {
	s.t.Helper()
	s.exec(`insert into guess_budgets (subject, kind, charged) values (sha256(convert_to('password', 'UTF8') || '\x00' || convert_to($1, 'UTF8')), 'password', $2)
		on conflict (subject) do update set charged = guess_budgets.window_start + excluded.charged`, email, n)
}

func (s *service) exhaust(email string) {
	s.t.Helper()
	s.spend(email, 9)
	s.want(s.guess(email), http.StatusUnauthorized)
}

func (s *service) lockEnds() { s.exec(`update guess_budgets set locked_until = now()`) }

func TestParallelGuessesAreComparedExactlyTenTimes(t *testing.T) {
	t.Parallel()
	s := newService(t)
	second := s.replica(oldKey)
	known, done := s.user(), 0
	for name, email := range map[string]string{"known": known.email, "unknown": newPerson().email} {
		var storm sync.WaitGroup
		for i := range 40 {
			storm.Go(func() {
				spelling := email
				if i%3 == 0 {
					spelling = strings.ToUpper(email)
				}
				a := []*service{s, second}[i%2].guess(spelling)
				if a.Status != http.StatusUnauthorized && a.Status != http.StatusTooManyRequests {
					t.Errorf("%s: got %d %s", name, a.Status, a.Body)
				}
			})
		}
		storm.Wait()
		if done += 10; s.comparisons()+second.comparisons() != done {
			t.Errorf("%s: %d comparisons of 40 guesses at each, want %d", name, s.comparisons()+second.comparisons(), done)
		}
	}
}

func TestALockIsAlikeForEveryAddressAndRefusesARightPasswordUnseen(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p, nobody := s.user(), newPerson()
	held := s.login(p)
	s.exhaust(p.email)
	s.exhaust(nobody.email)
	before := s.comparisons()
	known := s.want(s.post("/auth/login", p.form()), http.StatusTooManyRequests)
	unknown := s.want(s.post("/auth/login", nobody.form()), http.StatusTooManyRequests)
	if known.Body != unknown.Body || known.body["detail"] == "" || len(known.Header) != len(unknown.Header) {
		t.Errorf("known: %s %v, unknown: %s %v", known.Body, known.Header, unknown.Body, unknown.Header)
	}
	for _, a := range []answer{known, unknown} {
		if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 60 {
			t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
		}
	}
	if n := s.comparisons() - before; n != 0 {
		t.Errorf("%d comparisons while locked", n)
	}
	const trail = `select count(*) from audit a left join users u on u.id = a.target_id where action = 'password.locked' and coalesce(u.email, '') = $1`
	for _, email := range []string{p.email, ""} {
		if n := one[int](s.deployment, trail, email); n != 1 {
			t.Errorf("%d locks of %q in the audit trail", n, email)
		}
	}
	s.want(s.profile(held.access), http.StatusOK)
	s.want(s.refresh(held.refresh), http.StatusOK)
	s.lockEnds()
	s.exhaust(p.email)
	if seconds, _ := strconv.Atoi(s.guess(p.email).Header.Get("Retry-After")); seconds <= 60 {
		t.Errorf("the second lock lasts %d seconds", seconds)
	}
	s.lockEnds()
	s.login(p)
}

func TestARightPasswordForgives(t *testing.T) {
	t.Parallel()
	s := newService(t)
	confirmed, unconfirmed := s.user(), s.signedUp()
	for range 2 {
		s.spend(confirmed.email, 9)
		s.spend(unconfirmed.email, 9)
		s.login(confirmed) // the tenth
		if a := s.want(s.post("/auth/login", unconfirmed.form()), http.StatusUnauthorized); !strings.Contains(a.Body, "not confirmed") {
			t.Errorf("got %s", a.Body)
		}
	}
}

// A guess that is never compared, because its client hung up or its replica died, is spent all the same.
func TestAGuessThatIsNotJudgedIsSpent(t *testing.T) {
	t.Parallel()
	s := newService(t)
	dying := s.replicaOver(oldKey, slowhash.NewPool(0, places)).app.API.Logins // nothing is ever hashed there
	for name, p := range map[string]person{"known": s.user(), "unknown": newPerson()} {
		for range 10 {
			ctx, hangUp := context.WithCancel(context.Background())
			hangUp()
			if _, err := dying.Login(ctx, p.email, secret.New(p.password)); err == nil || errors.Is(err, budget.ErrLocked) {
				t.Errorf("%s: %v", name, err)
			}
		}
		s.want(s.post("/auth/login", p.form()), http.StatusTooManyRequests)
	}
}

func TestOverloadChargesNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	full := s.replicaOver(oldKey, slowhash.NewPool(0, 0))
	for range 11 {
		s.want(full.post("/auth/login", p.form()), http.StatusServiceUnavailable)
		s.want(full.post("/auth/login", "{"), http.StatusUnprocessableEntity)
	}
	if n := one[int](s.deployment, `select count(*) from guess_budgets`); n != 0 {
		t.Errorf("%d budgets were charged", n)
	}
}

func TestAPasswordThatIsSetByMailHasAWholeBudget(t *testing.T) {
	t.Parallel()
	s, box := withMail(t)
	p := s.signedUp()
	s.exhaust(p.email)
	s.want(s.verify(box.last(p.email, 1).token), http.StatusOK)
	s.login(p)
	s.exhaust(p.email)
	s.want(s.forgot(p.email), http.StatusOK)
	fresh := person{p.email, newPerson().password}
	s.want(s.reset(box.last(p.email, 2).token, fresh.password), http.StatusOK)
	s.login(fresh)
}

// An address has one budget because it has one spelling, whatever else Postgres takes for the same.
func TestOnlyTheStoredSpellingOfAnAddressOpens(t *testing.T) {
	t.Parallel()
	s := newService(t)
	p := s.user()
	s.exec(`update users set email = upper(email)`)
	s.want(s.post("/auth/login", p.form()), http.StatusUnauthorized)
	s.exec(`update users set email = lower(email)`)
	s.login(p)
}
