package budget_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

const subject = "person@example.test"

type world struct {
	*testing.T
	budget.Guesses
	people storetest.People
}

// newWorld returns a budget of 3 attempts, with locks of 1, 2, 4 and 4 minutes and at most 9 consecutive failures.
func newWorld(t *testing.T) world {
	t.Parallel()
	database := storetest.Postgres(t)
	db, err := stores.OpenPostgres(stores.PostgresConfig{URL: database.URLAs(schema.RoleAuth, "lock_timeout=1s"), Connections: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	limits := budget.Limits{Attempts: 3, Lock: time.Minute, LockMax: 4 * time.Minute, Failures: 9}
	return world{t, budget.Guesses{DB: db, Charger: budget.NewCharger(db), Kind: budget.Password, Limits: limits}, storetest.NewPeople(t, database)}
}

func (w world) charged() budget.Attempt {
	w.Helper()
	a, err := w.Charge(w.Context(), subject)
	if err != nil {
		w.Fatalf("charging: %v", err)
	}
	return a
}

func (w world) right(a budget.Attempt) {
	w.Helper()
	if err := w.SettleRight(w.Context(), w.DB, a); err != nil {
		w.Fatal(err)
	}
}

// locked checks that the next attempt is refused for this long. A lock may be up to 30 s shorter, because the test takes time.
func (w world) locked(want time.Duration) {
	w.Helper()
	_, err := w.Charge(w.Context(), subject)
	var refusal *fault.Error
	if !errors.As(err, &refusal) || !errors.Is(err, budget.ErrLocked) {
		w.Fatalf("got %v, want ErrLocked", err)
	}
	if refusal.After > want || refusal.After < want-30*time.Second {
		w.Errorf("locked for %s, want %s", refusal.After, want)
	}
}

// endLock ends the lock by moving its end, not the clock.
func (w world) endLock() { w.people.Exec(`update guess_budgets set locked_until = now()`) }

func TestParallelAttemptsAreChargedUpToTheLimit(t *testing.T) {
	w := newWorld(t)
	var charged atomic.Int64
	var wait sync.WaitGroup
	for range 60 {
		wait.Go(func() {
			_, err := w.Charge(t.Context(), subject)
			for errors.Is(err, budget.ErrNotCharged) { // on a busy machine, a charge may wait too long for its turn
				_, err = w.Charge(t.Context(), subject)
			}
			switch {
			case err == nil:
				charged.Add(1)
			case !errors.Is(err, budget.ErrLocked):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if charged.Load() != 3 {
		t.Errorf("%d attempts were charged, want 3", charged.Load())
	}
}

func TestLocksDoubleUpToLockMax(t *testing.T) {
	w := newWorld(t)
	for _, lock := range []time.Duration{time.Minute, 2 * time.Minute} {
		w.charged()
		w.charged()
		if a := w.charged(); a.LockedFor > lock || a.LockedFor < lock-30*time.Second {
			t.Errorf("the last attempt locks for %s, want %s", a.LockedFor, lock)
		}
		w.locked(lock)
		w.endLock()
	}
	w.Limits.Failures = 0
	for range 3 {
		w.charged()
	}
	w.locked(4 * time.Minute)
	w.endLock()
	for range 3 {
		w.charged()
	}
	w.locked(4 * time.Minute)
}

func TestLastFailureLocksUntilRenewal(t *testing.T) {
	w := newWorld(t)
	for i := range 9 {
		if a := w.charged(); a.UsedUp != (i == 8) {
			t.Errorf("attempt %d: used up is %v", i+1, a.UsedUp)
		}
		w.endLock()
	}
	for range 2 {
		if _, err := w.Charge(t.Context(), subject); !errors.Is(err, budget.ErrUsedUp) {
			t.Errorf("got %v, want ErrUsedUp", err)
		}
		w.endLock()
	}
	if err := w.Renew(t.Context(), w.DB, subject); err != nil {
		t.Fatal(err)
	}
	if a := w.charged(); a.Number != 10 {
		t.Errorf("number %d, want 10", a.Number)
	}
}

func TestRightAttemptForgivesEarlierAttemptsOnly(t *testing.T) {
	w := newWorld(t)
	first := w.charged()
	w.charged()
	w.right(first)
	w.charged()
	third := w.charged() // the third in the window that started after the first attempt
	w.locked(time.Minute)
	w.right(first)
	w.locked(time.Minute)
	w.right(third)
	w.charged()
	w.charged()
	w.charged()
	w.locked(time.Minute) // not two minutes, because an attempt was right meanwhile
}

func TestEachSubjectAndKindHasItsOwnBudget(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.charged()
	}
	w.locked(time.Minute)
	if _, err := w.Charge(t.Context(), "another@example.test"); err != nil {
		t.Error(err)
	}
	w.Kind = budget.SecondFactor
	w.charged()
}

func TestDisconnectDoesNotCancelTheCharge(t *testing.T) {
	w := newWorld(t)
	ctx, disconnect := context.WithCancel(t.Context())
	disconnect()
	for range 3 {
		if _, err := w.Charge(ctx, subject); err != nil {
			t.Fatal(err)
		}
	}
	w.locked(time.Minute)
}
