package budget_test

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/stores"
)

// hold locks the row of the subject until the returned transaction ends.
func (w world) hold() *sqlx.Tx {
	w.Helper()
	tx, err := w.DB.Beginx()
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { tx.Rollback() })
	tx.MustExec(`select from guess_budgets for update`)
	return tx
}

// waiting waits until a backend waits for a lock.
func (w world) waiting() {
	for n := 0; n == 0; {
		w.people.Get(&n, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
	}
}

func (w world) chargedInPostgres() (n int) {
	w.people.Get(&n, `select charged from guess_budgets`)
	return n
}

// While a row is locked, its charges are refused and not applied later. They wait in the process, and only one of them at a time
// waits in Postgres.
func TestLockedRowChargesNothing(t *testing.T) {
	w := newWorld(t)
	w.charged()
	held := w.hold()
	outcomes := make(chan error)
	for range 5 {
		go func() {
			_, err := w.Charge(context.Background(), subject)
			outcomes <- err
		}()
	}
	w.waiting()
	if _, err := w.Charge(t.Context(), "another@example.test"); err != nil {
		t.Errorf("a charge of another row: %v", err)
	}
	inPostgres := 0
	for range 5 {
		err := <-outcomes
		if !errors.Is(err, budget.ErrNotCharged) {
			t.Errorf("%v, want ErrNotCharged", err)
		}
		if pgErr := (*pq.Error)(nil); errors.As(err, &pgErr) {
			inPostgres++
		}
	}
	if inPostgres == 0 || inPostgres > 3 { // each waits a second in Postgres, or two seconds in the process
		t.Errorf("%d of 5 charges waited in Postgres", inPostgres)
	}
	held.Rollback()
	if a := w.charged(); a.Number != 2 {
		t.Errorf("the next attempt has number %d, want 2", a.Number)
	}
}

// After a charge whose outcome is unknown, nothing is charged until a probe is confirmed.
func TestUnknownOutcomeStopsCharging(t *testing.T) {
	w := newWorld(t)
	w.charged()
	held := w.hold()
	outcome := make(chan error)
	go func() {
		_, err := w.Charge(context.Background(), subject)
		outcome <- err
	}()
	w.waiting()
	w.people.Exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
	if err := <-outcome; !errors.Is(err, budget.ErrUnknown) {
		t.Errorf("after the connection ended: %v, want ErrUnknown", err)
	}
	held.Rollback()
	w.people.Exec(`revoke insert on commit_probes from countersign_auth`)
	for range 3 {
		if _, err := w.Charge(t.Context(), subject); !errors.Is(err, budget.ErrPaused) {
			t.Errorf("while no probe is confirmed: %v, want ErrPaused", err)
		}
	}
	if n := w.chargedInPostgres(); n != 1 {
		t.Errorf("%d attempts are charged, want 1", n)
	}
	w.people.Exec(`grant insert on commit_probes to countersign_auth`)
	if a := w.charged(); a.Number != 2 {
		t.Errorf("the next attempt has number %d, want 2", a.Number)
	}
}

// An error that is not the store's is returned as it is, and charging is not paused.
func TestWrongStatementDoesNotPauseCharging(t *testing.T) {
	w := newWorld(t)
	err := w.Charger.Charge(t.Context(), "row", func(ctx context.Context) error {
		_, err := w.DB.ExecContext(ctx, `select 1 / 0`)
		return err
	})
	if err == nil || stores.Unavailable(err) || errors.Is(err, budget.ErrUnknown) {
		t.Errorf("%v", err)
	}
	w.people.Exec(`revoke insert on commit_probes from countersign_auth`)
	w.charged()
}

// A storm of guesses at a locked row is refused without a statement for each guess.
func TestRefusedChargeRefusesTheWaitingCharges(t *testing.T) {
	w := newWorld(t)
	const charges = 50
	waiting, statements := make(chan struct{}), 0
	outcomes := make(chan error)
	for range charges {
		go func() {
			outcomes <- w.Charger.Charge(context.Background(), "row", func(context.Context) error {
				statements++ // one charge of a row runs at a time
				<-waiting
				return sql.ErrNoRows
			})
		}()
	}
	for w.Charger.Waiting("row") < charges {
		runtime.Gosched()
	}
	close(waiting)
	for range charges {
		if err := <-outcomes; err != sql.ErrNoRows {
			t.Errorf("%v, want sql.ErrNoRows", err)
		}
	}
	if statements != 1 {
		t.Errorf("%d statements ran for %d charges, want 1", statements, charges)
	}
}
