package pin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/directory"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/pkg/token"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	const right, wrong, wait, unlock = "right", "wrong", "wait", "unlock"
	for _, rule := range []struct {
		name  string
		tries []string
		want  pin.Outcome
		left  int
	}{
		{"a right PIN", []string{right}, pin.Right, 5},
		{"a wrong PIN", []string{wrong}, pin.Wrong, 4},
		{"four wrong PINs leave one attempt", []string{wrong, wrong, wrong, wrong}, pin.Wrong, 1},
		{"the fifth wrong PIN locks", []string{wrong, wrong, wrong, wrong, wrong}, pin.Wrong, 0},
		{"a right PIN does not end a lock", []string{wrong, wrong, wrong, wrong, wrong, right}, pin.Locked, 0},
		{"the fifth attempt may be right", []string{wrong, wrong, wrong, wrong, right}, pin.Right, 5},
		{"a right PIN forgives failures", []string{wrong, wrong, wrong, wrong, right, wrong}, pin.Wrong, 4},
		{"five more attempts after a lock", []string{wrong, wrong, wrong, wrong, wrong, wait, wrong}, pin.Wrong, 4},
		{"an unlock starts a new window", []string{wrong, wrong, wrong, wrong, wrong, unlock, wrong}, pin.Wrong, 4},
		{"a right PIN after an unlock", []string{wrong, wrong, wrong, wrong, wrong, unlock, right}, pin.Right, 5},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
			var last pin.Result
			for _, try := range rule.tries {
				switch try {
				case right:
					last = w.verify(rightPIN)
				case wrong:
					last = w.verify(wrongPIN)
				case wait:
					w.endLock(w.customerHolder())
				case unlock:
					w.unlock(w.customerHolder())
				}
			}
			if last.Outcome != rule.want || *last.Remaining != rule.left {
				t.Errorf("%s with %d left, want %s with %d", last.Outcome, *last.Remaining, rule.want, rule.left)
			}
			if (last.Session != nil) != (last.Outcome == pin.Right) {
				t.Errorf("%s with a session: %v", last.Outcome, last.Session != nil)
			}
		})
	}
}

func TestLocksDoubleUntilARightPIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.budget.LockMax = time.Hour
	w.budget.Failures = 100
	w.verifier, _ = w.replica(keyOne, prometheus.NewRegistry())
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	for _, want := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, time.Hour} {
		w.wantLock(want)
		w.endLock(w.customerHolder())
	}
	w.verify(rightPIN)
	w.wantLock(15 * time.Minute)
	w.unlock(w.customerHolder()) // an unlock keeps the doubling
	w.wantLock(30 * time.Minute)
}

// wantLock uses up the budget and checks the length of the lock by Postgres's clock.
func (w *world) wantLock(want time.Duration) {
	w.t.Helper()
	w.exhaust()
	var seconds float64
	w.people.Get(&seconds, `select extract(epoch from h.locked_until - a.charged_at) from pin_holders h
		join attempts a on a.holder_id = h.holder_id and a.number = h.charged where h.holder_id = $1`, w.customer)
	if seconds != want.Seconds() {
		w.t.Errorf("locked for %vs, want %v", seconds, want)
	}
}

func TestFiftyFailuresDeactivateThePIN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	// The state after 48 failures and 9 locks.
	w.people.Exec(`update pin_holders set charged = 48, window_start = 45, locks = 9, locked_by = 45 where holder_id = $1`, w.customer)
	w.verify(wrongPIN)
	if got := w.verify(wrongPIN); got.Outcome != pin.Wrong || *got.Remaining != 0 || got.LockedUntil != nil {
		t.Errorf("the fiftieth failure: %+v", got)
	}
	if got := w.verify(rightPIN); got.Outcome != pin.Inactive {
		t.Errorf("a right PIN after the deactivation: %s", got.Outcome)
	}
	status, err := w.pins.Status(context.Background(), w.customerHolder())
	if err != nil || !status.HasPIN || status.IsActive || status.IsLocked {
		t.Errorf("status %+v, %v", status, err)
	}
	w.unlock(w.customerHolder())
	if got := w.verify(rightPIN); got.Outcome != pin.Inactive {
		t.Errorf("after an unlock: %s", got.Outcome)
	}
	w.set(w.customerHolder(), thirdPIN, pin.ByAdmin)
	if got := w.verify(thirdPIN); got.Outcome != pin.Right {
		t.Errorf("after an admin set the PIN: %s", got.Outcome)
	}
}

func TestFiftiethAttemptMayBeRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.people.Exec(`update pin_holders set charged = 49, window_start = 45, locks = 9, locked_by = 45 where holder_id = $1`, w.customer)
	if got := w.verify(rightPIN); got.Outcome != pin.Right {
		t.Fatalf("the fiftieth attempt: %s", got.Outcome)
	}
	if got := w.verify(rightPIN); got.Outcome != pin.Right || *got.Remaining != 5 {
		t.Errorf("the next attempt: %+v", got)
	}
}

// I4: a request that is refused before the charge charges nothing.
func TestRefusedRequestsChargeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	stranger, foreign := w.people.Customer(), w.people.Instance()
	foreignKey := w.people.ProxyKey(foreign)
	for name, try := range map[string]struct {
		key     token.Token
		subject pin.Subject
		want    error
	}{
		"no subject":                                {w.key, pin.Subject{InstanceID: w.instance}, pin.ErrNoSubject},
		"a customer of another instance":            {w.key, pin.Subject{InstanceID: w.instance, CustomerID: some(stranger)}, pin.ErrNotWithin},
		"an unknown identity":                       {w.key, pin.Subject{InstanceID: w.instance, IdentityID: some(uuid.New())}, pin.ErrNotWithin},
		"an identity of another customer":           {w.key, pin.Subject{InstanceID: w.instance, CustomerID: some(stranger), IdentityID: some(w.identity)}, pin.ErrNotWithin},
		"another instance":                          {w.key, pin.Subject{InstanceID: foreign, IdentityID: some(w.identity)}, directory.ErrNoInstance},
		"another instance's key":                    {foreignKey, pin.Subject{InstanceID: w.instance, IdentityID: some(w.identity)}, directory.ErrNoInstance},
		"another instance, its key and an identity": {foreignKey, pin.Subject{InstanceID: foreign, IdentityID: some(w.identity)}, pin.ErrNotWithin},
		"another instance, its key and a customer":  {foreignKey, pin.Subject{InstanceID: foreign, CustomerID: some(w.customer)}, pin.ErrNotWithin},
	} {
		if _, err := w.verifier.Verify(context.Background(), try.key, try.subject, rightPIN); !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
	}
	if got := w.verify(wrongPIN); *got.Remaining != 4 {
		t.Errorf("%d left, want 4", *got.Remaining)
	}
}

// I5: an agent can neither renew a budget nor end a lock.
func TestAgentCannotRenewTheBudget(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	own := w.identityHolder()
	w.set(own, rightPIN, pin.ByAgent)
	for i, change := range []func(){
		func() { w.set(own, thirdPIN, pin.ByAgent) },
		func() { w.pins.Remove(ctx, own, pin.ByAgent); w.set(own, rightPIN, pin.ByAgent) },
		func() { w.set(w.customerHolder(), thirdPIN, pin.ByAdmin) }, // the budget of another holder
		func() { w.redis.Del(ctx, "pin:{"+w.identity.String()+"}:budget") },
	} {
		if got := w.verify(wrongPIN); *got.Remaining != 4-i {
			t.Fatalf("attempt %d: %d left, want %d", i+1, *got.Remaining, 4-i)
		}
		change()
	}
	if got := w.verify(wrongPIN); got.LockedUntil == nil {
		t.Fatal("the fifth failure did not lock the PIN")
	}
	if _, err := w.pins.Set(ctx, w.instance, own, thirdPIN, pin.ByAgent); !errors.Is(err, pin.ErrLocked) {
		t.Errorf("set by an agent while locked: %v", err)
	}
	if err := w.pins.Remove(ctx, own, pin.ByAgent); !errors.Is(err, pin.ErrLocked) {
		t.Errorf("removed by an agent while locked: %v", err)
	}
	if err := w.pins.Remove(ctx, own, pin.ByAdmin); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pins.Set(ctx, w.instance, own, thirdPIN, pin.ByAgent); !errors.Is(err, pin.ErrLocked) {
		t.Errorf("set by an agent after an admin removed the PIN: %v", err)
	}
	w.set(own, thirdPIN, pin.ByAdmin)
	if got := w.verify(thirdPIN); got.Outcome != pin.Right {
		t.Errorf("after an admin set the PIN: %s", got.Outcome)
	}
}

// An identity's first PIN applies instead of its customer's PIN. So an agent cannot set it while the customer's PIN is locked or
// deactivated.
func TestAgentCannotSetAFirstPINInsteadOfALockedPIN(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct {
		name string
		// first runs before the customer's PIN is locked.
		first, refuse func(*world)
		want          error
	}{
		{"the customer's PIN is locked", nil, (*world).exhaust, pin.ErrLocked},
		{"the customer's PIN is deactivated", nil, func(w *world) { w.people.Exec(`update pin_holders set deactivated_by = charged`) }, pin.ErrLocked},
		{"the identity's own PIN was removed before", func(w *world) {
			w.set(w.identityHolder(), thirdPIN, pin.ByAdmin)
			if err := w.pins.Remove(w.t.Context(), w.identityHolder(), pin.ByAdmin); err != nil {
				w.t.Fatal(err)
			}
		}, (*world).exhaust, pin.ErrLocked},
		{"the lock has ended", nil, func(w *world) { w.exhaust(); w.endLock(w.customerHolder()) }, nil},
		{"an admin removed the locked PIN", nil, func(w *world) {
			w.exhaust()
			if err := w.pins.Remove(w.t.Context(), w.customerHolder(), pin.ByAdmin); err != nil {
				w.t.Fatal(err)
			}
		}, nil},
		{"the identity's own PIN applies", func(w *world) { w.set(w.identityHolder(), thirdPIN, pin.ByAdmin) }, func(w *world) {
			w.people.Exec(`update pin_holders set locked_until = now() + interval '1 hour' where identity_id is null`)
		}, nil},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
			if rule.first != nil {
				rule.first(w)
			}
			rule.refuse(w)
			if err := w.pins.Remove(t.Context(), pin.Holder{CustomerID: w.customer, IdentityID: some(w.people.Identity(w.customer, w.instance))}, pin.ByAgent); err != nil {
				t.Errorf("removing a PIN that is not set: %v", err)
			}
			if _, err := w.pins.Set(t.Context(), w.instance, w.identityHolder(), thirdPIN, pin.ByAgent); !errors.Is(err, rule.want) {
				t.Errorf("set by an agent: %v, want %v", err, rule.want)
			}
			w.set(w.identityHolder(), thirdPIN, pin.ByAdmin)
		})
	}
}

// A parallel charge locks the customer's PIN while an agent sets the identity's first PIN: the statement waits for the charge.
func TestSetSeesALockThatIsWrittenInParallel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	parallel := w.db.MustBegin()
	parallel.MustExec(`update pin_holders set locked_until = now() + interval '1 hour' where holder_id = $1`, w.customer)
	done := make(chan error, 1)
	go func() { done <- w.setByAgent(w.identityHolder()) }()
	for waiting := 0; waiting == 0 && len(done) == 0; {
		w.people.Get(&waiting, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
	}
	if err := parallel.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, pin.ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
}

// I6: a lock, a change and a removal of the PIN end every session.
func TestSessionsEndWithTheirPIN(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*world){
		"set again": func(w *world) { w.set(w.customerHolder(), rightPIN, pin.ByAdmin) },
		"removed": func(w *world) {
			w.pins.Remove(context.Background(), w.customerHolder(), pin.ByAdmin)
		},
		"removed and set": func(w *world) {
			w.pins.Remove(context.Background(), w.customerHolder(), pin.ByAdmin)
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
		},
		"locked":         func(w *world) { w.exhaust() },
		"the lock ended": func(w *world) { w.exhaust(); w.endLock(w.customerHolder()) },
		"unlocked":       func(w *world) { w.exhaust(); w.unlock(w.customerHolder()) },
		"the identity got its own PIN": func(w *world) {
			w.set(w.identityHolder(), thirdPIN, pin.ByAgent)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
			confirmed := w.verify(rightPIN)
			if !w.valid(confirmed) {
				t.Fatal("a new session is not valid")
			}
			end(w)
			if w.valid(confirmed) {
				t.Error("the session is still valid")
			}
		})
	}
}

func TestSessionOfAFifthRightAttemptIsValid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	for range 4 {
		w.verify(wrongPIN)
	}
	if confirmed := w.verify(rightPIN); !w.valid(confirmed) {
		t.Error("the session of the fifth, right attempt is not valid")
	}
}

func TestIdentitysOwnPINApplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.verify(rightPIN); got.Outcome != pin.NotSet || got.Remaining != nil {
		t.Errorf("without a PIN: %+v", got)
	}
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	w.set(w.identityHolder(), thirdPIN, pin.ByAgent)
	if got := w.verify(thirdPIN); got.Outcome != pin.Right {
		t.Errorf("the identity's own PIN: %s", got.Outcome)
	}
	if got := w.verify(rightPIN); got.Outcome != pin.Wrong {
		t.Errorf("the customer's PIN: %s", got.Outcome)
	}
	byCustomer := pin.Subject{InstanceID: w.instance, CustomerID: some(w.customer)}
	if got := w.verifySubject(byCustomer, rightPIN); got.Outcome != pin.Right {
		t.Errorf("the customer's PIN, for the customer: %s", got.Outcome)
	}
	w.people.Exec(`update pin_holders set deactivated_by = charged where holder_id = $1`, w.identity)
	if got := w.verify(rightPIN); got.Outcome != pin.Inactive {
		t.Errorf("the customer's PIN, while the identity's own PIN is deactivated: %s", got.Outcome)
	}
}

func TestPepperRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
	promoted, _ := w.replica(keyTwo+","+keyOne, prometheus.NewRegistry())
	if got, err := promoted.Verify(context.Background(), w.key, w.subject(), rightPIN); err != nil || got.Outcome != pin.Right {
		t.Fatalf("with the old key on the ring: %s, %v", got.Outcome, err)
	}
	alone, _ := w.replica(keyTwo, prometheus.NewRegistry())
	if got, err := alone.Verify(context.Background(), w.key, w.subject(), rightPIN); err != nil || got.Outcome != pin.Right {
		t.Errorf("a right PIN was not hashed again with the new key: %s, %v", got.Outcome, err)
	}
	if _, err := w.verifier.Verify(context.Background(), w.key, w.subject(), rightPIN); !errors.Is(err, pin.ErrUnknownKey) {
		t.Errorf("with a key that is not on the ring: %v", err)
	}
	var charged int
	w.people.Get(&charged, `select charged from pin_holders where holder_id = $1`, w.customer)
	if charged != 2 {
		t.Errorf("%d charges, want 2: an unknown key must charge nothing", charged)
	}
}

func TestRevokedAndExpiredProxyKeysAreRefused(t *testing.T) {
	t.Parallel()
	for _, change := range []string{`update proxy_keys set revoked_at = now()`, `update proxy_keys set expires_at = now()`, `delete from proxy_keys`} {
		w := newWorld(t)
		w.set(w.customerHolder(), rightPIN, pin.ByAdmin)
		w.verify(rightPIN)
		w.people.Exec(change)
		if _, err := w.verifier.Verify(context.Background(), w.key, w.subject(), rightPIN); !errors.Is(err, caller.ErrInvalid) {
			t.Errorf("%s: %v", change, err)
		}
	}
}
