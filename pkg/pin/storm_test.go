package pin_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/pkg/token"
)

// I1: parallel guesses at two replicas, by every id that leads to the same holder.
func TestParallelGuessesAreComparedExactlyFiveTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	second := w.people.Identity(w.customer, w.instance)
	elsewhere := w.people.Instance()
	there, otherKey := w.people.Identity(w.customer, elsewhere), w.people.ProxyKey(elsewhere)
	w.storm(200, []target{
		{w.key, w.subject()},
		{w.key, pin.Subject{InstanceID: w.instance, CustomerID: some(w.customer)}},
		{w.key, pin.Subject{InstanceID: w.instance, IdentityID: some(second)}},
		{w.key, pin.Subject{InstanceID: w.instance, CustomerID: some(w.customer), IdentityID: some(second)}},
		{otherKey, pin.Subject{InstanceID: elsewhere, IdentityID: some(there)}},
	})
	if got := w.comparisons(); got != 5 {
		t.Errorf("%d comparisons, want 5", got)
	}
}

// target is a subject, and a proxy key of its instance.
type target struct {
	key     token.Token
	subject pin.Subject
}

// storm sends n wrong guesses in parallel. No guess may be right, and no error but slowhash.ErrBusy may occur. On a busy machine, a
// guess may wait too long for its turn. It was not charged then, so storm repeats it.
func (w *world) storm(n int, targets []target) {
	w.t.Helper()
	replicas := []*pin.Verifier{w.verifier, w.second}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			at := targets[i%len(targets)]
			var result pin.Result
			var err error = budget.ErrNotCharged
			for errors.Is(err, budget.ErrNotCharged) {
				result, err = replicas[i%len(replicas)].Verify(context.Background(), at.key, at.subject, wrongPIN)
			}
			if err != nil && !errors.Is(err, slowhash.ErrBusy) || result.Outcome == pin.Right {
				w.t.Errorf("guess %d: %s, %v", i, result.Outcome, err)
			}
		})
	}
	wg.Wait()
}

// I2: lost data or a failure of Redis allows no further attempt.
func TestRedisFailureAllowsNoFurtherAttempt(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		name string
		do   func(*storetest.RedisServer, *world)
	}{
		{"flushed", func(_ *storetest.RedisServer, w *world) { w.redis.FlushAll(context.Background()) }},
		{"killed", func(r *storetest.RedisServer, _ *world) { r.Stop() }},
		{"restarted", func(r *storetest.RedisServer, _ *world) { r.Stop(); r.Start() }},
		{"frozen", func(r *storetest.RedisServer, _ *world) { r.Pause() }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			server := storetest.OwnRedis(t)
			w := newWorldOn(t, server.URL)
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
			w.storm(3, []target{{w.key, w.subject()}})
			fault.do(server, w)
			w.storm(100, []target{{w.key, w.subject()}})
			if fault.name == "frozen" {
				server.Resume()
			}
			if got := w.comparisons(); got != 5 {
				t.Errorf("%d comparisons, want 5", got)
			}
		})
	}
}

func TestWithoutRedisThereIsAnOutcomeButNoSession(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	w := newWorldOn(t, server.URL)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	server.Stop()
	if got := w.verify(rightPIN); got.Outcome != pin.Right || got.Session != nil {
		t.Errorf("%s with a session: %v", got.Outcome, got.Session != nil)
	}
}

// I3: a charge that is not settled is a failure. A trigger makes the verifier unreadable during the charge, so the
// verification fails between charge and comparison.
func TestUnsettledChargeIsAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	var stored string
	w.people.Get(&stored, `select verifier from pin_holders`)
	w.people.Exec(`create function spoil() returns trigger language plpgsql as $$ begin
		if new.charged > old.charged then new.verifier = 'unreadable'; end if; return new; end $$`)
	w.people.Exec(`create trigger spoil before update on pin_holders for each row execute function spoil()`)
	for range 5 {
		if _, err := w.verifier.Verify(context.Background(), w.key, w.subject(), rightPIN); err == nil {
			t.Fatal("an unreadable verifier led to an outcome")
		}
		w.people.Exec(`update pin_holders set verifier = $1`, stored)
	}
	if got := w.verify(rightPIN); got.Outcome != pin.Locked {
		t.Errorf("after five lost attempts: %s", got.Outcome)
	}
	var locks int
	w.people.Get(&locks, `select count(*) from audit where action = 'pin.locked'`)
	if locks != 1 {
		t.Errorf("%d rows pin.locked, want 1", locks)
	}
}

func TestLockHasOneAuditRowAndOneMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.budget = budget.Limits{Attempts: 2, Lock: time.Minute, LockMax: time.Minute, Failures: 4}
	w.verifier, _ = w.replica(keyOne, prometheus.NewRegistry())
	w.set(w.identityHolder(), rightPIN, pin.ByAdmin)
	ctx := caller.NewContext(context.Background(), caller.Caller{Kind: caller.ProxyKey, RequestID: "request-1", Address: "192.0.2.1"})
	for _, want := range []int{0, 1, 1, 2} { // the second attempt locks, the fourth deactivates
		if _, err := w.verifier.Verify(ctx, w.key, w.subject(), wrongPIN); err != nil {
			t.Fatal(err)
		}
		var rows int
		w.people.Get(&rows, `
			select count(*) from audit a join proxy_keys k on k.id = a.actor_id
			 where action in ('pin.locked', 'pin.deactivated') and actor_kind = 'proxy_key' and k.instance_id = $1 and a.instance_id = $1
			   and a.customer_id = $2 and identity_id = $3 and request_id = 'request-1' and address = '192.0.2.1' and target_id is null and details = '{}'`,
			w.instance, w.customer, w.identity)
		if rows != want {
			t.Errorf("%d rows of locks and deactivations, want %d", rows, want)
		}
		w.endLock(w.identityHolder())
	}
	var last string
	w.people.Get(&last, `select action from audit order by id desc limit 1`)
	if last != "pin.deactivated" {
		t.Errorf("the last row is %s, want pin.deactivated", last)
	}
	var mails string
	w.people.Get(&mails, `select string_agg(kind || ' ' || source, ', ' order by created_at) from mails where customer_id = $1 and kind in ('pin_locked', 'pin_deactivated')`, w.customer)
	if mails != "pin_locked an agent of this service, pin_deactivated an agent of this service" {
		t.Errorf("the customer gets the mails %s", mails)
	}
}

func TestDisconnectBeforeTheChargeChargesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	ctx, disconnect := context.WithCancel(context.Background())
	disconnect()
	if _, err := w.verifier.Verify(ctx, w.key, w.subject(), wrongPIN); err == nil {
		t.Fatal("a cancelled request was answered")
	}
	if got := w.verify(wrongPIN); *got.Remaining != 4 {
		t.Errorf("%d left, want 4", *got.Remaining)
	}
}

// If the client disconnects after the charge, the attempt is still compared and settled.
func TestDisconnectAfterTheChargeIsSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	held, err := w.db.Beginx() // the charge waits for this transaction
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback()
	held.MustExec(`select from pin_holders for update`)
	ctx, disconnect := context.WithCancel(context.Background())
	outcome := make(chan pin.Result)
	go func() {
		result, _ := w.verifier.Verify(ctx, w.key, w.subject(), rightPIN)
		outcome <- result
	}()
	for waiting := 0; waiting == 0; {
		w.people.Get(&waiting, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
	}
	disconnect()
	held.Rollback()
	if got := <-outcome; got.Outcome != pin.Right {
		t.Errorf("the outcome: %s", got.Outcome)
	}
	if got := w.verify(wrongPIN); *got.Remaining != 4 {
		t.Errorf("%d left, want 4: the right attempt was not settled", *got.Remaining)
	}
}

// If the PIN is replaced during the comparison, the outcome is lost.
func TestOutcomeForAReplacedPINIsAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.people.Exec(`create function late() returns trigger language plpgsql as $$ begin
		update pin_holders set generation = gen_random_uuid() where holder_id = new.holder_id; return null; end $$`)
	w.people.Exec(`create constraint trigger late after insert on attempts deferrable initially deferred for each row execute function late()`)
	if got := w.verify(rightPIN); got.Outcome != pin.Wrong || got.Session != nil || *got.Remaining != 4 {
		t.Errorf("%s with %d left", got.Outcome, *got.Remaining)
	}
	var outcome string
	w.people.Get(&outcome, `select outcome from attempts where holder_id = $1`, w.customer)
	if outcome != "lost" {
		t.Errorf("the recorded outcome is %s, want lost", outcome)
	}
}

// A charge that waits for the holder's row is ended by Postgres. If it was cancelled, nothing was charged. If its connection
// ended, the outcome is unknown, and nothing more is charged until a probe is confirmed.
func TestChargeThatPostgresEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	for _, rule := range []struct {
		end  string
		want error
	}{{"pg_cancel_backend", budget.ErrNotCharged}, {"pg_terminate_backend", budget.ErrUnknown}} {
		held := w.db.MustBegin()
		held.MustExec(`select from pin_holders for update`)
		outcome := make(chan error)
		go func() {
			_, err := w.verifier.Verify(context.Background(), w.key, w.subject(), rightPIN)
			outcome <- err
		}()
		for ended := 0; ended == 0; {
			w.people.Get(&ended, `select count(*) from pg_stat_activity
				where case when datname = current_database() and wait_event_type = 'Lock' then `+rule.end+`(pid) end`)
		}
		held.Rollback()
		if err := <-outcome; !errors.Is(err, rule.want) {
			t.Errorf("%s: %v, want %v", rule.end, err, rule.want)
		}
	}
	w.people.Exec(`revoke insert on commit_probes from countersign_pin_internal`)
	if _, err := w.verifier.Verify(context.Background(), w.key, w.subject(), rightPIN); !errors.Is(err, budget.ErrPaused) {
		t.Errorf("while no probe is confirmed: %v, want ErrPaused", err)
	}
	w.people.Exec(`grant insert on commit_probes to countersign_pin_internal`)
	if got := w.verify(wrongPIN); *got.Remaining != 4 {
		t.Errorf("%d left, want 4", *got.Remaining)
	}
}

// A store that fails after the charge leaves an attempt without a verdict. The agent must not repeat it.
func TestStoreFailureAfterTheChargeIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.people.Exec(`create function fail() returns trigger language plpgsql as $$ begin raise exception 'locked' using errcode = '55P03'; end $$`)
	w.people.Exec(`create trigger fail before update on attempts for each row execute function fail()`)
	for _, candidate := range []pin.PIN{rightPIN, wrongPIN} {
		if _, err := w.verifier.Verify(context.Background(), w.key, w.subject(), candidate); !errors.Is(err, budget.ErrUnknown) {
			t.Errorf("%v, want ErrUnknown", err)
		}
	}
	w.people.Exec(`drop trigger fail on attempts`)
	if got := w.verify(wrongPIN); *got.Remaining != 2 {
		t.Errorf("%d left, want 2", *got.Remaining)
	}
}

func TestChangeWhoseConnectionIsLostIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.people.Exec(`create function fail() returns trigger language plpgsql security definer as $$ begin
		perform pg_terminate_backend(pg_backend_pid()); return new; end $$`)
	w.people.Exec(`create trigger fail before insert on pin_holders for each row execute function fail()`)
	if _, err := w.pins.Set(context.Background(), w.instance, w.customerHolder(), rightPIN, pin.ByAdmin); !errors.Is(err, pin.ErrChangeUnknown) {
		t.Errorf("%v, want ErrChangeUnknown", err)
	}
}
