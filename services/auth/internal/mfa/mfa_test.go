package mfa_test

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/pquerna/otp/hotp"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/services/auth/internal/mfa"
)

const (
	oldKey = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	newKey = "new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
)

// deployment is a database of the test's own, with a clock for TOTP codes. Each replica has Factors of its own.
type deployment struct {
	t      *testing.T
	db     *sqlx.DB
	people storetest.People
	clock  *atomic.Int64
}

func newDeployment(t *testing.T) deployment {
	t.Parallel()
	database := storetest.Postgres(t)
	db := database.Open(t, schema.RoleAuth)
	d := deployment{t, db, storetest.NewPeople(t, database), &atomic.Int64{}}
	d.clock.Store(1_800_000_000)
	return d
}

func (d deployment) now() time.Time { return time.Unix(d.clock.Load(), 0) }

type replica struct {
	deployment
	*mfa.Factors
}

func (d deployment) replica(keys string) replica { return d.replicaWith(keys, mfa.DefaultBudget) }

func (d deployment) replicaWith(keys string, limits budget.Limits) replica {
	d.t.Helper()
	ring, err := keyring.Parse(keys)
	if err != nil {
		d.t.Fatal(err)
	}
	factors := mfa.New(d.db, budget.NewCharger(d.db), ring, limits, "https://auth.example.test")
	factors.Now = d.now
	return replica{d, factors}
}

// one returns the value that a query finds.
func one[T any](d deployment, q string, args ...any) (value T) {
	d.t.Helper()
	d.people.Get(&value, q, args...)
	return value
}

// app is a user's authenticator app and recovery codes.
type app struct {
	d        deployment
	user     uuid.UUID
	secret   string
	recovery []string
}

// code returns the code that the app shows after this number of time steps.
func (a app) code(steps int) string {
	a.d.t.Helper()
	code, err := hotp.GenerateCode(a.secret, uint64(a.d.clock.Load()/30+int64(steps)))
	if err != nil {
		a.d.t.Fatal(err)
	}
	return code
}

// next returns a code that was not used yet.
func (a app) next() string {
	a.d.clock.Add(30)
	return a.code(0)
}

// wrong returns a code that the app does not show in the next steps.
func (a app) wrong() string {
	for i := range 1_000_000 {
		code := fmt.Sprintf("%06d", i)
		if !slices.ContainsFunc([]int{-2, -1, 0, 1, 2}, func(step int) bool { return a.code(step) == code }) {
			return code
		}
	}
	return ""
}

func parse(t *testing.T, text string) mfa.Code {
	t.Helper()
	code, err := mfa.ParseCode(secret.New(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return code
}

func (r replica) user() (id uuid.UUID) {
	r.t.Helper()
	r.people.Get(&id, `insert into users (email, password_hash, email_confirmed_at) values ($1, '', now()) returning id`, uuid.NewString()+"@example.test")
	return id
}

func (r replica) enrol(user uuid.UUID) app {
	r.t.Helper()
	e, err := r.Enrol(r.t.Context(), user, "ann@example.test")
	if err != nil {
		r.t.Fatal(err)
	}
	return app{d: r.deployment, user: user, secret: e.Secret.Reveal()}
}

// confirmed returns the app of a user with an active second factor.
func (r replica) confirmed(user uuid.UUID) app {
	r.t.Helper()
	a := r.enrol(user)
	codes, err := r.Confirm(r.t.Context(), user, parse(r.t, a.code(0)), func(*sqlx.Tx) error { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	for _, code := range codes {
		a.recovery = append(a.recovery, code.Reveal())
	}
	return a
}

// On a busy machine, an attempt may wait too long for its turn. It was not charged then, so check repeats it.
func (r replica) check(a app, code string) error {
	r.t.Helper()
	for {
		err := r.Check(r.t.Context(), a.user, parse(r.t, code), func(*sqlx.Tx) error { return nil })
		if !errors.Is(err, budget.ErrNotCharged) {
			return err
		}
	}
}

func (r replica) want(a app, code string, want error) {
	r.t.Helper()
	if err := r.check(a, code); !errors.Is(err, want) {
		r.t.Errorf("got %v, want %v", err, want)
	}
}

// charged is the number of charged attempts since the last right code.
func (d deployment) charged() int {
	d.t.Helper()
	return one[int](d, `select coalesce(sum(charged - window_start), 0) from guess_budgets where kind = 'second_factor'`)
}

func TestFactorIsActiveAfterItsConfirmation(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	user := r.user()
	replaced, enrolled := r.enrol(user), r.enrol(user)
	if s, err := r.Status(t.Context(), user); err != nil || s != (mfa.Status{}) {
		t.Errorf("before the confirmation: %+v, %v", s, err)
	}
	r.want(enrolled, enrolled.code(0), mfa.ErrNoFactor)
	nothing := func(*sqlx.Tx) error { return nil }
	if _, err := r.Confirm(t.Context(), user, parse(t, replaced.code(0)), nothing); !errors.Is(err, mfa.ErrWrong) {
		t.Errorf("a code of the replaced factor: %v", err)
	}
	codes, err := r.Confirm(t.Context(), user, parse(t, enrolled.code(0)), nothing)
	if err != nil || len(codes) != 10 {
		t.Fatalf("%d recovery codes, %v", len(codes), err)
	}
	if s, err := r.Status(t.Context(), user); err != nil || s.ActiveSince == nil || s.RecoveryCodes != 10 {
		t.Errorf("after the confirmation: %+v, %v", s, err)
	}
	if _, err := r.Confirm(t.Context(), user, parse(t, enrolled.code(1)), nothing); !errors.Is(err, mfa.ErrNoFactor) {
		t.Errorf("confirmed again: %v", err)
	}
	if _, err := r.Enrol(t.Context(), user, "ann@example.test"); !errors.Is(err, mfa.ErrActive) {
		t.Errorf("enrolled again: %v", err)
	}
}

func TestFactorIsNotConfirmedWhenTheTransactionFails(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	a := r.enrol(r.user())
	failure := errors.New("failed")
	if _, err := r.Confirm(t.Context(), a.user, parse(t, a.code(0)), func(*sqlx.Tx) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	if s, err := r.Status(t.Context(), a.user); err != nil || s != (mfa.Status{}) {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := r.Confirm(t.Context(), a.user, parse(t, a.code(0)), func(*sqlx.Tx) error { return nil }); err != nil {
		t.Errorf("the code was used by the failed transaction: %v", err)
	}
}

func TestTOTPCodeIsAcceptedOneStepBeforeAndAfter(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	a := r.confirmed(r.user())
	for _, rule := range []struct {
		steps int
		want  error
	}{{-2, mfa.ErrWrong}, {-1, nil}, {0, nil}, {1, nil}, {2, mfa.ErrWrong}} {
		r.clock.Add(300)
		code := a.code(rule.steps)
		r.want(a, code, rule.want)
		r.want(a, code, mfa.ErrWrong) // used
	}
	// A code that is older than the last used one is not accepted.
	r.clock.Add(300)
	r.want(a, a.code(0), nil)
	r.want(a, a.code(-1), mfa.ErrWrong)
}

func TestConcurrentUsesOfACodeSucceedOnce(t *testing.T) {
	d := newDeployment(t)
	limits := mfa.DefaultBudget
	limits.Attempts, limits.Failures = 1000, 1000
	replicas := []replica{d.replicaWith(oldKey, limits), d.replicaWith(oldKey, limits)}
	a := replicas[0].confirmed(replicas[0].user())
	for _, code := range []string{a.next(), a.recovery[0]} {
		var accepted atomic.Int64
		var running sync.WaitGroup
		for i := range 100 {
			running.Go(func() {
				switch err := replicas[i%2].check(a, code); {
				case err == nil:
					accepted.Add(1)
				case !errors.Is(err, mfa.ErrWrong):
					t.Errorf("got %v", err)
				}
			})
		}
		running.Wait()
		if accepted.Load() != 1 {
			t.Errorf("accepted %d times", accepted.Load())
		}
	}
}

func TestFiveWrongCodesLock(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	a := r.confirmed(r.user())
	wantLocked := func(longest time.Duration) {
		t.Helper()
		for _, code := range []string{a.next(), a.recovery[0], a.wrong()} {
			err := r.check(a, code)
			var lock *fault.Error
			if !errors.Is(err, budget.ErrLocked) || !errors.As(err, &lock) || lock.After > longest || lock.After < longest-time.Minute {
				t.Errorf("got %v", err)
			}
		}
	}
	for _, code := range []string{a.wrong(), a.wrong(), a.wrong(), a.wrong(), "0000-0000-0000-0000"} {
		r.want(a, code, mfa.ErrWrong)
	}
	wantLocked(5 * time.Minute)
	const q = `select count(*) from audit where action = 'second_factor.refused' and target_id = $1 and (details ->> 'locked')::boolean = $2`
	if unlocked, locks := one[int](r.deployment, q, a.user, false), one[int](r.deployment, q, a.user, true); unlocked != 4 || locks != 1 {
		t.Errorf("%d audit rows without a lock and %d with a lock", unlocked, locks)
	}
	r.people.Exec(`update guess_budgets set locked_until = now()`)
	for range 5 {
		r.want(a, a.wrong(), mfa.ErrWrong)
	}
	wantLocked(10 * time.Minute)
	r.people.Exec(`update guess_budgets set locked_until = now()`)
	r.want(a, a.recovery[0], nil)
	if n := r.charged(); n != 0 {
		t.Errorf("%d attempts are still charged", n)
	}
}

func TestRecoveryCodeIsUsedOnce(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	a, other := r.confirmed(r.user()), r.confirmed(r.user())
	r.want(a, a.recovery[0], nil)
	r.want(a, a.recovery[0], mfa.ErrWrong)
	r.want(a, " "+strings.ToUpper(strings.ReplaceAll(a.recovery[1], "-", " ")), nil)
	r.want(other, a.recovery[2], mfa.ErrWrong)
	if s, err := r.Status(t.Context(), a.user); err != nil || s.RecoveryCodes != 8 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := r.RenewRecoveryCodes(t.Context(), a.user, parse(t, a.next())); err != nil {
		t.Fatal(err)
	}
	r.want(a, a.recovery[2], mfa.ErrWrong)
	if s, err := r.Status(t.Context(), a.user); err != nil || s.RecoveryCodes != 10 {
		t.Errorf("%+v, %v", s, err)
	}
	if n := one[int](r.deployment, `select count(*) from audit where action = 'second_factor.proved' and target_id = $1 and details ->> 'recovery_code' = 'true'`, a.user); n != 2 {
		t.Errorf("%d audit rows of recovery codes", n)
	}
}

func TestRemovedFactorLeavesNoCodes(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	for _, pick := range []func(app) string{app.next, func(a app) string { return a.recovery[9] }} {
		a := r.confirmed(r.user())
		if err := r.Remove(t.Context(), a.user, parse(t, a.wrong())); !errors.Is(err, mfa.ErrWrong) {
			t.Errorf("got %v", err)
		}
		if err := r.Remove(t.Context(), a.user, parse(t, pick(a))); err != nil {
			t.Errorf("got %v", err)
		}
		r.want(a, a.next(), mfa.ErrNoFactor)
		again := r.confirmed(a.user)
		r.want(again, a.recovery[5], mfa.ErrWrong)
	}
}

func TestWithoutTheKeyOfTheSecretOnlyRecoveryCodesWork(t *testing.T) {
	d := newDeployment(t)
	r, without := d.replica(oldKey), d.replica(newKey)
	a := r.confirmed(r.user())
	without.want(a, a.next(), mfa.ErrUnknownKey)
	if n := d.charged(); n != 0 {
		t.Errorf("%d attempts were charged", n)
	}
	without.want(a, a.recovery[0], nil)
	d.replica(newKey+","+oldKey).want(a, a.next(), nil)
}

func TestSecretsAndCodesAreNotStored(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	a := r.confirmed(r.user())
	r.want(a, a.recovery[0], nil)
	stored := r.people.Dump()
	if !strings.Contains(stored, a.user.String()) {
		t.Error("the dump does not contain the user")
	}
	raw, err := base32.StdEncoding.DecodeString(a.secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append([]string{a.secret, string(raw)}, a.recovery...) {
		bare := strings.ReplaceAll(text, "-", "")
		sum := sha256.Sum256([]byte(bare)) // without the user's id, one guess could be compared with all users' codes
		for _, form := range []string{text, bare, fmt.Sprintf("%x", text), fmt.Sprintf("%x", bare), fmt.Sprintf("%x", sum)} {
			if strings.Contains(stored, form) {
				t.Errorf("%.6s… is stored", text)
			}
		}
	}
}

func TestFactorIsDeletedWithItsUser(t *testing.T) {
	r := newDeployment(t).replica(oldKey)
	a := r.confirmed(r.user())
	r.people.Exec(`delete from users where id = $1`, a.user)
	for _, table := range []string{"second_factors", "recovery_codes"} {
		if n := one[int](r.deployment, `select count(*) from `+table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
}
