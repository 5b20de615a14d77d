package pin_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// refusedAtBoth locks the PIN and lets both replicas remember the refusal.
func (w *world) refusedAtBoth() {
	w.t.Helper()
	w.exhaust()
	w.forgetChange()
	w.atBoth(wrongPIN, pin.Locked)
	lock, err := w.patient.Get(context.Background(), w.lockKey()).Result()
	if err != nil || lock == "open" {
		w.t.Fatalf("the replicas do not remember the refusal: the lock key is %q, %v", lock, err)
	}
}

func (w *world) lockKey() string { return "pin:{" + w.customer.String() + "}:lock" }

// forgetChange deletes the lock key, as if the last change of the PIN was some seconds ago.
func (w *world) forgetChange() {
	w.t.Helper()
	if err := w.patient.Del(context.Background(), w.lockKey()).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// atBoth checks the outcome of a candidate at each replica.
func (w *world) atBoth(candidate pin.PIN, want pin.Outcome) {
	w.t.Helper()
	for i, replica := range []*pin.Verifier{w.verifier, w.second} {
		result, err := replica.Verify(context.Background(), w.key, w.subject(), candidate)
		if err != nil || result.Outcome != want {
			w.t.Errorf("replica %d: %s, %v, want %s", i+1, result.Outcome, err, want)
		}
	}
}

// Without remembered refusals, each of the 600 guesses is one transaction. A replica asks Postgres about once a second.
func TestStormOnALockedPINNeedsFewTransactions(t *testing.T) {
	t.Parallel()
	w := newPatientWorld(t, storetest.Redis(t))
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.exhaust()
	w.forgetChange()
	before := w.transactions()
	const guesses = 600
	w.atBoth(wrongPIN, pin.Locked)
	w.storm(guesses, []target{{w.key, w.subject()}})
	after := w.transactions()
	if after-before > guesses/10 {
		t.Errorf("%d transactions for %d guesses", after-before, guesses)
	}
}

// The figures of docs/decisions/0017 come from this benchmark.
func BenchmarkStormOnALockedPIN(b *testing.B) {
	w := newWorld(b)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.exhaust()
	w.forgetChange()
	before := w.transactions()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(guesses *testing.PB) {
		for guesses.Next() {
			if result, err := w.verifier.Verify(context.Background(), w.key, w.subject(), wrongPIN); err != nil || result.Outcome != pin.Locked {
				b.Errorf("%s, %v", result.Outcome, err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "refusals/s")
	b.ReportMetric(float64(w.transactions()-before)/b.Elapsed().Seconds(), "transactions/s")
}

// transactions returns the number of transactions in the test's database. A server process adds its transactions to the
// statistics when it ends, so transactions first closes the connections of the replicas.
func (w *world) transactions() (n int) {
	w.t.Helper()
	address, err := url.Parse(w.database.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	database := strings.TrimPrefix(address.Path, "/")
	address.Path = "/postgres" // a query there is no transaction in the test's database
	server, err := sqlx.Open("postgres", address.String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Close()
	w.db.SetMaxIdleConns(0)
	for open := 1; open > 0; {
		const q = `select count(*) from pg_stat_activity where datname = $1 and application_name = $2`
		if err := server.Get(&open, q, database, replicaName); err != nil {
			w.t.Fatal(err)
		}
	}
	w.db.SetMaxIdleConns(10)
	if err := server.Get(&n, `select xact_commit + xact_rollback from pg_stat_database where datname = $1`, database); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// Both replicas remember the refusal when the lock is lifted. The next request must not be refused.
func TestLiftedLockCountsAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		lift func(*world)
		then pin.PIN
		want pin.Outcome
	}{
		{"unlocked", func(w *world) { w.unlock(w.customerHolder()) }, rightPIN, pin.Right},
		{"set by an admin", func(w *world) { w.set(w.customerHolder(), thirdPIN, pin.ByAdmin) }, thirdPIN, pin.Right},
		{"removed", func(w *world) {
			if err := w.pins.Remove(context.Background(), w.customerHolder(), pin.ByAdmin); err != nil {
				w.t.Fatal(err)
			}
		}, rightPIN, pin.NotSet},
		{"the identity has a PIN of its own now", func(w *world) { w.set(w.identityHolder(), thirdPIN, pin.ByAdmin) }, thirdPIN, pin.Right},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newPatientWorld(t, storetest.Redis(t))
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
			w.refusedAtBoth()
			c.lift(w)
			w.atBoth(c.then, c.want)
		})
	}
}

// The last attempt of the budget writes the lock. If its PIN is right, settling lifts the lock again. In between, the other
// replica refuses an attempt and remembers that.
func TestRightLastAttemptLiftsItsLockAtOnce(t *testing.T) {
	t.Parallel()
	w := newPatientWorld(t, storetest.Redis(t))
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	for range w.budget.Attempts - 1 {
		w.verify(wrongPIN)
	}
	w.people.Exec(`create function hold() returns trigger language plpgsql as $$ begin
		perform pg_advisory_xact_lock(1); return new; end $$`)
	w.people.Exec(`create trigger hold before update on attempts for each row execute function hold()`)
	held, err := w.db.Beginx() // settling waits for this transaction
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback()
	held.MustExec(`select pg_advisory_xact_lock(1)`)
	outcome := make(chan pin.Result)
	go func() {
		result, _ := w.verifier.Verify(context.Background(), w.key, w.subject(), rightPIN)
		outcome <- result
	}()
	for waiting := 0; waiting == 0; {
		w.people.Get(&waiting, `select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`)
	}
	w.forgetChange()
	if result, err := w.second.Verify(context.Background(), w.key, w.subject(), rightPIN); err != nil || result.Outcome != pin.Locked {
		t.Fatalf("before the last attempt is settled: %s, %v", result.Outcome, err)
	}
	held.Rollback()
	if got := <-outcome; got.Outcome != pin.Right {
		t.Fatalf("the last attempt: %s", got.Outcome)
	}
	w.atBoth(rightPIN, pin.Right)
}

// Redis is unreachable when the lock is lifted, so no lock key is written. Then no remembered refusal counts either.
func TestRememberedRefusalDoesNotCountWithoutRedis(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	w := newPatientWorld(t, server.URL)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.refusedAtBoth()
	server.Stop()
	w.unlock(w.customerHolder())
	w.atBoth(rightPIN, pin.Right)
}

// Postgres is restored from a backup of before the lock. Redis still has the lock.
func TestRestoredPostgresLocksNobodyOut(t *testing.T) {
	t.Parallel()
	w := newPatientWorld(t, storetest.Redis(t))
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.people.Exec(`create table backup as select * from pin_holders`)
	w.refusedAtBoth()
	w.people.Exec(`truncate attempts`)
	w.people.Exec(`update pin_holders h set charged = b.charged, window_start = b.window_start, forgiven = b.forgiven, locks = b.locks,
		locked_by = b.locked_by, locked_until = b.locked_until, session_generation = b.session_generation from backup b where b.holder_id = h.holder_id`)

	// A replica that started after the restore remembers nothing.
	w.verifier, _ = w.replica(keyOne, prometheus.NewRegistry())
	if got := w.verify(rightPIN); got.Outcome != pin.Right {
		t.Errorf("at a new replica: %s", got.Outcome)
	}
	// A replica that remembers the refusal asks Postgres again after at most two seconds.
	for end := time.Now().Add(30 * time.Second); ; {
		result, err := w.second.Verify(context.Background(), w.key, w.subject(), rightPIN)
		if err != nil {
			t.Fatal(err)
		}
		if result.Outcome == pin.Right {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the holder is still locked out")
		}
	}
}

// A replica that remembers a lock must not answer "locked" after the instance has stopped to take PINs from agents.
func TestSwitchToPageCountsAtOnceForALockedPIN(t *testing.T) {
	t.Parallel()
	w := newPatientWorld(t, storetest.Redis(t))
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.refusedAtBoth()
	w.people.Exec(`update instances set pin_entry = 'page' where id = $1`, w.instance)
	if err := w.pins.ForgetRefusals(t.Context(), w.instance); err != nil {
		t.Fatal(err)
	}
	for i, replica := range []*pin.Verifier{w.verifier, w.second} {
		if result, err := replica.Verify(t.Context(), w.key, w.subject(), rightPIN); !errors.Is(err, pin.ErrPageOnly) {
			t.Errorf("replica %d: %s, %v, want ErrPageOnly", i+1, result.Outcome, err)
		}
	}
}

// A lock of another instance stays remembered.
func TestForgetRefusalsConcernsOneInstance(t *testing.T) {
	t.Parallel()
	w := newPatientWorld(t, storetest.Redis(t))
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.refusedAtBoth()
	lock := w.patient.Get(t.Context(), w.lockKey()).Val()
	if err := w.pins.ForgetRefusals(t.Context(), w.people.Instance()); err != nil {
		t.Fatal(err)
	}
	if now := w.patient.Get(t.Context(), w.lockKey()).Val(); now != lock {
		t.Errorf("the lock key is %q, want %q", now, lock)
	}
}
